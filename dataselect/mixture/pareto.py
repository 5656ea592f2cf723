"""Trade-offs between metrics: mixtures of which none is better than another in every metric.

Each one minimises, for random weights of the metrics, the largest weighted shortfall from the best
that each metric can have (Chebyshev); this also finds trade-offs that no weighted mean finds. With
many metrics almost every mixture is a trade-off, so use it with few metrics in the objective.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.constraints import Limits
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.optimise import QUICK, breaks, search, starting_points
from dataselect.mixture.propose import with_floors

Array = NDArray[np.float64]

_STARTS = 600


@dataclass(frozen=True)
class TradeOff:
    """A mixture that no other one beats in every metric, and what is predicted of it."""

    shares: Array
    """(sources,), summing to 1."""
    metrics: Array
    """Predicted metrics in their units, (metrics,)."""
    metrics_half: Array
    """Half widths of their intervals, (metrics,)."""
    objective: float
    """Predicted objective."""
    objective_half: float
    """Half width of its interval."""


def trade_offs(
    model: MixtureModel, limits: Limits, count: int, seed: int, confidence: float = 0.9
) -> list[TradeOff]:
    """Up to `count` mixtures, best objective first; optima of single metrics are among them."""
    limits = with_floors(model, limits)
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(model.objective.weights > 0)
    spread = model.swarm.values.std(axis=0)
    feasible = limits.feasible
    starts = feasible.project(
        starting_points(model.swarm.shares, len(feasible.lower), _STARTS, seed)
    )
    costs = model.stack.predict(starts)
    ideal = costs.min(axis=0)
    preferences = np.vstack(
        [np.eye(len(chosen))[:count], rng.dirichlet(np.ones(len(chosen)), max(count, 1))]
    )[:count]
    found = []
    for preference in preferences:

        def score(shares: Array, preference: Array = preference) -> tuple[Array, Array]:
            predicted = model.stack.predict(shares)
            short = (predicted - ideal)[:, chosen] / spread[chosen] * preference
            # The mean breaks ties, so that no metric is needlessly worse.
            value = short.max(axis=1) + 0.05 * short.mean(axis=1)
            return value, breaks(feasible, shares, predicted, spread)

        best, broken = search(score, feasible, starts, QUICK, seed)
        if broken[0] == 0:
            found.append(best[0])
    if not found:
        return []
    shares = np.array(found)
    predicted = model.predict(shares, confidence)
    costs = model.sign * predicted.metrics
    kept = [i for i in range(len(costs)) if not _beaten(costs[:, chosen], i)]
    kept.sort(key=lambda i: float(model.sign * predicted.objective[i]))
    return [
        TradeOff(
            shares[i],
            predicted.metrics[i],
            predicted.metrics_half[i],
            float(predicted.objective[i]),
            float(predicted.objective_half[i]),
        )
        for i in kept
    ]


def _beaten(costs: Array, i: int) -> bool:
    """Whether another one is as good in every metric and better in one, or equal and earlier."""
    as_good = (costs <= costs[i]).all(axis=1)
    better = (costs < costs[i]).any(axis=1)
    same = as_good & ~better
    return bool((as_good & better).any() or same[:i].any())
