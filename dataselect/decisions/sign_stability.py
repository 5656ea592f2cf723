"""Whether proxies of different sizes rank candidates alike.

This needs no target, so it is an early warning: a metric that orders candidates one way at one size
and the other way at the next cannot be right at both. The converse does not hold: sizes may agree
with each other and not with the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SameOrder:
    """How many pairs of candidates several sizes put in the same order."""

    sizes: tuple[str, ...]
    """The sizes compared."""
    share: float | None
    """Share of the pairs in the same order at all of them; None without a pair."""
    pairs: int
    """Pairs compared; pairs that one of the sizes ties are left out."""


@dataclass(frozen=True)
class SignStability:
    """How stable the order of candidates is over sizes."""

    neighbouring: tuple[SameOrder, ...]
    """Each size with the next."""
    all_sizes: SameOrder
    """All sizes together."""


def sign_stability(scores: Array, sizes: Sequence[str]) -> SignStability:
    """Shares of pairs in the same order, from scores of sizes x candidates by rising size."""
    first, second = np.triu_indices(scores.shape[1], 1)
    signs = np.sign(scores[:, first] - scores[:, second])

    def same(rows: Sequence[int]) -> SameOrder:
        chosen = signs[list(rows)]
        chosen = chosen[:, (chosen != 0).all(axis=0)]
        alike = (chosen == chosen[0]).all(axis=0)
        names = tuple(sizes[row] for row in rows)
        return SameOrder(names, float(alike.mean()) if len(alike) else None, len(alike))

    rows = range(len(sizes))
    return SignStability(tuple(same(each) for each in pairwise(rows)), same(rows))
