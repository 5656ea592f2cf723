"""Predictions for every mixture of three sources: the grid under a ternary picture.

No picture shows every mixture of more sources; a proposal's slices serve there. The grid covers the
whole triangle, beyond runs and bounds as well: wide intervals show where the model extrapolates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.model import MixtureModel

Array = NDArray[np.float64]

_PARTS = 40


@dataclass(frozen=True)
class ResponseMap:
    """Predictions on a regular grid of mixtures."""

    shares: Array
    """(points, 3), each row summing to 1."""
    objective: Array
    """Predicted objective, (points,)."""
    half: Array
    """Half widths of its intervals, (points,)."""


def response_map(model: MixtureModel, confidence: float) -> ResponseMap | None:
    """The grid for a model of three sources; None for any other number of sources."""
    if len(model.swarm.sources) != 3:
        return None
    steps = [(i, j) for i in range(_PARTS + 1) for j in range(_PARTS + 1 - i)]
    shares = np.array([(i, j, _PARTS - i - j) for i, j in steps]) / _PARTS
    found = model.predict(shares, confidence)
    return ResponseMap(shares, found.objective, found.objective_half)
