"""How scores of proxies come about: the truth, an error, and the noise of seeds.

    score = truth + error + noise of seeds / sqrt(seeds)

for each candidate, all normal, in units of the targets' spread. The error is what separates a score
from the target even when it is known exactly. It is nested between sizes: the smaller of two has
the larger one's error and some more of its own. So what is left of the error at the last rung was
there at the first as well, and no rung sees it with fresh eyes.

Only the order of candidates counts, so the scale of scores is that of their ranks (normal scores).
On it errors of published proxies have no heavier tails than normal, and nested errors predict
families of recipes that were left out as well as any correlation with more parameters
(`benchmarks/design`). Raw likelihoods do have heavy tails, which `discrepancy` models, but those
have no finite expected regret.

Where a metric's errors were not fitted, they are taken from its published decision accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.discrepancy import FAR, Gap, ahead_probability
from dataselect.units import format_flops

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

# Differences of two standard normal scores: nodes of a standard normal variable, and weights.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_AHEAD, _WEIGHTS = np.abs(_NODES) * np.sqrt(2), _WEIGHTS / _WEIGHTS.sum()
_LEAST = 0.02
"""Least correlation of scores with targets, so that errors stay finite."""


@dataclass(frozen=True)
class ScoreModel:
    """Errors and noise of scores at several sizes, in units of the targets' spread."""

    error_sd: Array
    """Standard deviation of the error, by size."""
    seed_sd: Array
    """Standard deviation of the noise of one seed, by size."""
    doubt: float = 0.0
    """Standard deviation of the logarithm of `error_sd`, one for all sizes."""
    source: str = ""
    """What it rests on, in words."""
    extrapolated: tuple[str | None, ...] = ()
    """By size, why its values are extrapolated; None if they are not."""

    def errors(self, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
        """Nested errors, sizes x draws x candidates."""
        found = np.empty((len(self.error_sd), *shape), dtype=np.float32)
        error, variance = np.zeros(shape, dtype=np.float32), 0.0
        for size in np.argsort(self.error_sd, kind="stable"):
            more = float(self.error_sd[size]) ** 2 - variance
            if more > 0:
                own = rng.standard_normal(shape, dtype=np.float32)
                error, variance = error + np.float32(np.sqrt(more)) * own, variance + more
            found[size] = error
        return found


@dataclass(frozen=True)
class FittedErrors:
    """Errors as a function of a proxy's training FLOPs C, fitted to published scores.

    error = floor + (unit_flops / C')^exponent, where C' counts a proxy of a smaller target as
    larger in proportion, as in `discrepancy`.
    """

    source: str
    """The runs that it was fitted on, in words."""
    floor: float
    """`floor` in the formula."""
    unit_flops: float
    """`unit_flops` in the formula."""
    exponent: float
    """`exponent` in the formula."""
    seed_flops: Sequence[float]
    """Training FLOPs for which the noise of seeds is known, rising."""
    seed_share: Sequence[float]
    """Noise of one seed for each of them, in units of the spread of one seed's scores."""
    target_flops: float = 7.062e20
    """Training FLOPs of the fitted target."""

    def error(self, flops: Array, target_flops: float) -> Array:
        """Standard deviation of the error of proxies of these training FLOPs."""
        counted = flops * max(1.0, self.target_flops / target_flops)
        return np.asarray(self.floor + (self.unit_flops / counted) ** self.exponent)

    def model(self, flops: Sequence[float], target_flops: float) -> ScoreModel:
        """The model of scores at these sizes."""
        sizes = np.asarray(flops, dtype=np.float64)
        error = np.minimum(self.error(sizes, target_flops), 1 / _LEAST)
        share = np.interp(np.log(sizes), np.log(self.seed_flops), self.seed_share)
        return ScoreModel(
            error,
            share / np.sqrt(1 - share**2) * np.hypot(1, error),
            source=self.source,
            extrapolated=tuple(self._extrapolated(each, target_flops) for each in flops),
        )

    def _extrapolated(self, proxy_flops: float, target_flops: float) -> str | None:
        low, high = min(self.seed_flops), max(self.seed_flops)
        outside = []
        if not low / FAR <= proxy_flops <= high * FAR:
            outside.append(f"proxies of {format_flops(low)} to {format_flops(high)}")
        if not self.target_flops / FAR <= target_flops <= self.target_flops * FAR:
            outside.append(f"targets of {format_flops(self.target_flops)}")
        return f"it was fitted on {' and on '.join(outside)}" if outside else None


class Gaps(Protocol):
    """What is known of the gap of a metric, as `Discrepancy`."""

    def gap(self, proxy_flops: float, target_flops: float) -> Gap:
        """The gap between a proxy and a target of these training FLOPs."""


def from_gap(gaps: Gaps, flops: Sequence[float], target_flops: float) -> ScoreModel:
    """The model of normal scores of the same decision accuracy, where no errors were fitted.

    Errors are nested as those of likelihoods are, which is not known of other metrics.
    """
    known = [gaps.gap(each, target_flops) for each in flops]
    tau = np.array([each.tau for each in known])
    share = np.array([each.seed_sd for each in known])
    doubt = max(each.doubt for each in known)
    error, correlation = _equal_error(tau, share)
    larger, _ = _equal_error(tau * np.exp(doubt), share)
    smaller, _ = _equal_error(tau * np.exp(-doubt), share)
    return ScoreModel(
        error,
        share / correlation,
        float(np.mean(np.log(larger / smaller))) / 2,
        known[0].source,
        tuple(each.extrapolated for each in known),
    )


def _equal_error(tau: Array, share: Array) -> tuple[Array, Array]:
    """The error for which normal scores have the decision accuracy that `tau` stands for.

    `share`: noise of one seed in units of the spread of one seed's scores. Beside the error the
    correlation of one seed's scores with the targets.
    """
    noise = np.sqrt(2) * share
    accuracy = ahead_probability(_AHEAD, noise[:, None], tau[:, None]) @ _WEIGHTS
    correlation = np.clip(np.sin(np.pi * (accuracy - 0.5)), _LEAST, 1)
    error = np.sqrt(np.maximum((1 - share**2) / correlation**2 - 1, _LEAST**2))
    return error, correlation
