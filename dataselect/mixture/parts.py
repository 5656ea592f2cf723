"""Sources that are fixed mixtures of texts: one share to find, several texts to read.

To keep the ratios of many old texts and find the share of a new one beside them, the old ones are
one source, and a swarm needs runs for two sources and not for all. Trainers know only the texts, so
their files get each text's share: ratio times share, added to a share of its own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownText:
    """What the constraints say of a text."""

    paths: tuple[str, ...]
    """Where it is; its name where that is not known."""
    tokens: float
    """Tokens available; nan where not known."""
    tokens_per_document: float
    """Mean length of its documents; nan where not known."""


def normalised(parts: Mapping[str, float]) -> dict[str, float]:
    """Ratios by text that sum to 1."""
    total = math.fsum(parts.values())
    return {name: ratio / total for name, ratio in parts.items()}


def tokens_of(parts: Mapping[str, float], texts: Mapping[str, KnownText]) -> float:
    """Tokens of a mixture when the first of its texts is read once; nan unless all are known.

    `parts` sum to 1.
    """
    found = [texts[name].tokens / ratio for name, ratio in parts.items()]
    return math.nan if any(map(math.isnan, found)) else min(found)


def length_of(parts: Mapping[str, float], texts: Mapping[str, KnownText]) -> float:
    """Mean tokens per document of a mixture; nan unless those of all its texts are known."""
    return 1 / math.fsum(ratio / texts[name].tokens_per_document for name, ratio in parts.items())


def in_texts(
    names: Sequence[str], shares: Iterable[float], parts: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Shares of the texts, given those of the sources `names`; in order of first appearance."""
    found: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        for text, ratio in parts.get(name, {name: 1.0}).items():
            found[text] = found.get(text, 0.0) + share * ratio
    return found
