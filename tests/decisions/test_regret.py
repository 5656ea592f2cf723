"""What a choice cost, by known accuracies of targets."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from dataselect.decisions.regret import MOST_TOKENS, KnownTruth, known_truth

NAMES = ("a", "b", "c", "d")
TRUTH = {
    "a": {"x": 0.5, "y": 0.3},
    "b": {"x": 0.8, "y": 0.6},
    "c": {"x": 0.2, "y": 0.2},
    "d": {"x": 0.1, "y": 0.1},
}


def judged(truth: Mapping[str, Mapping[str, float]] = TRUTH, **changed: Any) -> KnownTruth:
    made = known_truth(
        truth,
        NAMES,
        **{
            "chosen": "a",
            "survivors": ("a", "c"),
            "by_metric": {"rbridge": pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})},
            "predicted": {"a": (0.45, 0.35, 0.5), "c": (0.6, 0.5, 0.7)},
            "constants": {"x": 0.3, "y": 0.2},
            "tokens": dict.fromkeys(NAMES, 10),
            **changed,
        },
    )
    assert made is not None
    return made


def test_regret_is_how_far_the_chosen_target_is_behind_the_best() -> None:
    made = judged()
    assert made.best == ("b",)
    assert made.regret == pytest.approx(0.7 - 0.4)
    assert made.unknown == ()


def test_the_cut_lost_what_no_survivor_could_give_back() -> None:
    assert judged().lost_in_cut == pytest.approx(0.3)
    assert judged(survivors=("a", "b")).lost_in_cut == 0
    # The worse of two survivors was chosen: Stage 1 lost nothing, Stage 2 did.
    made = judged(chosen="c", survivors=("b", "c"))
    assert (made.lost_in_cut, made.regret) == (0, pytest.approx(0.5))


def test_the_best_chosen_costs_nothing_also_when_another_is_as_good() -> None:
    made = judged(truth={**TRUTH, "a": {"x": 0.6, "y": 0.8}, "b": {"x": 0.8, "y": 0.6}})
    assert made.best == ("a", "b")
    assert made.regret == 0


def test_an_interval_holds_up_to_its_ends() -> None:
    checks = judged().predictions
    assert checks["a"].held
    assert not checks["c"].held
    assert judged(predicted={"a": (0.3, 0.2, 0.4)}).predictions["a"].held


def test_errors_are_those_of_the_prediction_and_of_the_calibration_mean() -> None:
    check = judged().predictions["c"]
    assert (check.error, check.constant) == pytest.approx((0.4, 0.25))
    assert check.constant_error == pytest.approx(0.05)


def test_predictions_are_compared_on_their_own_benchmarks() -> None:
    check = judged(constants={"x": 0.3}).predictions["a"]
    assert (check.true, check.constant) == (0.5, 0.3)


def test_a_benchmark_without_known_accuracy_leaves_predictions_unchecked() -> None:
    made = judged(constants={"x": 0.3, "z": 0.2})
    assert made.predictions == {}
    assert made.not_compared == ("z",)
    assert judged(predicted={}, constants={}).not_compared == ()


def test_where_some_targets_are_unknown_all_is_about_the_others() -> None:
    some = {name: TRUTH[name] for name in ("a", "c")}
    made = judged(some)
    assert made.unknown == ("b", "d")
    assert (made.best, made.regret) == (("a",), 0)
    assert list(judged({"c": TRUTH["c"]}).predictions) == ["c"]


def test_an_unknown_choice_has_no_regret_and_unknown_survivors_no_cut() -> None:
    made = judged({name: TRUTH[name] for name in ("b", "d")})
    assert (made.regret, made.lost_in_cut) == (None, None)
    assert judged(chosen=None).regret is None


def test_nothing_known_is_no_truth() -> None:
    empty: dict[str, Any] = {"predicted": {}, "constants": {}, "tokens": {}, "by_metric": {}}
    for truth in ({}, {"elsewhere": {"x": 0.5}}):
        assert known_truth(truth, NAMES, chosen="a", survivors=("a",), **empty) is None


def test_each_metric_has_its_own_choice_and_ties_share_it() -> None:
    made = judged(
        by_metric={
            "rbridge": pd.Series({"a": 1.0, "b": 2.0, "c": 3.0}),
            "accuracy": pd.Series({"a": -0.2, "b": -0.2, "c": 0.0}),
        }
    )
    assert made.first_by["rbridge"].chosen == ("a",)
    assert made.first_by["rbridge"].regret == pytest.approx(0.3)
    tied = made.first_by["accuracy"]
    assert (tied.chosen, tied.accuracy) == (("a", "b"), pytest.approx(0.55))
    assert MOST_TOKENS not in made.first_by


def test_the_most_tokens_are_a_choice_where_numbers_differ() -> None:
    made = judged(tokens={"a": 10, "b": 10, "c": 20, "d": 5})
    assert made.first_by[MOST_TOKENS].chosen == ("c",)
    assert made.first_by[MOST_TOKENS].regret == pytest.approx(0.5)


def test_a_constant_can_only_draw_at_random() -> None:
    assert judged().random_regret == pytest.approx(0.7 - (0.4 + 0.7 + 0.2 + 0.1) / 4)
