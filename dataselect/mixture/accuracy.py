"""Search for the mixture of the highest target accuracy, by transfer functions.

Each benchmark's score is modelled as before and then mapped by the benchmark's own function. A
monotone function does not move the best mixture for a single benchmark. With several it sets what a
nat of one is worth against a nat of another, and a better score is worth nothing where the target
stays at chance or answers everything already. What is minimised is the fraction of wrong answers.

Where the functions are flat (at chance or full marks) accuracy cannot tell mixtures apart, and a
search would wander. So the objective of scores breaks ties: a unit of it, a standard deviation over
the trials, counts as a hundredth of a point of accuracy.

Intervals come from draws. A score gets the errors of a held-out run, those of all benchmarks
together. Two mixtures are compared under the same refit of a function, so that their common error
cancels (`TransferFunction.comparison_draws`).

Not covered: whether a function applies (`transfer.applies`), and that a curved function's mean over
errors of a score is not its value at the mean score.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.model import MixtureModel
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import Proposal, along
from dataselect.mixture.stack import average
from dataselect.transfer.forecast import Forecast
from dataselect.transfer.function import TransferFunction

Array = NDArray[np.float64]

_TIE = 1e-4
"""Accuracy that a unit of the objective of scores counts as; too little to be measured."""
_SLICE_DRAWS = 500
"""Enough for intervals in a picture."""


@dataclass(frozen=True)
class TargetAccuracy:
    """The weighted mean over benchmarks of the target's predicted accuracy."""

    weights: Array
    """Weights of the benchmarks, (benchmarks,), summing to 1."""
    functions: tuple[TransferFunction | None, ...]
    """By benchmark, from score to accuracy; None where the weight is 0."""

    def of(self, scores: Array) -> Array:
        """Accuracy, 0..1, for scores of shape (..., benchmarks)."""
        parts = [weight * f.predict(scores[..., k]) for k, weight, f in self.parts]
        found: Array = np.sum(parts, axis=0)
        return found

    @property
    def parts(self) -> list[tuple[int, float, TransferFunction]]:
        """Place, weight and function of the benchmarks that count."""
        both = zip(self.weights.tolist(), self.functions, strict=True)
        return [(k, weight, f) for k, (weight, f) in enumerate(both) if f is not None]

    def costs(self, scores: Array, by_scores: Array) -> Array:
        """What is minimised: wrong answers, and the objective `by_scores` where those tie."""
        found: Array = 1 - self.of(scores) + _TIE * by_scores
        return found


@dataclass(frozen=True)
class WrongAnswers(Objective):
    """The fraction of answers that the target gets wrong; `weights` are the objective's."""

    target: TargetAccuracy
    """Maps scores to accuracy."""

    def of(self, values: Array) -> Array:
        """Fraction of wrong answers for scores of shape (..., benchmarks)."""
        found: Array = 1 - self.target.of(values)
        return found


@dataclass(frozen=True)
class AccuracyModel(MixtureModel):
    """A model of scores whose best mixture is the one with the most accurate target."""

    by_scores: MixtureModel
    """The same model with the objective of scores, which breaks ties."""

    def objective_costs(self, members: Array) -> tuple[Array, Array]:
        """See `MixtureModel`. Errors are those of scores, passed through the functions at the
        mixture's scores: where these are flat the error is 0, however the trials scattered."""
        wrong, expected = self._wrong(members)
        tie, tie_expected = self.by_scores.objective_costs(members)
        return wrong + _TIE * tie, expected + _TIE * tie_expected

    def tolerance(self, shares: Array) -> float:
        """The expected error of the accuracy at these `shares`, (sources,)."""
        _, expected = self._wrong(self.stack.members(shares[None]))
        return float(expected[0])

    def _wrong(self, members: Array) -> tuple[Array, Array]:
        costs = average(members, self.stack.stacking_weights)
        wrong = self.objective.of(costs)
        errors = self.units[:, None, :] * self.metric_errors(members)
        away = self.objective.of(np.concatenate([costs + errors, costs - errors])) - wrong
        return wrong, np.sqrt((away**2).mean(axis=0))


def by_accuracy(model: MixtureModel, target: TargetAccuracy) -> AccuracyModel:
    """The model with the target's accuracy as its objective."""
    assert model.lower_is_better, "scores are nats"
    objective = WrongAnswers(model.objective.weights, model.objective.standardised, target)
    return AccuracyModel(model.swarm, True, objective, model.stack, model.seed, model)


