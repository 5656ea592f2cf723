"""Regret and hit rate of choosing the proxy's best k.

Of the best k by the proxy the truly best is taken, as a perfect second stage would. Regret is how
far that one is behind the best of all; it is a hit if it is the best. Where the proxy ties
candidates across the cut, both values are exact expectations over a random choice among them.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TopChoice:
    """Regret and hit rate of the best k by the proxy."""

    k: int
    """How many are chosen."""
    regret: float
    """Target value of the best of all less that of the best chosen, in the target's unit."""
    chance_regret: float
    """Regret of k candidates chosen at random, in the target's unit. (Their hit rate is k / n if
    only one candidate is best.)"""
    hit_rate: float
    """Probability that the best of all is among the chosen, in 0..1."""


def top_choice(proxy: Array, target: Array, k: int) -> TopChoice:
    """Regret and hit rate, from values of shape (candidates,) of which higher is better.

    `k` is at least 1 and at most the number of candidates.
    """
    assert 1 <= k <= len(proxy) == len(target)
    best = float(target.max())
    chosen, hit = _expected(proxy, target, k)
    blind, _ = _expected(np.zeros(len(target)), target, k)
    return TopChoice(k, max(best - chosen, 0.0), max(best - blind, 0.0), hit)


def _expected(proxy: Array, target: Array, k: int) -> tuple[float, float]:
    """Expected target value of the best of the chosen, and the chance that it is the best."""
    cut = np.sort(proxy)[len(proxy) - k]
    sure, tied = target[proxy > cut], np.sort(target[proxy == cut])
    places = k - len(sure)
    floor = float(sure.max()) if len(sure) else -np.inf
    # Chosen at random, `places` of the tied have the j-th lowest as their best if all the others
    # come from those below it.
    ways = [comb(j, places - 1) for j in range(len(tied))]
    all_ways = comb(len(tied), places)
    chosen = sum(
        max(floor, float(value)) * (way / all_ways) for value, way in zip(tied, ways, strict=True)
    )
    best = target.max()
    if floor == best:
        return chosen, 1.0
    return chosen, 1 - comb(int((tied < best).sum()), places) / all_ways
