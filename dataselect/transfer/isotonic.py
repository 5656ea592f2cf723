"""Isotonic regression: the best monotone steps through the points, without a formula.

It assumes only that a better score means a better target, so it shows where a sigmoid's shape is
wrong. It is flat beyond its points, so it errs low where accuracy still rises; a sigmoid may err
high there.

Not covered: smoothing within a step. Between two steps the line is straight.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Array = NDArray[np.float64]
Knots = tuple[tuple[float, float], ...]


def fit_steps(x: Array, y: Array, *, falling: bool) -> Knots:
    """Knots (x, level), by rising x, of the isotonic regression of y on x, both of shape (n,).

    Points of equal x count as their mean. Inner points of a step are left out, which does not
    change the line.
    """
    places, index, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=y) / counts
    levels = isotonic_regression(means, weights=counts, increasing=not falling).x
    # Rounding of the pooled means must not split a step.
    changes = np.abs(np.diff(levels)) > 1e-12
    kept = np.concatenate([[True], changes]) | np.concatenate([changes, [True]])
    return tuple((float(a), float(b)) for a, b in zip(places[kept], levels[kept], strict=True))


def step_values(knots: Knots, x: Array) -> Array:
    """Levels at x, of the same shape; flat beyond the outermost knots."""
    places, levels = np.array(knots).T
    return np.asarray(np.interp(x, places, levels))
