"""Metrics of a benchmark that are no mean over its items: a sum divided by a sum.

Bits per byte and perplexities weight items by their length, as the authors' public code and many
leaderboards do. A mean over items of each item's bits per byte would be another number.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Pooled:
    """How a metric is made of two columns of item sums."""

    above: str
    """The column whose sum is divided, in nats."""

    below: str
    """The column whose sum it is divided by."""

    perplexity: bool
    """e to the power of the ratio; otherwise the ratio in bits."""


POOLED: Mapping[str, Pooled] = {
    "mask_bpb": Pooled("mask_nats", "mask_bytes", False),
    "authors_mask_bpb": Pooled("authors_mask_nats", "authors_mask_bytes", False),
    "authors_mask_byte_perplexity": Pooled("authors_mask_nats", "authors_mask_bytes", True),
    "authors_mask_word_perplexity": Pooled("authors_mask_nats", "authors_mask_words", True),
}
"""The metrics, by name."""

PARTS = frozenset(name for each in POOLED.values() for name in (each.above, each.below))
"""Columns that are sums over an item, and no metric themselves."""


def pooled(table: "pd.DataFrame", name: str) -> tuple[float, float, int] | None:
    """A pooled metric of a table of items, its standard error, and the number of its items.

    The standard error is that of a ratio of sums, to first order in 1/items (0 for one item). None
    where the table has not the columns or no item has a value, or the result is not finite.
    """
    made = POOLED[name]
    if made.above not in table or made.below not in table:
        return None
    known = table[[made.above, made.below]].dropna().astype(float)
    nats, size = (known[column].to_numpy() for column in (made.above, made.below))
    if size.sum() <= 0:
        return None
    ratio = float(nats.sum() / size.sum())
    error = 0.0
    if len(known) > 1:
        error = float(np.std(nats - ratio * size, ddof=1) / (size.mean() * math.sqrt(len(known))))
    value, slope = _SCALES[made.perplexity](ratio)
    return (value, slope * error, len(known)) if math.isfinite(value) else None


def _bits(ratio: float) -> tuple[float, float]:
    return ratio / math.log(2), 1 / math.log(2)


def _perplexity(ratio: float) -> tuple[float, float]:
    """e to the power of a ratio, and the slope of that; infinity where it is too large."""
    value = math.exp(ratio) if ratio < 700 else math.inf
    return value, value


_SCALES: Mapping[bool, Callable[[float], tuple[float, float]]] = {True: _perplexity, False: _bits}
