"""The robust transfer function: a sigmoid and monotone steps, averaged, clipped, with intervals.

The two err on opposite sides. A sigmoid from chance level is smooth and keeps rising past its
points, in a shape that the benchmark may not have; isotonic steps follow any monotone shape and are
flat past their points. On public series their mean was about as good as the better of the two in
cross-validation (`benchmarks/transfer`). Past the points steps know nothing, and a sigmoid tends to
saturate too early. So the curve goes on from its value at the outermost point by the mean of the
sigmoid's change and of a straight line in the logit of accuracy. On the OLMo ladder this errs less
than flat steps on all three kinds of series, and its misses are less often above.

The floor is chance level, but never above the observed accuracies: targets do fall below chance,
where the wrong choices are likelier texts or an answer is not in the required form. Predictions
stay within the accuracies fitted, widened by half their range.

From three datasets on, refits leave out whole datasets, and what they miss is the scale for a new
one (`spread.NewData`). With one or two they leave out blocks of neighbouring checkpoints
(`neighbours`), which says nothing about other data.

Not covered: preparing the scores. Average them first, and a new candidate's in the same way.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataselect.errors import InputError
from dataselect.transfer.curves import Curve, NoFitError, logit_slope
from dataselect.transfer.function import Provenance, TransferFunction, check_points, quality
from dataselect.transfer.isotonic import fit_steps
from dataselect.transfer.offsets import fit_with_heights
from dataselect.transfer.sigmoid import fit_sigmoid
from dataselect.transfer.spread import LEAST_DATASETS, NewData

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST_POINTS = 3  # two that a refit without one can still be drawn through
MOST_REFITS = 50
_MARGIN = 0.5  # of the width of the fitted accuracies
_LEAST_SCALE = 1e-6  # a scale of exactly 0 would make a certainty of points on a curve


def robust_curve(x: Array, y: Array, chance: float | None, *, falling: bool) -> Curve:
    """Sigmoid with knots through points (x, y), both of shape (n,), y shares.

    `chance` is the accuracy of guessing, None if unknown; `falling` says that lower scores are
    better. Raises NoFitError when all scores are the same.
    """
    slope = logit_slope(x, y) if np.ptp(x) else 0.0
    return replace(
        sigmoid_curve(x, y, chance, falling=falling),
        knots=fit_steps(x, y, falling=falling),
        tail=min(slope, 0.0) if falling else max(slope, 0.0),
    )


def curve_of(
    x: Array, y: Array, datasets: Index | None, chance: float | None, *, falling: bool
) -> Curve:
    """As `robust_curve`; with `datasets`, (n,), each has a height of its own in the fit."""

    def fit(x: Array, y: Array) -> Curve:
        return robust_curve(x, y, chance, falling=falling)

    return fit(x, y) if datasets is None else fit_with_heights(fit, x, y, datasets)[0]


def sigmoid_curve(x: Array, y: Array, chance: float | None, *, falling: bool) -> Curve:
    """As `robust_curve`, without the steps."""
    if not np.ptp(x):
        raise NoFitError("needs different scores")
    if chance is not None:
        # Not the lowest point: the lowest step is a mean of points where they are noisy.
        chance = min(chance, *(level for _, level in fit_steps(x, y, falling=falling)))
    return fit_sigmoid(x, y, chance, falling=falling)


def bounds(y: Array) -> tuple[float, float]:
    """The lowest and highest accuracy to predict from fitted accuracies y."""
    margin = _MARGIN * float(np.ptp(y))
    return max(0.0, float(y.min()) - margin), min(1.0, float(y.max()) + margin)


def fit_robust(
    x: ArrayLike,
    y: ArrayLike,
    *,
    benchmark: str,
    provenance: Provenance,
    chance: float | None,
    falling: bool = True,
    blocks: Index | None = None,
    datasets: Index | None = None,
    offsets: bool = False,
) -> TransferFunction:
    """Fit target accuracies y (0..1) on proxy scores x, both of shape (n,).

    `blocks`, of shape (n,) from 0: points of equal number are left out together in a refit; by
    default each is left out alone. `datasets`, likewise: the dataset of each point. From three on
    these are left out, and the function says how far a new one lies; None: not known, and
    intervals are for more of the same data. `offsets` gives each a height of its own in the fit
    (`offsets`). Raises InputError as `function.fit` does.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check_points(x, y, LEAST_POINTS, benchmark)
    count = None if datasets is None else len(np.unique(datasets))
    new = datasets is not None and count is not None and count >= LEAST_DATASETS
    if datasets is not None and new:
        blocks = datasets % MOST_REFITS
    elif blocks is None:
        blocks = np.arange(len(x))
    limits = bounds(y)
    owners = datasets if offsets else None
    try:
        curve = curve_of(x, y, owners, chance, falling=falling)
        refits = tuple(
            curve_of(
                x[blocks != k],
                y[blocks != k],
                None if owners is None else owners[blocks != k],
                chance,
                falling=falling,
            )
            for k in range(int(blocks.max()) + 1)
        )
    except NoFitError as reason:
        raise InputError(
            f"transfer function of {benchmark}",
            f"no curve fits: {reason}",
            "add calibration checkpoints or datasets",
        ) from reason
    unseen = np.empty_like(y)
    for k, refit in enumerate(refits):
        unseen[blocks == k] = np.clip(refit(x[blocks == k]), *limits)
    free = 4 if chance is None else 3
    return TransferFunction(
        benchmark=benchmark,
        curve=curve,
        loo_curves=refits,
        skipped={},
        provenance=provenance,
        bounds=limits,
        loo_refits=tuple(int(k) for k in blocks),
        datasets=count,
        new_data=new_data(y - unseen, datasets) if datasets is not None and new else None,
        **quality(x, y, curve, unseen, len(x) - free),
    )


def new_data(residuals: Array, datasets: Index) -> NewData:
    """How far a new dataset lies, from residuals of datasets left out, both of shape (n,).

    A dataset counts once, however many points it has.
    """
    squares = np.bincount(datasets, weights=residuals**2) / np.bincount(datasets)
    scale = max(float(np.sqrt(squares.mean())), _LEAST_SCALE)
    return NewData(freedom=len(squares) - 1, scatter=scale)
