"""How far a target's accuracy lies from a transfer function: on new data, and later in a run.

These are two questions. A **new dataset** is one that the function has not seen; how far its target
lies from the curve can be learned from datasets alone, however many checkpoints each has. So the
scale comes from whole datasets left out, and Student's t has as many degrees of freedom as there
are datasets, less one. Three datasets are the least; with a prior on scatter, one. **Later** in a
run that was fitted, accuracy drifts away from the curve. The scale comes from fits on the first
part of each run, which predict the rest, and grows with the distance beyond the fitted scores as a
random walk does.

Rows of a dataset that stay in a refit make intervals that are far too narrow for another one: on
DataDecide's recipes nominal 90% intervals held .43 of the accuracies at three recipes
(`benchmarks/transfer`).

Not covered: fitting these (`robust`, `prior`), and the noise of the new score, which is in the
draws of the score.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.student_t import half_width

Array = NDArray[np.float64]

LEAST_DATASETS = 3
"""Datasets from which on whole ones can be left out to see how far a new one lies."""

LEAST_AGREEMENT = 0.01
"""Probability of the data by a prior below which the two are said to contradict each other."""


@dataclass(frozen=True)
class NewData:
    """Student's t about the curve for a dataset that was not fitted; accuracies in 0..1."""

    freedom: float
    """Degrees of freedom."""
    scatter: float
    """Scale of a target's own deviation, which it shares with no other."""
    level: float = 0.0
    """Scale of the curve's error in height, which all candidates share."""
    slope: float = 0.0
    """Scale of the error of its slope, per unit of the score's natural logarithm."""
    centre: float = 0.0
    """Natural logarithm of the score where the slope's error is nil."""
    conflict: float | None = None
    """Probability, by the prior, of targets that lie so far from its line as those fitted; None
    without a prior or with one dataset."""

    def scale(self, x: Array) -> Array:
        """Scale of the whole deviation at scores x, of the same shape."""
        fixed = self.scatter**2 + self.level**2
        if not self.slope:
            return np.full(np.shape(x), math.sqrt(fixed))
        return np.asarray(np.sqrt(fixed + (self.slope * (_log(x) - self.centre)) ** 2))

    def quantile(self, confidence: float) -> float:
        """Half width of the central interval, in scales."""
        return half_width(self.freedom, confidence)

    def deviations(self, x: Array, rng: np.random.Generator) -> Array:
        """A deviation for each draw of a candidate's score, of x's shape."""
        return np.asarray(self.scale(x) * rng.standard_t(self.freedom, size=np.shape(x)))

    def apart(self, x: Array, rng: np.random.Generator) -> Array:
        """Deviations of candidates from each other, for scores x of draws x candidates.

        The error in height is left out, which all share, and that of the slope is one for all.
        """
        inflation = np.sqrt(self.freedom / rng.chisquare(self.freedom, size=(len(x), 1)))
        own = self.scatter * rng.standard_normal(np.shape(x))
        if self.slope:
            own += self.slope * rng.standard_normal((len(x), 1)) * (_log(x) - self.centre)
        return np.asarray(inflation * own)


@dataclass(frozen=True)
class Later:
    """Student's t about the curve for later checkpoints of a run that was fitted."""

    freedom: float
    """Degrees of freedom: the number of parts that were predicted from what came before."""
    inside: float
    """Scale within the fitted scores, from blocks of checkpoints left out."""
    beyond: float
    """Scale at the edge of the fitted scores, from later parts of runs."""
    reach: float
    """Distance beyond the fitted scores at which the variance is twice that at the edge, in widths
    of the fitted range."""

    def scale(self, distance: Array) -> Array:
        """Scale at `distance` beyond the fitted scores, in widths of their range; of its shape."""
        grown = self.beyond * np.sqrt(1 + distance / self.reach)
        return np.asarray(np.maximum(self.inside, grown))

    def quantile(self, confidence: float) -> float:
        """Half width of the central interval, in scales."""
        return half_width(self.freedom, confidence)


def _log(x: Array) -> Array:
    return np.log(np.maximum(x, np.finfo(np.float64).tiny))
