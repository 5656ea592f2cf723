"""Searches that maximise the target's accuracy, and the intervals of it."""

from dataclasses import replace

import numpy as np
import pytest
from searches import SETTINGS, law

from dataselect.mixture.accuracy import TargetAccuracy, by_accuracy, compare, forecast, score_draws
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.propose import best_mixture, propose
from dataselect.mixture_search.sampler import designed, fit, proposed
from dataselect.mixture_search.trial import costs
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.function import fit as fit_function

UNKNOWN = Setting(*[None] * 8)
LONG = replace(SETTINGS, trials=20, designed=20)


def function(
    low: float, high: float, noise: float = 0.01, slope: float = -0.2, bend: float = 0.0
) -> TransferFunction:
    """A falling line through points between two scores, off everywhere where they are bent."""
    x = np.linspace(low, high, 8)
    wiggle = noise * np.random.default_rng(0).standard_normal(8)
    y = np.clip(0.5 + slope * (x - x.mean()) + bend * (x - x.mean()) ** 2 + wiggle, 0, 1)
    return fit_function(
        x, y, benchmark="b", provenance=Provenance(UNKNOWN, "", ""), family="linear"
    )


@pytest.fixture(scope="module")
def model() -> MixtureModel:
    return fit(LONG, {trial: law(trial) for trial in designed(LONG)})


def target(*functions: TransferFunction) -> TargetAccuracy:
    return TargetAccuracy(np.full(len(functions), 1 / len(functions)), functions)


def scores(model: MixtureModel, wanted: TargetAccuracy | None = None) -> np.ndarray:
    """Predicted scores of the best mixture."""
    by = model if wanted is None else by_accuracy(model, wanted)
    return model.predict(best_mixture(by, SETTINGS.limits, 0)[None]).metrics[0]


def flat() -> TransferFunction:
    """Full marks for every score."""
    return replace(function(2, 4), bounds=(0.9, 0.9))


def test_where_the_functions_are_flat_the_scores_decide(model: MixtureModel) -> None:
    by_flat = scores(model, target(flat(), flat()))
    assert model.objective.of(by_flat) == pytest.approx(model.objective.of(scores(model)), abs=0.01)


def test_a_benchmark_that_the_target_masters_already_leaves_the_choice_to_the_other(
    model: MixtureModel,
) -> None:
    best = scores(model, target(flat(), function(2, 4)))
    only = np.array([0, 1 / model.swarm.values[:, 1].std()])
    alone = scores(replace(model, objective=replace(model.objective, weights=only)))
    assert best[1] == pytest.approx(alone[1], abs=0.02)
    assert best[1] < scores(model)[1]


def test_accuracy_outweighs_the_scores_where_it_can_tell(model: MixtureModel) -> None:
    wanted = target(function(2, 4, slope=-0.3), function(2, 4, slope=-0.01))
    best, other = scores(model, wanted), scores(model)
    assert wanted.of(best) > wanted.of(other)
    assert model.objective.of(best) > model.objective.of(other), "which is lower when better"


def test_what_two_mixtures_share_of_a_function_s_error_is_not_in_their_difference(
    model: MixtureModel,
) -> None:
    bent = function(2, 4, noise=0.0, bend=0.15)
    wanted = target(bent, bent)
    proposal = propose(model, SETTINGS.limits, 0.9, 0, by_accuracy(model, wanted))
    made = forecast(model, wanted, proposal, 0.9, 2000, 0)
    first, prior = made.compared.overall[:2]
    gain = made.compared.gains[0]
    assert made.beside[0] == "prior"
    assert gain.value == pytest.approx(first.predicted_accuracy - prior.predicted_accuracy)
    assert gain.low < gain.value < gain.high
    assert gain.high - gain.low < 0.8 * np.hypot(first.high - first.low, prior.high - prior.low)
    assert first.predicted_accuracy == pytest.approx(wanted.of(proposal.metrics))
    assert [len(each) for each in made.slices] == [len(s.shares) for s in proposal.slices]
    again = forecast(model, wanted, proposal, 0.9, 2000, 0)
    assert again == made


def test_intervals_hold_the_function_s_own_error(model: MixtureModel) -> None:
    shares = np.array([[0.25, 0.25, 0.25, 0.25]])
    widths = []
    for noise in (0.001, 0.2):
        wanted = target(function(2, 4, noise=noise), function(2, 4, noise=noise))
        rng = np.random.default_rng(0)
        seen, draws = score_draws(model, shares, 1000, rng)
        level = compare(wanted, seen, draws, 0.9, rng).overall[0]
        widths.append(level.high - level.low)
    assert widths[1] > 3 * widths[0]


def test_scores_vary_as_held_out_runs_erred(model: MixtureModel) -> None:
    shares = model.swarm.shares[:6]
    seen, draws = score_draws(model, shares, 4000, np.random.default_rng(0))
    assert seen == pytest.approx(model.predict(shares).metrics)
    half = np.quantile(np.abs(draws - seen), 0.8, axis=0)
    assert half == pytest.approx(model.predict(shares, 0.8).metrics_half, rel=0.35)


def test_a_score_beyond_the_calibration_is_marked(model: MixtureModel) -> None:
    rng = np.random.default_rng(0)
    seen, draws = score_draws(model, np.eye(4), 50, rng)
    inside = target(function(0, 10), function(0, 10))
    outside = target(function(0, 10), function(50, 60))
    assert not any(f.extrapolated for f in compare(inside, seen, draws, 0.9, rng).overall)
    marked = compare(outside, seen, draws, 0.9, rng)
    assert all(f.extrapolated for f in marked.overall)
    assert [marked.benchmarks[0][k].extrapolated for k in (0, 1)] == [False, True]


def test_rounds_are_proposed_for_accuracy_and_told_apart_from_those_for_scores() -> None:
    accuracy = replace(SETTINGS, target=target(function(2, 4), flat()))
    values = {trial: law(trial) for trial in designed(SETTINGS)}
    (ours,) = proposed(accuracy, values, [], 1, 1)
    assert proposed(SETTINGS, values, [], 1, 1) != [ours]
    table = np.array(list(values.values()))
    assert (np.argsort(costs(accuracy, table)) == np.argsort(table[:, 0])).all()
    assert accuracy.tag != SETTINGS.tag
    assert accuracy.tag == replace(accuracy).tag
    assert accuracy.tag != replace(accuracy, target=target(function(2, 5), flat())).tag