def score_draws(
    model: MixtureModel, shares: Array, draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Predicted scores of mixtures (mixtures, benchmarks), and plausible ones (draws, ...).

    A draw takes the errors of some held-out run, with either sign. The run with the largest errors
    is counted twice, in place of a finite-sample correction.
    """
    members = model.stack.members(shares)
    costs = average(members, model.stack.stacking_weights)
    units = np.vstack([model.units, model.units[(model.units**2).sum(axis=1).argmax()]])
    shape = (draws, len(shares))
    picked = units[rng.integers(len(units), size=shape)]
    signs = rng.choice(np.array([-1.0, 1.0]), size=(*shape, 1))
    return costs, costs + signs * picked * model.metric_errors(members)


@dataclass(frozen=True)
class Range:
    """A value with its interval."""

    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval, not above `value`; -inf where none is known."""
    high: float
    """Upper end, not below `value`; inf where none is known."""

    def forecast(self, extrapolated: bool) -> Forecast:
        """The same of an accuracy."""
        if not math.isfinite(self.low):
            return Forecast(self.value, None, None, extrapolated)
        return Forecast(self.value, self.low, self.high, extrapolated)


@dataclass(frozen=True)
class Compared:
    """Accuracies of mixtures, and what the first one gains over each of the others."""

    overall: tuple[Forecast, ...]
    """By mixture, the weighted mean over benchmarks."""
    benchmarks: tuple[dict[int, Forecast], ...]
    """By mixture, the accuracy by place of the benchmark."""
    gains: tuple[Range, ...]
    """Accuracy of the first mixture less that of each other one."""


def compare(
    target: TargetAccuracy,
    scores: Array,
    draws: Array,
    confidence: float,
    rng: np.random.Generator,
) -> Compared:
    """Accuracies by scores (mixtures, benchmarks) and draws (draws, mixtures, benchmarks)."""
    level, against = np.zeros(draws.shape[:2]), np.zeros(draws.shape[:2])
    single: list[dict[int, Forecast]] = [{} for _ in scores]
    for k, weight, function in target.parts:
        drawn = function.prediction_draws(draws[..., k], rng)
        level += weight * drawn
        against += weight * function.comparison_draws(draws[..., k], rng)
        predicted, beyond = function.predict(scores[:, k]), function.extrapolated(scores[:, k])
        for i, each in enumerate(single):
            found = _range(float(predicted[i]), drawn[:, i], confidence)
            each[k] = found.forecast(bool(beyond[i]))
    overall = target.of(scores)
    levels = [_range(float(overall[i]), level[:, i], confidence) for i in range(len(scores))]
    return Compared(
        tuple(
            r.forecast(any(f.extrapolated for f in by_benchmark.values()))
            for r, by_benchmark in zip(levels, single, strict=True)
        ),
        tuple(single),
        tuple(
            _range(float(overall[0] - overall[i]), against[:, 0] - against[:, i], confidence)
            for i in range(1, len(scores))
        ),
    )


@dataclass(frozen=True)
class Forecasts:
    """Predicted accuracies of the target for a proposal and other mixtures."""

    compared: Compared
    """The proposal first, then the mixtures beside it."""
    beside: tuple[str, ...]
    """Names of the mixtures beside the proposal."""
    slices: tuple[tuple[Forecast, ...], ...]
    """By source, along the points of the proposal's slice."""


def forecast(
    model: MixtureModel,
    target: TargetAccuracy,
    proposal: Proposal,
    confidence: float,
    draws: int,
    seed: int,
) -> Forecasts:
    """Accuracies of a proposal, of the mixtures beside it, and along its slices."""
    rng = np.random.default_rng(seed)

    def of(points: Array, count: int) -> Compared:
        scores, plausible = score_draws(model, points, count, rng)
        return compare(target, scores, plausible, confidence, rng)

    mixtures = [proposal.shares, *(each.shares for each in proposal.beside.values())]
    compared = of(np.array(mixtures), draws)
    slices = []
    for source, each in enumerate(proposal.slices):
        points = along(proposal.shares, source, each.shares)
        slices.append(of(points, min(draws, _SLICE_DRAWS)).overall)
    return Forecasts(compared, tuple(proposal.beside), tuple(slices))


def _range(value: float, draws: Array, confidence: float) -> Range:
    if np.isnan(draws).any():
        return Range(value, -math.inf, math.inf)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    # The value need not be among typical draws, which come from refits of the curve.
    return Range(value, min(float(low), value), max(float(high), value))
