"""Find the feasible mixtures with the best score.

Surrogates differ in kind (trees have no slope, and the slope of w^β is infinite at 0), so the
search uses values alone: many points climb side by side, each by trying changes of its shares and
keeping improvements. Changes are multiples of shares, moves from one source to another, steps
along the difference of two other points, and leaving a source out; all are projected onto the
bounds. Steps shrink, so the end is local and exact to about a thousandth of a share.

Points that break a floor or the cap on the distance to the prior are ordered by how far they break
it, after all that do not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.feasible import Feasible, divergence

Array = NDArray[np.float64]
Score = Callable[[Array], tuple[Array, Array]]
"""From mixtures to what is minimised, and by how much constraints are broken (0: they hold)."""

_FIRST_STEP, _LAST_STEP = 0.6, 0.01


@dataclass(frozen=True)
class Effort:
    """How much a search tries."""

    points: int
    """Points that climb side by side."""
    changes: int
    """Changes tried of each point in a round."""
    rounds: int
    """Rounds, with smaller and smaller steps."""


THOROUGH = Effort(12, 12, 50)
QUICK = Effort(3, 12, 25)


def search(
    score: Score, feasible: Feasible, starts: Array, effort: Effort, seed: int
) -> tuple[Array, Array]:
    """Mixtures (points, sources), best first, and by how much each breaks constraints."""
    rng = np.random.default_rng(seed)
    points = feasible.project(starts)
    values, broken = score(points)
    order = np.lexsort((values, broken))[: effort.points]
    points, values, broken = points[order], values[order], broken[order]
    steps = np.geomspace(_FIRST_STEP, _LAST_STEP, effort.rounds)
    for step in steps:
        tried = feasible.project(_changes(points, effort.changes, step, rng))
        new_values, new_broken = score(tried)
        shape = (len(points), effort.changes)
        # The best change of each point: by broken constraints first, then by value.
        rank = np.empty(len(tried))
        rank[np.lexsort((new_values, new_broken))] = np.arange(len(tried))
        best = rank.reshape(shape).argmin(axis=1) + np.arange(len(points)) * effort.changes
        better = (new_broken[best] < broken) | (
            (new_broken[best] == broken) & (new_values[best] < values)
        )
        points[better] = tried[best][better]
        values[better], broken[better] = new_values[best][better], new_broken[best][better]
    order = np.lexsort((values, broken))
    return points[order], broken[order]


def breaks(feasible: Feasible, shares: Array, costs: Array, spread: Array) -> Array:
    """By how much mixtures break the cap on distance and the floors, 0 where they hold.

    `costs` (mixtures, metrics) above a floor are divided by the metrics' `spread`, (metrics,).
    """
    broken = np.zeros(len(shares))
    if feasible.prior is not None and np.isfinite(feasible.most_kl):
        distance = np.minimum(divergence(shares, feasible.prior), 1e6)
        broken += np.maximum(distance - feasible.most_kl - 1e-9, 0)
    if feasible.worst is not None:
        over = np.where(np.isfinite(feasible.worst), costs - feasible.worst, -np.inf)
        broken += np.maximum(over / spread - 1e-9, 0).sum(axis=1)
    return broken


def starting_points(known: Array, sources: int, count: int, seed: int) -> Array:
    """Known mixtures, uniform, single sources mixed with it, and random ones, sparse and even."""
    rng = np.random.default_rng(seed)
    uniform = np.full(sources, 1 / sources)
    corners = 0.9 * np.eye(sources) + 0.1 * uniform
    draws = [rng.dirichlet(np.full(sources, a), count // 2) for a in (0.3, 1.0)]
    return np.vstack([known, uniform[None], corners, *draws])


def _changes(points: Array, count: int, step: float, rng: np.random.Generator) -> Array:
    """`count` changes of each point, those of a point in sequence: (points × count, sources)."""
    n, sources = points.shape
    changed = np.repeat(points, count, axis=0)
    kind = np.tile(np.arange(count) % 4, n)
    rows = np.arange(len(changed))
    scaled = changed * np.exp(step * rng.standard_normal(changed.shape))
    scaled /= scaled.sum(axis=1, keepdims=True)
    moved = changed.copy()
    giver = rng.integers(sources, size=len(rows))
    taker = (giver + rng.integers(1, sources, size=len(rows))) % sources
    amount = step * rng.random(len(rows)) * np.maximum(changed[rows, giver], 0.02)
    moved[rows, giver] -= amount
    moved[rows, taker] += amount
    pair = rng.integers(n, size=(2, len(rows)))
    along = changed + rng.random((len(rows), 1)) * (points[pair[0]] - points[pair[1]])
    without = changed.copy()
    without[rows, giver] = 0
    without /= np.maximum(without.sum(axis=1, keepdims=True), 1e-9)
    found: Array = np.choose(kind[:, None], [scaled, moved, along, without])
    return found
