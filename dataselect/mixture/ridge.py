"""Ridge regression on transforms of the shares; on the shares alone it is the linear baseline.

One singular value decomposition gives the closed form for all metrics. Leave-one-out errors, which
have a closed form too, choose how much to shrink.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHRINKAGES = 10.0 ** np.arange(-4, 4.5, 0.5)
_LOG_FLOOR = 1e-3
"""Added to shares before the logarithm: smaller shares count as about 0."""


@dataclass(frozen=True)
class FittedRidge:
    """A ridge regression of each metric: costs are centre + features(shares) @ slopes."""

    transforms: bool
    """Whether features are roots and logarithms of the shares too, or the shares alone."""
    centre: Array
    """(metrics,)."""
    slopes: Array
    """(features, metrics)."""

    def predict(self, shares: Array) -> Array:
        """Costs of mixtures, shape (mixtures, metrics)."""
        return self.centre + _features(shares, self.transforms) @ self.slopes


def fit_ridge(transforms: bool, shares: Array, costs: Array) -> FittedRidge:
    """Fit to costs of shape (runs, metrics)."""
    features = _features(shares, transforms)
    middle, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-12, spread, np.inf)
    left, sizes, right = np.linalg.svd((features - middle) / spread, full_matrices=False)
    mean = costs.mean(axis=0)
    turned = left.T @ (costs - mean)
    best = np.full(costs.shape[1], np.inf)
    slopes = np.zeros((features.shape[1], costs.shape[1]))
    for shrinkage in _SHRINKAGES:
        kept = sizes**2 / (sizes**2 + shrinkage)
        leverage = (left**2 * kept).sum(axis=1) + 1 / len(costs)
        residual = costs - mean - left @ (kept[:, None] * turned)
        error = ((residual / (1 - np.minimum(leverage, 0.99))[:, None]) ** 2).mean(axis=0)
        found = right.T @ ((sizes / (sizes**2 + shrinkage))[:, None] * turned)
        better = error < best
        slopes[:, better], best[better] = found[:, better], error[better]
    slopes /= spread[:, None]
    return FittedRidge(transforms, mean - middle @ slopes, slopes)


def _features(shares: Array, transforms: bool) -> Array:
    if not transforms:
        return shares
    logs = np.log(shares + _LOG_FLOOR)
    return np.hstack([shares, np.sqrt(shares), shares**0.25, logs])
