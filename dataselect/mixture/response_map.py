"""What a model predicts of every mixture of three sources: the grid under a ternary picture.

Of more sources no picture shows every mixture; there the slices of a proposal have to do. The grid
covers the whole triangle, beyond runs and bounds as well: the half interval says where the model
guesses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.model import MixtureModel

Array = NDArray[np.float64]

_PARTS = 40


@dataclass(frozen=True)
class ResponseMap:
    """Mixtures (points, 3) on a regular grid, the objective of each, and its half interval."""

    shares: Array
    objective: Array
    half: Array


def response_map(model: MixtureModel, confidence: float) -> ResponseMap | None:
    """The grid of a model of three sources; None for any other number."""
    if len(model.swarm.sources) != 3:
        return None
    steps = [(i, j) for i in range(_PARTS + 1) for j in range(_PARTS + 1 - i)]
    shares = np.array([(i, j, _PARTS - i - j) for i, j in steps]) / _PARTS
    found = model.predict(shares, confidence)
    return ResponseMap(shares, found.objective, found.objective_half)
