"""How far later checkpoints lie from a curve, from fits on the first part of each run.

A run's own past says how well it foretold what came next: the curve is fitted on the first half of
each run and predicts the rest, then on a little more, and so on up to the last checkpoint.
Residuals of checkpoints that lie between fitted ones are smaller, since neighbours hold the curve.
What is fitted is the scale `spread.Later`: the variance grows in proportion to the distance beyond
the fitted scores, and is never below that of blocks left out within them.

Not covered: other datasets. One run's future is that of its own data.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.spread import Later

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Predictor = Callable[[Array], Array]

_FIRST = 0.5  # of each run is fitted at least
_LEAST_FITTED = 4  # points of the longest run
_MOST_ORIGINS = 10
_LEAST_ORIGINS = 2


def fit_later(
    fit: Callable[[Array, Array], Predictor],
    x: Array,
    y: Array,
    runs: Sequence[Index],
    inside: Array,
) -> Later | None:
    """The scale for later checkpoints; None where no run is long enough.

    `fit` makes a predictor from scores and accuracies, x and y are (n,), `runs` the rows of each
    run in the order of training, and `inside` the residuals of blocks left out, (n,).
    """
    longest = max(len(run) for run in runs)
    ends = np.arange(max(_LEAST_FITTED, round(_FIRST * longest)), longest)
    if len(ends) > _MOST_ORIGINS:
        ends = np.unique(np.linspace(ends[0], longest - 1, _MOST_ORIGINS).round().astype(int))
    residuals, distances, origins = [], [], 0
    for share in ends / longest:
        cuts = [round(share * len(run)) for run in runs]
        past = np.concatenate([run[:cut] for run, cut in zip(runs, cuts, strict=True)])
        future = np.concatenate([run[cut:] for run, cut in zip(runs, cuts, strict=True)])
        if len(np.unique(x[past])) < _LEAST_FITTED or not len(future):
            continue
        low, high = x[past].min(), x[past].max()
        residuals.append(y[future] - fit(x[past], y[past])(x[future]))
        distances.append(
            np.maximum(np.maximum(low - x[future], x[future] - high), 0) / (high - low)
        )
        origins += 1
    if origins < _LEAST_ORIGINS:
        return None
    residual, distance = np.concatenate(residuals), np.concatenate(distances)
    reach = float(distance.mean()) or 1.0
    beyond = float(np.sqrt(np.mean(residual**2 / (1 + distance / reach))))
    within = float(np.sqrt(np.mean(inside**2)))
    if not within + beyond:
        return None
    return Later(freedom=origins, inside=within, beyond=beyond, reach=reach)
