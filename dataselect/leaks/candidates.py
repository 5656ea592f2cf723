"""What each candidate holds of each benchmark, from what its sources hold.

A mixture may draw on the beginning of a source alone, and then holds what stands there; how far
that is, is told by the share of the source's tokens, as if documents were equally long.
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
    """The items of one benchmark, or of its training split, that a candidate holds.

    `items` are their ids, out of `total`; `whole` are those of which a part is there word for
    word; `like` are others, of which something like them is there; `kinds` counts items by the
    part that is there. `documents` hold them, and these are `text_share` of the candidate's text.
    """

    total: int
    items: tuple[str, ...]
    whole: tuple[str, ...]
    like: tuple[str, ...]
    kinds: Mapping[Kind, int]
    documents: int
    text_share: float

    @property
    def share(self) -> float:
        """Of all items."""
        return len(self.items) / self.total


def leaked(
    draws: Mapping[str, Draw],
    findings: Mapping[str, Findings],
    benchmark: str,
    split: Split,
    total: int,
) -> Leaked:
    """What a candidate that draws on these sources holds of the `total` items of a benchmark."""
    like: dict[str, None] = {}
    items: dict[str, None] = {}
    whole: dict[str, None] = {}
    kinds: dict[Kind, set[str]] = {}
    documents = text_share = 0.0
    for source, draw in draws.items():
        found = findings[source]
        last = draw.reach * found.read.documents
        for part in found.parts:
            if (part.benchmark, part.split) != (benchmark, split) or part.first >= last:
                continue
            like[part.item] = None
            if part.first_held is None or part.first_held >= last:
                continue
            items[part.item] = None
            kinds.setdefault(part.kind, set()).add(part.item)
            if part.first_whole is not None and part.first_whole < last:
                whole[part.item] = None
        holding = found.holding.get((benchmark, split))
        if holding is not None and holding.documents:
            documents += draw.reach * holding.documents
            text_share += draw.share * holding.characters / found.read.characters
    counts = {kind: len(ids) for kind, ids in kinds.items()}
    alike = tuple(item for item in like if item not in items)
    return Leaked(total, tuple(items), tuple(whole), alike, counts, round(documents), text_share)
