"""The robust transfer function: a sigmoid and monotone steps, averaged, clipped, with intervals.

The two err on opposite sides. A sigmoid from chance level is smooth and keeps rising past its
points, in a shape that the benchmark may not have; isotonic steps follow any monotone shape and are
flat past their points. On public series their mean was about as good as the better of the two in
cross-validation, and mostly better than both in extrapolation (`benchmarks/transfer`). The data do
not decide between the two, because the points that would show it are the ones to predict.

The floor is chance level, but never above the observed accuracies: targets do fall below chance,
where the wrong choices are likelier texts or an answer is not in the required form. Predictions
stay within the accuracies fitted, widened by half their range.

Intervals are those of `function`, with refits that leave out a whole block of neighbouring
checkpoints (`neighbours`); with points left out one by one, intervals missed later checkpoints more
often than stated.

Not covered: preparing the scores. Average them first, and a new candidate's in the same way.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataselect.errors import InputError
from dataselect.transfer.curves import Curve, NoFitError
from dataselect.transfer.function import Provenance, TransferFunction, check_points, quality
from dataselect.transfer.isotonic import fit_steps
from dataselect.transfer.sigmoid import fit_sigmoid

Array = NDArray[np.float64]

LEAST_POINTS = 6  # the sigmoid's four coefficients, one point to judge by and one left out
_MARGIN = 0.5  # of the width of the fitted accuracies


def robust_curve(x: Array, y: Array, chance: float | None, *, falling: bool) -> Curve:
    """Sigmoid with knots through points (x, y), both of shape (n,), y shares.

    `chance` is the accuracy of guessing, None if unknown; `falling` says that lower scores are
    better. Raises NoFitError when all scores are the same.
    """
    return replace(
        sigmoid_curve(x, y, chance, falling=falling), knots=fit_steps(x, y, falling=falling)
    )


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
    blocks: NDArray[np.int64] | None = None,
) -> TransferFunction:
    """Fit target accuracies y (0..1) on proxy scores x, both of shape (n,).

    `blocks`, of shape (n,) from 0: points of equal number are left out together in a refit; by
    default each is left out alone. Raises InputError as `function.fit` does.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check_points(x, y, LEAST_POINTS, benchmark)
    if blocks is None:
        blocks = np.arange(len(x))
    limits = bounds(y)
    try:
        curve = robust_curve(x, y, chance, falling=falling)
        refits = tuple(
            robust_curve(x[blocks != k], y[blocks != k], chance, falling=falling)
            for k in range(int(blocks.max()) + 1)
        )
    except NoFitError as reason:
        raise InputError(
            f"transfer function of {benchmark}",
            f"no curve fits: {reason}",
            "add calibration checkpoints",
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
        **quality(x, y, curve, unseen, len(x) - free),
    )
