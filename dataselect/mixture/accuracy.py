"""The objective of a search for mixtures in the target's accuracy, by transfer functions.

Each benchmark's score is modelled as ever and mapped afterwards, by the function of its own: a
monotone one does not move the best mixture of a single benchmark, but it says what a nat of one is
worth against a nat of another, and that a score which the target cannot answer from, or answers all
from already, is worth nothing. What is minimised is the share that the target gets wrong.

Where the functions are flat (beyond chance or full marks) accuracy tells mixtures no longer apart,
and a search would wander. So the objective of scores breaks ties: a unit of it, a standard
deviation over the trials, counts as a hundredth of a point of accuracy.

Intervals are drawn. A score errs as held-out scores did, all benchmarks of a run together; two
mixtures of a comparison stand under the same refit of a function, so that the error which both
share cancels (`TransferFunction.comparison_draws`).

Not covered: whether a function applies (`transfer.applies`), and that the mean over errors of a
score is not the function's value at the mean score where the function is curved.
"""

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
"""Accuracy that a unit of the objective of scores counts for; too little to be measured."""
_SLICE_DRAWS = 500
"""Enough for bars in a picture."""


@dataclass(frozen=True)
class TargetAccuracy:
    """The mean accuracy over benchmarks by `shares`, summing to 1; no function where that is 0."""

    weights: Array
    functions: tuple[TransferFunction | None, ...]

    def of(self, scores: Array) -> Array:
        """Accuracy, 0..1, of scores of shape (..., benchmarks)."""
        parts = [weight * f.predict(scores[..., k]) for k, weight, f in self.parts]
        found: Array = np.sum(parts, axis=0)
        return found

    @property
    def parts(self) -> list[tuple[int, float, TransferFunction]]:
        """Place, share and function of the benchmarks that count."""
        both = zip(self.weights.tolist(), self.functions, strict=True)
        return [(k, weight, f) for k, (weight, f) in enumerate(both) if f is not None]

    def costs(self, scores: Array, by_scores: Array) -> Array:
        """What is minimised, with the objective of scores where accuracies tie."""
        found: Array = 1 - self.of(scores) + _TIE * by_scores
        return found


@dataclass(frozen=True)
class WrongAnswers(Objective):
    """The share that the target gets wrong; `weights` are those of the objective of scores."""

    target: TargetAccuracy

    def of(self, values: Array) -> Array:
        """Of scores, shape (..., benchmarks)."""
        found: Array = 1 - self.target.of(values)
        return found


@dataclass(frozen=True)
class AccuracyModel(MixtureModel):
    """A model of scores, lower better, whose best mixture is that of the most accurate target."""

    by_scores: MixtureModel

    def objective_costs(self, members: Array) -> tuple[Array, Array]:
        """See `MixtureModel`. Errors are those of scores, carried through the functions where the
        mixture is: where these are flat nothing is unsure, however the trials scattered."""
        wrong, expected = self._wrong(members)
        tie, tie_expected = self.by_scores.objective_costs(members)
        return wrong + _TIE * tie, expected + _TIE * tie_expected

    def tolerance(self, shares: Array) -> float:
        """The expected error of the accuracy at `weights`."""
        _, expected = self._wrong(self.stack.members(shares[None]))
        return float(expected[0])

    def _wrong(self, members: Array) -> tuple[Array, Array]:
        costs = average(members, self.stack.stacking_weights)
        wrong = self.objective.of(costs)
        errors = self.units[:, None, :] * self.metric_errors(members)
        away = self.objective.of(np.concatenate([costs + errors, costs - errors])) - wrong
        return wrong, np.sqrt((away**2).mean(axis=0))


def by_accuracy(model: MixtureModel, target: TargetAccuracy) -> AccuracyModel:
    """The model with accuracy for its objective."""
    assert model.lower_is_better, "scores are nats"
    objective = WrongAnswers(model.objective.weights, model.objective.standardised, target)
    return AccuracyModel(model.swarm, True, objective, model.stack, model.seed, model)


def score_draws(
    model: MixtureModel, shares: Array, draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Predicted scores of mixtures (mixtures, benchmarks), and plausible ones (draws, ...).

    A draw takes the errors that some held-out run had, of either sign. The run to come errs as
    the worst did, which stands for the finite-sample correction.
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
    """A value between `low` and `high`, its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """Accuracies of mixtures, the first of which is compared with the others.

    `overall` and `benchmarks` have an entry for each mixture, the latter by the place of the
    benchmark; `gains` are of the first over each of the others.
    """

    overall: tuple[Forecast, ...]
    benchmarks: tuple[dict[int, Forecast], ...]
    gains: tuple[Range, ...]


def compare(
    target: TargetAccuracy,
    scores: Array,
    draws: Array,
    confidence: float,
    rng: np.random.Generator,
) -> Compared:
    """Of mixtures' scores (mixtures, benchmarks) and plausible ones (draws, ...)."""
    level, against = np.zeros(draws.shape[:2]), np.zeros(draws.shape[:2])
    single: list[dict[int, Forecast]] = [{} for _ in scores]
    for k, weight, function in target.parts:
        drawn = function.prediction_draws(draws[..., k], rng)
        level += weight * drawn
        against += weight * function.comparison_draws(draws[..., k], rng)
        predicted, beyond = function.predict(scores[:, k]), function.extrapolated(scores[:, k])
        for i, each in enumerate(single):
            found = _range(float(predicted[i]), drawn[:, i], confidence)
            each[k] = Forecast(found.value, found.low, found.high, bool(beyond[i]))
    overall = target.of(scores)
    levels = [_range(float(overall[i]), level[:, i], confidence) for i in range(len(scores))]
    return Compared(
        tuple(
            Forecast(r.value, r.low, r.high, any(f.extrapolated for f in own.values()))
            for r, own in zip(levels, single, strict=True)
        ),
        tuple(single),
        tuple(
            _range(float(overall[0] - overall[i]), against[:, 0] - against[:, i], confidence)
            for i in range(1, len(scores))
        ),
    )


@dataclass(frozen=True)
class Forecasts:
    """What the target is to score: `compared` is of the proposal and the mixtures `beside` it,
    `slices` are of its slices."""

    compared: Compared
    beside: tuple[str, ...]
    slices: tuple[tuple[Forecast, ...], ...]


def forecast(
    model: MixtureModel,
    target: TargetAccuracy,
    proposal: Proposal,
    confidence: float,
    draws: int,
    seed: int,
) -> Forecasts:
    """Accuracies of a proposal, of what stands beside it and along its slices."""
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
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    # The curve's own value need not be a typical draw: the refits behind the draws differ.
    return Range(value, min(float(low), value), max(float(high), value))
