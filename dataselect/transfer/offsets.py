"""A height of its own for each dataset when a curve is fitted, shrunk towards none.

Where datasets have several checkpoints, accuracy may differ from one to the next by a constant:
points of a run then lie together above or below the curve, and a curve drawn through all of them
mixes the slope along runs with the differences between datasets. Here the deviation of a point is

    height of its dataset + its own

both normal about 0, with scales estimated from the points (moments of a one-way layout). A
dataset's height is the mean of its deviations, shrunk by the share of that mean that is height
rather than noise; curve and heights are estimated in turn. A new dataset has height 0, and the
spread of the heights is in its interval, because intervals come from whole datasets left out.

With one point for each dataset, or one dataset, heights cannot be told from the points' own
deviations, and nothing changes. Not covered: slopes that differ between datasets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.curves import Curve

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_ROUNDS = 20
_SETTLED = 1e-5  # accuracy, a thousandth of a point


@dataclass(frozen=True)
class Heights:
    """How far datasets lie from a curve, as accuracies."""

    shrunk: Array
    """The height of each dataset, by its number."""
    spread: float
    """Standard deviation of heights over datasets."""


def heights(residuals: Array, datasets: Index) -> Heights:
    """Heights from the deviations of points from a curve and their datasets' numbers, both (n,)."""
    ids = np.unique(datasets, return_inverse=True)[1]
    counts = np.bincount(ids)
    amount, free = len(counts), len(ids) - len(counts)
    found = np.zeros(int(datasets.max()) + 1)
    if amount < 2 or not free:
        return Heights(found, 0.0)
    means = np.bincount(ids, weights=residuals) / counts
    within = float(((residuals - means[ids]) ** 2).sum()) / free
    # The mean of a dataset varies by its height and by the noise of its points.
    between = float((means**2).mean()) - within * float((1 / counts).mean())
    spread = max(between, 0.0)
    share = spread / (spread + within / counts) if spread else np.zeros(amount)
    found[np.unique(datasets)] = share * means
    return Heights(found, float(np.sqrt(spread)))


def fit_with_heights(
    fit: Callable[[Array, Array], Curve], x: Array, y: Array, datasets: Index
) -> tuple[Curve, Heights]:
    """The curve of points (x, y) whose heights are taken out, and the heights; all are (n,).

    `fit` draws a curve through points; what it raises propagates.
    """
    curve = fit(x, y)
    found = heights(y - curve(x), datasets)
    for _ in range(_ROUNDS):
        curve = fit(x, y - found.shrunk[datasets])
        again = heights(y - curve(x), datasets)
        settled = float(np.abs(again.shrunk - found.shrunk).max()) < _SETTLED
        found = again
        if settled or not found.spread:
            break
    return curve, found
