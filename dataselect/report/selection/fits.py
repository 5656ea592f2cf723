"""The part `fits` of the document: what a picture of each transfer function needs.

By benchmark: `points` of the calibration, [score, accuracy]; and the function at the `scores` of a
grid over these and the candidates' scores: `accuracy`, `low` and `high` (null where no interval is
known). How good a function is stands in `provenance.transfer`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dataselect.pipeline import Selection

_GRID = 41
_MARGIN = 0.06
"""Of the range of scores, shown beyond its ends."""
_MOST_POINTS = 400
_DIGITS = 4
"""Decimals: a picture shows no more."""


def fits_part(selection: "Selection") -> dict[str, Any]:
    """Points and curve of each transfer function that predicts; {} without any."""
    prediction = selection.prediction
    if prediction is None:
        return {}
    confidence = selection.experiment.plan.confidence
    tables = prediction.scores.table("rbridge")
    parts = {}
    for benchmark, function in prediction.functions.items():
        ends = [*function.fitted_range, *tables[benchmark].mean().tolist()]
        margin = _MARGIN * (max(ends) - min(ends)) or _MARGIN
        grid = np.linspace(min(ends) - margin, max(ends) + margin, _GRID)
        low, high = function.intervals(grid, confidence)
        # Every so-and-so-many of very many points: they show where the function was fitted.
        step = -(-len(function.points) // _MOST_POINTS)
        parts[benchmark] = {
            "points": np.round(function.points[::step], _DIGITS).tolist(),
            "scores": np.round(grid, _DIGITS).tolist(),
            "accuracy": np.round(function.predict(grid), _DIGITS).tolist(),
            "low": np.round(low, _DIGITS).tolist(),
            "high": np.round(high, _DIGITS).tolist(),
        }
    return parts
