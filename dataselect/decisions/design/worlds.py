"""Simulated worlds: true values of candidates, and scores that proxies of every kind would have.

All plans are tried in the same worlds (common random numbers), so the difference of two plans has
far less noise than either. A seed's noise is the same in whichever rung it is used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.design.score_model import ScoreModel

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Worlds:
    """Draws of a choice among candidates."""

    truth: Array
    """True values, draws x candidates, in units of the targets' spread; higher is better."""
    scores: Array
    """Sizes x seed levels x draws x candidates: mean score over that many seeds."""
    seed_levels: tuple[int, ...]
    """Numbers of seeds, rising."""

    @property
    def candidates(self) -> int:
        return int(self.truth.shape[1])

    def score(self, size: int, seeds: int) -> Array:
        """Draws x candidates, of one of `seed_levels`."""
        return np.asarray(self.scores[size, self.seed_levels.index(seeds)])


def draw_worlds(
    model: ScoreModel, candidates: int, seed_levels: tuple[int, ...], draws: int, seed: int
) -> Worlds:
    """`draws` worlds of the model."""
    rng = np.random.default_rng(seed)
    shape = (draws, candidates)
    truth = rng.standard_normal(shape, dtype=np.float32)
    # One factor for all sizes and candidates of a draw: it is the scale that is not known.
    factor = np.exp(model.doubt * rng.standard_normal((draws, 1), dtype=np.float32))
    exact = truth + factor * model.errors(shape, rng)
    scores = np.empty((len(exact), len(seed_levels), *shape), dtype=np.float32)
    for size, sd in enumerate(model.seed_sd):
        total, seeds = np.zeros(shape, dtype=np.float32), 0
        for place, level in enumerate(seed_levels):
            more = rng.standard_normal(shape, dtype=np.float32)
            total += np.float32(np.sqrt(level - seeds)) * more
            seeds = level
            scores[size, place] = exact[size] + np.float32(sd / level) * total
    return Worlds(truth, scores, seed_levels)
