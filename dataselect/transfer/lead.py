"""How sure the order of two forecasts would be with more seeds or items.

As `forecast` compares two targets, with the noise of their scores scaled: each draw uses one refit
of the function for both, and a deviation for each. What is left without noise is what the function
knows, since targets of equal score differ.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dataselect.decisions.ranking import win_probabilities
from dataselect.transfer.forecast import Array
from dataselect.transfer.function import TransferFunction


@dataclass(frozen=True)
class PairScores:
    """Scores of two candidates on a benchmark, and their noise by source."""

    observed: Array
    """Shape (2,)."""
    items: Array
    """What resampling the items adds to them, draws x 2."""
    seed_sd: float | None
    """Standard deviation of the score of one seed; None if not known."""


@dataclass(frozen=True)
class ForecastLead:
    """The first's lead over another by the forecast of their targets' accuracy."""

    scores: Mapping[str, PairScores]
    """By benchmark, the first of the two first."""
    functions: Mapping[str, TransferFunction]
    """By benchmark."""
    seed: int
    """Of the draws."""

    @property
    def seeds_known(self) -> bool:
        """Whether the noise of seeds is known on every benchmark."""
        return all(each.seed_sd is not None for each in self.scores.values())

    def probability(self, seeds: float, items: float = 1.0) -> float:
        """Probability that the first's target is ahead, in 0..1.

        With so many seeds of each, and so many times as many items.
        """
        # The same draws for any number of seeds and items, so that their effect is not noise.
        rng = np.random.default_rng(self.seed)
        accuracies = []
        for name, each in self.scores.items():
            noise = (each.seed_sd or 0.0) / math.sqrt(seeds) * rng.standard_normal(each.items.shape)
            drawn = each.observed + each.items / math.sqrt(items) + noise
            accuracies.append(self.functions[name].comparison_draws(drawn, rng))
        return float(win_probabilities(-np.mean(accuracies, axis=0))[0, 1])
