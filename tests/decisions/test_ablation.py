"""Every metric's ranking side by side."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.ablation import ablation
from dataselect.decisions.agreement import accuracy_difference
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import gap_for
from dataselect.errors import InputError

NAMES = ["a", "b", "c", "d", "e", "f"]


def scores(
    qualities: list[float], noise: float = 0.1, seed: int = 0, items: int = 100
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = np.array(qualities) + noise * rng.normal(size=(items, len(qualities)))
    return pd.DataFrame(values, columns=NAMES[: len(qualities)])


RISING = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
SWAPPED = [1.0, 0.0, 2.0, 3.0, 4.0, 5.0]


def test_a_pair_that_two_metrics_order_differently_is_listed() -> None:
    found = ablation(
        {"rbridge": {"x": scores(RISING)}, "nll": {"x": scores(SWAPPED)}},
        bootstrap=Bootstrap(draws=200),
    )
    nll = found.metrics["nll"]
    assert nll.ranks == {"a": 2, "b": 1, "c": 3, "d": 4, "e": 5, "f": 6}
    assert nll.same_order == pytest.approx(14 / 15)
    assert nll.differing == (("a", "b"),)
    assert found.metrics["rbridge"].same_order is None
    assert found.metrics["rbridge"].expected_same_order == pytest.approx(1)
    assert (found.first, found.pairs, found.items) == ("rbridge", 15, {"x": 100})


def test_an_order_within_the_noise_of_items_is_no_difference() -> None:
    nearly = scores(RISING, noise=0)
    nearly["b"] = nearly["a"] - 1e-6
    open_ = nearly + scores([0.0] * 6, noise=1, seed=1)
    found = ablation(
        {"rbridge": {"x": scores(RISING)}, "nll": {"x": open_}}, bootstrap=Bootstrap(draws=300)
    )
    assert found.metrics["nll"].differing == ()
    assert 0.9 < found.metrics["nll"].expected_same_order < 1


def test_metrics_of_the_same_items_are_resampled_alike() -> None:
    table = scores(RISING, 30)
    same = ablation(
        {"rbridge": {"x": table}, "twice": {"x": 2 * table}}, bootstrap=Bootstrap(draws=200)
    )
    # On the same draws they never differ, however little the items settle.
    assert same.metrics["twice"].expected_same_order == 1
    assert same.metrics["rbridge"].expected_same_order < 0.95


def test_items_without_a_score_by_one_metric_are_left_out() -> None:
    tables = {"rbridge": {"x": scores(RISING)}, "accuracy": {"x": scores(SWAPPED).iloc[:40]}}
    assert ablation(tables, bootstrap=Bootstrap(draws=100)).items == {"x": 40}
    tables["accuracy"]["x"].index += 1000
    with pytest.raises(InputError, match="no item has a score by every metric"):
        ablation(tables, bootstrap=Bootstrap(draws=100))


def test_known_targets_say_which_metric_is_better() -> None:
    target = {name: -place for place, name in enumerate(NAMES)}
    tables = {"rbridge": {"x": scores(RISING)}, "nll": {"x": scores(SWAPPED)}}
    found = ablation(tables, target=target, bootstrap=Bootstrap(draws=200))
    assert found.known == 6
    rbridge, nll = found.metrics["rbridge"], found.metrics["nll"]
    assert rbridge.agreement is not None
    assert rbridge.agreement.decision_accuracy == 1
    assert rbridge.gain is None
    assert nll.gain is not None
    assert nll.gain.difference == pytest.approx(1 / 15)
    low, high = nll.gain.interval
    assert low < 1 / 15 < high


def test_two_known_targets_are_too_few() -> None:
    tables = {"rbridge": {"x": scores(RISING)}, "nll": {"x": scores(SWAPPED)}}
    found = ablation(tables, target={"a": 0.1, "b": 0.2}, bootstrap=Bootstrap(draws=100))
    assert found.known == 0
    assert found.metrics["nll"].gain is None


def test_a_metric_that_ties_all_has_no_order() -> None:
    flat = pd.DataFrame(1.0, index=range(100), columns=NAMES)
    found = ablation(
        {"rbridge": {"x": scores(RISING)}, "flat": {"x": flat}}, bootstrap=Bootstrap(draws=100)
    )
    assert found.metrics["flat"].same_order == 0.5


def test_the_gain_of_a_metric_over_itself_is_nothing() -> None:
    values = pd.Series(RISING, index=NAMES)
    target = pd.Series([5.0, 4.0, 2.0, 3.0, 1.0, 0.0], index=NAMES)
    found = accuracy_difference(values, values, target, bootstrap=Bootstrap(draws=100, seed=0))
    assert (found.difference, found.interval) == (0, (0, 0))


def test_paired_intervals_are_narrower_than_the_two_apart() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=40)
    index = pd.Index(range(40))
    target = pd.Series(true, index=index)
    first = pd.Series(-true + rng.normal(size=40), index=index)
    second = first + pd.Series(0.1 * rng.normal(size=40), index=index)
    found = accuracy_difference(first, second, target, bootstrap=Bootstrap(draws=400, seed=0))
    assert found.interval[1] - found.interval[0] < 0.1


def test_a_metrics_first_is_the_best_as_surely_as_its_gap_is_known() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (60, 6)) + np.array([0, 1, 1.1, 1.2, 1.3, 1.4])
    table = pd.DataFrame(values, columns=list("abcdef"))
    tables = {"rbridge": {"x": table}, "trace_nll": {"x": table}, "own": {"x": table}}
    gaps = {metric: gap_for(metric).gap(1e17, 7e20) for metric in ("rbridge", "trace_nll")}
    found = ablation(tables, bootstrap=Bootstrap(draws=2000), gaps=gaps).metrics
    published, guessed = found["rbridge"].p_first, found["trace_nll"].p_first
    assert published is not None
    assert guessed is not None
    assert 1 / 6 < guessed < published < 1
    assert [each.basis for each in found.values()] == ["published", "prior", None]
    assert found["own"].p_first is None
