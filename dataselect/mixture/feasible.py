"""The mixtures that may be proposed: bounds on each weight, a distance to the prior, floors.

Weights are between bounds and sum to 1. The nearest such point to any other is found in closed
form: it is the point minus one number, clipped to the bounds, and that number is linear in the sum
between the 2·n places where a weight meets a bound. A cap on the distance to the prior,
KL(w ‖ prior), and floors of metrics are checked where points are compared (`search`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Feasible:
    """Bounds of shape (sources,), lower ≤ upper, that sum to at most and at least 1.

    `prior` is the mixture that distance is measured from; `most_kl` caps it, `kl_penalty` costs it.
    `worst` has, for each metric, the highest cost that is let through; infinity for no floor.
    """

    lower: Array
    upper: Array
    prior: Array | None = None
    most_kl: float = np.inf
    kl_penalty: float = 0.0
    worst: Array | None = None

    def project(self, points: Array) -> Array:
        """The nearest mixtures within the bounds, shape (mixtures, sources)."""
        return project(points, self.lower, self.upper)


def everywhere(sources: int) -> Feasible:
    """No constraint but that weights are shares."""
    return Feasible(np.zeros(sources), np.ones(sources))


def project(points: Array, lower: Array, upper: Array) -> Array:
    """The nearest points (Euclid) with lower ≤ w ≤ upper and sum 1, row by row."""
    points = np.atleast_2d(points)
    # Sorted shifts at which some weight leaves its upper or reaches its lower bound.
    shifts = np.sort(np.hstack([points - upper, points - lower]), axis=1)
    sums = np.clip(points[:, None, :] - shifts[:, :, None], lower, upper).sum(axis=2)
    # Sums fall with the shift: the last that is at least 1 begins the piece that holds 1.
    first = np.maximum((sums >= 1).sum(axis=1) - 1, 0)
    second = np.minimum(first + 1, shifts.shape[1] - 1)
    rows = np.arange(len(points))
    high, low = sums[rows, first], sums[rows, second]
    part = np.where(high > low, (high - 1) / np.where(high > low, high - low, 1.0), 0.0)
    shift = shifts[rows, first] + part * (shifts[rows, second] - shifts[rows, first])
    found = np.clip(points - shift[:, None], lower, upper)
    return _exact(found, lower, upper)


def _exact(shares: Array, lower: Array, upper: Array) -> Array:
    """The rounding error of the sum, put where there is room for it."""
    missing = 1 - shares.sum(axis=1)
    room = np.where(missing[:, None] > 0, upper - shares, shares - lower)
    total = room.sum(axis=1, keepdims=True)
    share = np.divide(room, total, out=np.zeros_like(room), where=total > 0)
    exact: Array = np.clip(shares + share * missing[:, None], lower, upper)
    return exact


def divergence(shares: Array, prior: Array) -> Array:
    """KL(w ‖ prior) in nats; infinite where a source of no prior weight is used."""
    used = shares > 0
    with np.errstate(divide="ignore"):
        logs = np.log(np.where(used, shares, 1.0)) - np.log(np.where(used, prior, 1.0))
    found: Array = (np.where(used, shares, 0.0) * logs).sum(axis=-1)
    return np.maximum(found, 0.0)


def nearest_to_prior(prior: Array, lower: Array, upper: Array) -> Array:
    """The mixture within the bounds of least KL to the prior: the prior scaled and clipped."""
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        total = np.clip(prior * np.exp(middle), lower, upper).sum()
        low, high = (middle, high) if total < 1 else (low, middle)
    clipped: Array = np.clip(prior * np.exp(high), lower, upper)
    return clipped
