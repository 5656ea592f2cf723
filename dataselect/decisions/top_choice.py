"""What choosing by the proxy would cost: regret and hit rate of its best k.

Of the best k by the proxy one takes the truly best, as a second stage would. Regret is how far that
one is behind the best of all; a hit is that it is the best. Where the proxy ties candidates across
the cut, any of them may be taken, and both figures are exact expectations over a random choice.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TopChoice:
    """The best k by the proxy; regrets are in the target's unit, `hit_rate` is in 0..1.

    `chance_regret` is the regret of k candidates taken blindly, whose hit rate is k / n unless the
    best is shared.
    """

    k: int
    regret: float
    chance_regret: float
    hit_rate: float


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
    # The best of `places` out of the tied is the j-th from below if the others are from those
    # below it.
    ways = [comb(j, places - 1) for j in range(len(tied))]
    all_ways = comb(len(tied), places)
    chosen = sum(
        max(floor, float(value)) * (way / all_ways) for value, way in zip(tied, ways, strict=True)
    )
    best = target.max()
    if floor == best:
        return chosen, 1.0
    return chosen, 1 - comb(int((tied < best).sum()), places) / all_ways
