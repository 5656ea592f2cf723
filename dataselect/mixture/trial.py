"""A mixture to train with a seed, its shares in whole ten-thousandths."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_PARTS = 10_000


@dataclass(frozen=True)
class Trial:
    """A mixture to train."""

    shares: tuple[float, ...]
    """By source, multiples of 1/10,000 that sum to 1."""
    seed: int
    """Of the proxy."""


def rounded(shares: Array) -> tuple[float, ...]:
    """Shares as multiples of 1/10,000 that sum to 1, by largest remainder."""
    scaled = np.maximum(shares, 0) / np.maximum(shares, 0).sum() * _PARTS
    parts = np.floor(scaled + 1e-9).astype(int)
    order = np.argsort(-(scaled - parts), kind="stable")
    parts[order[: _PARTS - parts.sum()]] += 1
    return tuple((parts / _PARTS).tolist())
