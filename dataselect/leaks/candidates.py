"""The leaks of each candidate, from the findings in its sources.

A mixture may draw only on the beginning of a source, and then holds only what is found there. The
end of that part is estimated from the tokens drawn, as if all documents had the same length.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dataselect.leaks.parts import Kind, Split
from dataselect.leaks.scan import Findings


@dataclass(frozen=True)
class Draw:
    """How a candidate draws on a source."""

    share: float
    """Part of the candidate's tokens that comes from the source, in 0..1."""
    reach: float
    """Part of the source's tokens that the candidate reads, from the beginning, in 0..1."""


@dataclass(frozen=True)
class Leaked:
    """The items of one benchmark, or of its training split, that a candidate holds."""

    total: int
    """Items of the benchmark or split."""
    items: tuple[str, ...]
    """Ids of the items held."""
    whole: tuple[str, ...]
    """Ids of those with a part that is there word for word."""
    like: tuple[str, ...]
    """Ids of items that are not held, but something similar is."""
    kinds: Mapping[Kind, int]
    """Items held, by the kind of part that is there."""
    documents: int
    """Documents that hold items (estimated)."""
    text_share: float
    """Fraction of the candidate's text in these documents (estimated)."""

    @property
    def share(self) -> float:
        """Fraction of the items that are held, in 0..1."""
        return len(self.items) / self.total


def leaked(
    draws: Mapping[str, Draw],
    findings: Mapping[str, Findings],
    benchmark: str,
    split: Split,
    total: int,
) -> Leaked:
    """Which of the `total` items of a benchmark a candidate with these draws holds."""
    like: dict[str, None] = {}
    items: dict[str, None] = {}
    whole: dict[str, None] = {}
    kinds: dict[Kind, set[str]] = {}
    documents = text_share = 0.0
    for source, draw in draws.items():
        in_source = findings[source]
        last = draw.reach * in_source.read.documents
        for part in in_source.parts:
            if (part.benchmark, part.split) != (benchmark, split) or part.first >= last:
                continue
            like[part.item] = None
            if part.first_held is None or part.first_held >= last:
                continue
            items[part.item] = None
            kinds.setdefault(part.kind, set()).add(part.item)
            if part.first_whole is not None and part.first_whole < last:
                whole[part.item] = None
        holding = in_source.holding.get((benchmark, split))
        if holding is not None and holding.documents:
            documents += draw.reach * holding.documents
            text_share += draw.share * holding.characters / in_source.read.characters
    counts = {kind: len(ids) for kind, ids in kinds.items()}
    alike = tuple(item for item in like if item not in items)
    return Leaked(total, tuple(items), tuple(whole), alike, counts, round(documents), text_share)
