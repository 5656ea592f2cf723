"""Whether proxies of different sizes rank candidates alike.

No target is needed for it, so it is a warning that comes early: a metric that orders candidates
one way at one size and the other way at the next cannot be right at both. The converse does not
hold; sizes may agree with each other and not with the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SameOrder:
    """The share of pairs in the same order at all of `sizes`; None without a pair.

    Pairs tied at one of the sizes are left out, so `pairs` may differ.
    """

    sizes: tuple[str, ...]
    share: float | None
    pairs: int


@dataclass(frozen=True)
class SignStability:
    """Same order at each size and the next, and at all sizes."""

    neighbouring: tuple[SameOrder, ...]
    all_sizes: SameOrder


def sign_stability(scores: Array, sizes: Sequence[str]) -> SignStability:
    """Shares of pairs in the same order, from scores of sizes x candidates in order of size."""
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
