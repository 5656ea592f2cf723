"""Forecasts of accuracies, and how sure the order of two candidates is."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.transfer.forecast import (
    Forecasts,
    Scores,
    counted,
    doubts,
    forecast,
    not_told_apart,
    seed_scores,
    tiers,
    with_seed_noise,
)
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit
from dataselect.transfer.robust import fit_robust
from dataselect.transfer.worth import Worth

PROVENANCE = Provenance(Setting(*[None] * 8), "simulated", "a test")
X = np.linspace(0.9, 1.6, 16)


def accuracy(score: np.ndarray) -> np.ndarray:
    return 0.25 + 0.5 / (1 + np.exp(8 * (score - 1.2)))


def function(departure: float = 0.0, seed: int = 0, name: str = "arc") -> TransferFunction:
    y = accuracy(X) + np.random.default_rng(seed).normal(0, departure, len(X))
    return fit_robust(X, y, benchmark=name, provenance=PROVENANCE, chance=0.25)


def exact(*scores: float, draws: int = 2000) -> Scores:
    return Scores(np.array(scores), np.tile(np.array(scores), (draws, 1)))


def forecasts(
    scores: dict[str, Scores], functions: dict[str, TransferFunction], seed: int = 0
) -> Forecasts:
    names = ["web", "books", "code"][: len(next(iter(scores.values())).observed)]
    rng = np.random.default_rng(seed)
    return forecast(names, scores, functions, confidence=0.9, rng=rng)


def test_the_best_comes_first_with_its_interval() -> None:
    found = forecasts({"arc": exact(1.3, 1.1, 1.7)}, {"arc": function(0.01)})
    assert list(found.overall) == ["books", "web", "code"]
    for name, score in (("web", 1.3), ("books", 1.1)):
        one = found.overall[name]
        assert one == found.by_benchmark[name]["arc"]
        assert abs(one.predicted_accuracy - accuracy(np.array(score))) < 0.02
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.predicted_accuracy <= one.high
        assert not one.extrapolated
    assert found.overall["code"].extrapolated


def test_probabilities_of_a_pair_sum_to_one_and_follow_the_order() -> None:
    wins = forecasts({"arc": exact(1.3, 1.2, 1.25)}, {"arc": function(0.03)}).wins
    assert list(wins.index) == list(wins.columns) == ["books", "code", "web"]
    np.testing.assert_allclose(wins + wins.T, 1)
    assert wins.at["books", "web"] > wins.at["books", "code"] > 0.5


def test_candidates_are_surer_in_order_than_their_intervals_are_apart() -> None:
    # A straight line is off by some points wherever it is, and alike for scores as near as these.
    line = fit(X, accuracy(X), benchmark="arc", provenance=PROVENANCE, family="linear")
    found = forecasts({"arc": exact(1.2, 1.18)}, {"arc": line})
    assert found.overall["web"].high > found.overall["books"].predicted_accuracy
    assert found.wins.at["books", "web"] > 0.8
    apart = [line.prediction_draws(np.full(4000, x), np.random.default_rng(0)) for x in (1.18, 1.2)]
    assert np.mean(apart[0] > np.random.default_rng(1).permutation(apart[1])) < 0.7


def test_what_targets_of_like_score_differ_by_makes_an_order_unsure() -> None:
    sure, unsure = (
        forecasts({"arc": exact(1.2, 1.19)}, {"arc": function(departure)}).wins.at["books", "web"]
        for departure in (0.0, 0.02)
    )
    assert sure > 0.99
    assert 0.5 < unsure < 0.75


def test_noise_of_seeds_makes_an_order_unsure() -> None:
    rng = np.random.default_rng(0)
    values = np.array([[1.20, 1.24, 1.16], [1.17, 1.21, 1.13]])
    found = forecasts({"arc": seed_scores(values, 4000, rng)}, {"arc": function()})
    # A difference of .03 with an error of .04 * sqrt(2 / 3) = .033 and 4 degrees of freedom.
    assert found.wins.at["books", "web"] == pytest.approx(0.79, abs=0.03)
    assert found.overall["web"].high - found.overall["web"].low > 0.05


def test_a_candidate_without_a_score_is_predicted_where_it_has_one_and_not_ranked() -> None:
    scores = {"arc": exact(1.3, 1.2), "csqa": exact(1.3, np.nan)}
    found = forecasts(scores, {name: function(name=name) for name in scores})
    assert set(found.overall) == {"web"}
    assert set(found.by_benchmark["books"]) == {"arc"}
    assert found.wins.shape == (1, 1)
    nobody = forecasts({"arc": exact(np.nan)}, {"arc": function()})
    assert nobody.wins.empty
    assert not nobody.overall


def test_predictions_that_saturate_stay_in_the_order_given() -> None:
    found = forecasts({"arc": exact(9.0, 8.0, 8.5)}, {"arc": function()})
    assert found.overall["web"].predicted_accuracy == found.overall["code"].predicted_accuracy
    assert list(found.overall) == ["web", "books", "code"]


def test_over_benchmarks_it_is_the_mean() -> None:
    scores = {"arc": exact(1.3, 1.2), "csqa": exact(1.0, 1.2)}
    found = forecasts(scores, {name: function(0.01, name=name) for name in scores})
    for name, parts in found.by_benchmark.items():
        mean = np.mean([part.predicted_accuracy for part in parts.values()])
        assert found.overall[name].predicted_accuracy == pytest.approx(mean)
        width = found.overall[name].high - found.overall[name].low
        assert width < max(part.high - part.low for part in parts.values())


def test_without_a_repeated_seed_the_noise_is_not_known() -> None:
    scores = exact(1.0, 2.0)
    rng = np.random.default_rng(0)
    assert with_seed_noise(scores, np.array([[1.0], [2.0]]), rng) is scores
    seeds = np.full((2, 9), np.nan)
    seeds[0, 0], seeds[1] = 1.0, 2 + 0.1 * np.tile([1, -1, 0], 3)
    low, high = np.quantile(with_seed_noise(scores, seeds, rng).draws, [0.05, 0.95], axis=0)
    assert (high - low)[0] == pytest.approx(3 * (high - low)[1], rel=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.5, 1))
def test_every_tier_begins_with_one_that_the_first_before_it_beats(
    strengths: list[float], confidence: float
) -> None:
    ordered = np.sort(strengths)[::-1]
    ahead = 1 / (1 + np.exp(-6 * (ordered[:, None] - ordered[None, :])))
    names = [f"c{i}" for i in range(len(ordered))]
    wins = pd.DataFrame(ahead, names, names)
    found = tiers(wins, confidence)
    assert list(found) == names
    assert list(found.values()) == sorted(found.values())
    assert found[names[0]] == 1
    near = not_told_apart(wins, confidence)
    for one, two in combinations(names, 2):
        assert (two in near[one]) == (one in near[two])
        if found[one] == found[two] and one == next(n for n in names if found[n] == found[one]):
            assert wins.at[one, two] < confidence


@pytest.mark.parametrize("departure", [0.0, 0.01])
def test_stated_probabilities_come_true(departure: float) -> None:
    """Three seeds each, and a right function, from which targets depart as in the calibration."""
    rng = np.random.default_rng(3)
    stated, right = [], []
    for _ in range(120):
        y = 0.9 - 0.4 * X + rng.normal(0, departure, len(X))
        line = fit(X, y, benchmark="arc", provenance=PROVENANCE, family="linear")
        true = rng.normal(1.2, 0.05, 6)
        truth = 0.9 - 0.4 * true + rng.normal(0, departure, 6)
        seeds = true[:, None] + rng.normal(0, 0.03, (6, 3))
        names = [f"c{i}" for i in range(6)]
        drawn = {"arc": seed_scores(seeds, 300, rng)}
        wins = forecast(names, drawn, {"arc": line}, confidence=0.9, rng=rng).wins
        for one, two in combinations(range(6), 2):
            stated.append(wins.at[f"c{one}", f"c{two}"])
            right.append(truth[one] > truth[two])
    p, came_true = np.array(stated), np.array(right)
    p, came_true = np.maximum(p, 1 - p), np.where(p > 0.5, came_true, ~came_true)
    assert abs(p.mean() - came_true.mean()) < 0.03
    for low, high in ((0.5, 0.8), (0.8, 1.01)):
        within = (low <= p) & (p < high)
        assert abs(p[within].mean() - came_true[within].mean()) < 0.06


def few(name: str = "arc") -> TransferFunction:
    """A function that was fitted on one dataset."""
    return replace(function(0.01, name=name), datasets=1)


def test_a_function_of_one_dataset_predicts_points_and_tells_nobody_apart() -> None:
    found = forecasts({"arc": exact(1.0, 1.1, 1.5)}, {"arc": few()})
    assert all((each.low, each.high) == (None, None) for each in found.overall.values())
    assert list(found.overall) == ["web", "books", "code"]
    assert np.isnan(found.wins.to_numpy()).all()
    assert not_told_apart(found.wins, 0.9)["web"] == ["books", "code"]
    assert set(tiers(found.wins, 0.9).values()) == {1}
    (note,) = doubts({"arc": few()}, found.counted)
    assert "fitted on one dataset" in note
    assert "it tells no candidates apart" in note


def test_a_score_that_says_nothing_is_predicted_but_left_out_of_the_mean() -> None:
    idle = Worth(True, "rank correlation −0.08 over 25 datasets", -0.08)
    functions = {"arc": function(), "coin": replace(function(name="coin"), worth=idle)}
    scores = {"arc": exact(1.0, 1.1, 1.2), "coin": exact(1.4, 1.3, 1.2)}
    found = forecasts(scores, functions)
    assert found.counted == ("arc",)
    for name, parts in found.by_benchmark.items():
        assert found.overall[name].predicted_accuracy == parts["arc"].predicted_accuracy
        assert parts["coin"].predicted_accuracy > 0
    (note, _) = doubts(functions, found.counted)
    assert note == (
        "coin: this score says nothing about this benchmark here (rank correlation −0.08 over 25"
        " datasets); it is left out of the mean"
    )
    assert counted(functions, every_benchmark=True) == ("arc", "coin")
    only = forecasts({"coin": scores["coin"]}, {"coin": functions["coin"]})
    assert only.overall == {}
    assert only.by_benchmark["web"]["coin"].predicted_accuracy > 0
