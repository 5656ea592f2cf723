"""The mixtures that may be proposed: bounds on each share, a distance to the prior, floors.

Shares are between bounds and sum to 1. The feasible point nearest to a given one is found in closed
form: it is the given point minus one number, clipped to the bounds, and that number is linear in
the sum between the 2·n places where a share meets a bound. A cap on the distance to the prior,
KL(w ‖ prior), and floors of metrics are checked where points are compared (`optimise`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Feasible:
    """Which mixtures may be proposed."""

    lower: Array
    """Smallest shares, (sources,); they sum to at most 1."""
    upper: Array
    """Largest shares, (sources,); not below `lower`, and they sum to at least 1."""
    prior: Array | None = None
    """The mixture that distance is measured from, (sources,)."""
    most_kl: float = np.inf
    """Largest distance KL(w ‖ prior), in nats."""
    kl_penalty: float = 0.0
    """Cost of a nat of distance, in units of the objective."""
    worst: Array | None = None
    """Highest cost allowed by metric, (metrics,), infinity for no floor; None: no floors at all."""

    def project(self, points: Array) -> Array:
        """The nearest mixtures within the bounds, shape (mixtures, sources)."""
        return project(points, self.lower, self.upper)


def everywhere(sources: int) -> Feasible:
    """No constraint, except that shares are 0 or more and sum to 1."""
    return Feasible(np.zeros(sources), np.ones(sources))


def project(points: Array, lower: Array, upper: Array) -> Array:
    """The points nearest in Euclidean distance with lower ≤ w ≤ upper and sum 1, row by row."""
    points = np.atleast_2d(points)
    # Sorted shifts at which some share leaves its upper or reaches its lower bound.
    shifts = np.sort(np.hstack([points - upper, points - lower]), axis=1)
    sums = np.clip(points[:, None, :] - shifts[:, :, None], lower, upper).sum(axis=2)
    # Sums fall with the shift: the last one that is at least 1 begins the piece with the sum 1.
    first = np.maximum((sums >= 1).sum(axis=1) - 1, 0)
    second = np.minimum(first + 1, shifts.shape[1] - 1)
    rows = np.arange(len(points))
    high, low = sums[rows, first], sums[rows, second]
    part = np.where(high > low, (high - 1) / np.where(high > low, high - low, 1.0), 0.0)
    shift = shifts[rows, first] + part * (shifts[rows, second] - shifts[rows, first])
    found = np.clip(points - shift[:, None], lower, upper)
    return _exact(found, lower, upper)


def _exact(shares: Array, lower: Array, upper: Array) -> Array:
    """Spread the rounding error of the sum over the shares that have room for it."""
    missing = 1 - shares.sum(axis=1)
    room = np.where(missing[:, None] > 0, upper - shares, shares - lower)
    total = room.sum(axis=1, keepdims=True)
    share = np.divide(room, total, out=np.zeros_like(room), where=total > 0)
    exact: Array = np.clip(shares + share * missing[:, None], lower, upper)
    return exact


def divergence(shares: Array, prior: Array) -> Array:
    """KL(w ‖ prior) in nats; infinite where a source with no share of the prior is used."""
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
