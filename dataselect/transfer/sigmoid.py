"""A sigmoid of the proxy's score: from chance level up to a fitted ceiling.

Accuracy on a benchmark starts at guessing and saturates below 1, because of wrong labels and
because a target of one size is limited. So the floor is known before any fit and the ceiling is
not: a ceiling fixed at 1 was worse wherever it was tried.

For given steepness and middle the height is linear, and so is the floor if it has to be fitted. So
only two numbers are searched, on a grid that is refined. That needs no starting point and is
deterministic. On 70 public series its squared error was within 0.1% of a grid 40 times as fine on
64 and within 4% on all; it can miss a step between two points.

Not covered: accuracy that falls as the score gets better. The caller gives the direction; if it is
wrong, the best sigmoid is flat.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.curves import Curve

Array = NDArray[np.float64]

# In widths of the scores' range. The middle may lie well outside, so that points on one end of the
# sigmoid are fitted too. At the least steepness a sigmoid is nearly a straight line on its points;
# at the greatest it rises within a tenth of their range.
_MIDDLES = (-1.5, 2.5)
_STEEPNESS = (0.5, 40.0)
_GRID = (41, 12)
_FINER = 9
_ROUNDS = 8
_SHRINK = 0.5
_CELLS = 2**15  # of the grid times the points, evaluated at once: what a core's cache holds


def fit_sigmoid(x: Array, y: Array, floor: float | None, *, falling: bool) -> Curve:
    """Least-squares sigmoid through points (x, y), both of shape (n,), y shares.

    `floor` is the accuracy of guessing; None fits it, between 0 and the lowest y. `falling` says
    that lower scores are better. The ceiling is at most 1. Scores must differ.
    """
    kept = (np.ascontiguousarray(each, np.float64).tobytes() for each in (x, y))
    return _fitted(*kept, floor, falling)


@lru_cache(maxsize=1024)
def _fitted(xs: bytes, ys: bytes, floor: float | None, falling: bool) -> Curve:
    """`fit_sigmoid`, kept: of a table's fits nearly half are asked for twice, with rows held out
    for the errors and again for the intervals."""
    x, y = np.frombuffer(xs), np.frombuffer(ys)
    low, width, origin = float(x.min()), float(np.ptp(x)), float(x.mean())
    # v rises from 0, the worst score, to 1, the best.
    v = (low + width - x) / width if falling else (x - low) / width
    middles, rates = np.linspace(*_MIDDLES, _GRID[0]), np.geomspace(*_STEEPNESS, _GRID[1])
    reach, ratio = middles[1] - middles[0], np.log(rates[1] / rates[0])
    rows = max(1, _CELLS // len(x))
    for step in range(_ROUNDS + 1):
        grid = np.meshgrid(middles, rates)
        middle, rate = grid[0].ravel(), grid[1].ravel()
        parts = [
            _evaluated(v, y, middle[i : i + rows], rate[i : i + rows], floor)
            for i in range(0, len(middle), rows)
        ]
        errors, heights, floors = map(np.concatenate, zip(*parts, strict=True))
        best = int(errors.argmin())
        if step < _ROUNDS:
            middles = middle[best] + np.linspace(-reach, reach, _FINER)
            rates = rate[best] * np.exp(np.linspace(-ratio, ratio, _FINER))
            rates = np.unique(np.clip(rates, *_STEEPNESS))
            reach, ratio = reach * _SHRINK, ratio * _SHRINK
    sign = -1 if falling else 1
    centre = low + width * (1 - middle[best] if falling else middle[best]) - origin
    coefficients = (floors[best], heights[best], sign * rate[best] / width, centre)
    return Curve("sigmoid", origin, tuple(float(c) for c in coefficients))


def _evaluated(
    v: Array, y: Array, middle: Array, rate: Array, floor: float | None
) -> tuple[Array, Array, Array]:
    """Squared error, best height and best floor for each middle and rate."""
    basis = 1 / (1 + np.exp(-rate[:, None] * (v - middle[:, None])))
    floors = np.full(len(basis), floor) if floor is not None else _floors(basis, y)
    above = y - floors[:, None]
    heights = np.clip((basis * above).sum(axis=1) / (basis**2).sum(axis=1), 0, 1 - floors)
    return ((heights[:, None] * basis - above) ** 2).sum(axis=1), heights, floors


def _floors(basis: Array, y: Array) -> Array:
    """The best floor for each row of the basis, with the height fitted as well."""
    mean = basis.mean(axis=1, keepdims=True)
    centred = basis - mean
    variation = (centred**2).sum(axis=1)
    slopes = np.divide(centred @ y, variation, out=np.zeros(len(basis)), where=variation > 1e-12)
    return np.asarray(np.clip(y.mean() - slopes * mean[:, 0], 0, max(float(y.min()), 0.0)))
