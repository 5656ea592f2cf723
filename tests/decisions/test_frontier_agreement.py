"""The effect of the frontier model on a ranking, against the noise of the items and of seeds."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.frontier_agreement import (
    FrontierAgreement,
    compare_frontiers,
    seed_agreement,
)
from dataselect.errors import InputError


def table(means: list[float], spread: float, seed: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(0, spread, (200, len(means)))
    return pd.DataFrame(noise + np.array(means), columns=[f"m{i}" for i in range(len(means))])


def of_two(first: pd.DataFrame, second: pd.DataFrame) -> FrontierAgreement:
    (found,) = compare_frontiers({"a": {"sums": first}, "b": {"sums": second}}).agreements
    return found


def test_equal_rankings_agree_wholly() -> None:
    found = of_two(table([1, 2, 3], 0.1, 0), table([4, 5, 6], 0.1, 1))
    assert (found.first, found.second) == ("a", "b")
    assert found.same_order == found.kendall_tau == 1.0
    assert found.resampled == (1.0, 1.0)
    assert found.changed == ()


def test_one_swapped_pair_of_three_is_a_third_less() -> None:
    found = of_two(table([1, 2, 3], 0.1, 0), table([2, 1, 3], 0.1, 1))
    assert found.same_order == pytest.approx(2 / 3)
    assert found.kendall_tau == pytest.approx(1 / 3)


def test_a_pair_that_changes_is_named_and_sure_where_the_items_leave_no_doubt() -> None:
    found = of_two(table([1, 2, 3], 0.1, 0), table([2, 1, 3], 0.1, 1))
    (pair,) = found.changed
    assert (pair.by_first, pair.by_second) == ("m0", "m1")
    assert (pair.p_first, pair.p_second) == (1.0, 1.0)
    assert pair.beyond_items
    assert found.pairs == 3


def test_a_pair_that_the_items_leave_in_doubt_is_not_beyond_their_noise() -> None:
    first, second = table([1, 2, 3], 0.1, 0), table([2, 1, 3], 0.1, 1)
    # By the second frontier model the two are all but equal: ahead by a hair.
    second["m1"] = second["m0"] - 0.001 + np.random.default_rng(2).normal(0, 0.1, 200)
    second["m1"] += second["m0"].mean() - second["m1"].mean() - 0.001
    (pair,) = of_two(first, second).changed
    assert pair.p_first == 1.0
    assert 0.5 < pair.p_second < 0.7
    assert not pair.beyond_items


def test_resampling_measures_the_noise_of_the_items() -> None:
    noisy = table([1.0, 1.001, 1.002], 1.0, 0)
    found = of_two(noisy, noisy)
    assert found.same_order == 1.0
    assert 0.5 < found.resampled[0] < 0.95
    assert found.resampled[0] == found.resampled[1]


def test_every_two_of_three_frontiers_are_compared() -> None:
    tables = {name: {"sums": table([1, 2], 0.1, seed)} for seed, name in enumerate("abc")}
    found = compare_frontiers(tables, draws=10).agreements
    assert [(each.first, each.second) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_the_average_is_over_each_items_scores() -> None:
    one, two = table([1, 2, 3], 0, 0), table([5, 2, 3], 0, 1)
    found = compare_frontiers({"a": {"sums": one}, "b": {"sums": two}}, draws=10)
    assert found.averaged.table["score"].to_dict() == {"m1": 2.0, "m0": 3.0, "m2": 3.0}


def test_benchmarks_count_alike_whatever_their_scale() -> None:
    order = [1.0, 2.0, 3.0, 4.0]
    small, large = table(order, 0, 0), 100 * table(order[::-1], 0, 0)
    same = {"sums": small, "tales": small}
    apart = compare_frontiers(
        {"a": same, "b": {"sums": small, "tales": 100 * small}}, draws=10
    ).agreements[0]
    assert apart.same_order == 1.0
    with pytest.raises(InputError, match="traces of b: all models have the same score"):
        compare_frontiers({"a": same, "b": {"sums": small, "tales": large}}, draws=10)


def test_models_that_all_score_alike_cannot_be_compared() -> None:
    same = pd.DataFrame({"m0": [1.0, 2.0], "m1": [1.0, 2.0]})
    with pytest.raises(InputError, match="traces of b: all models have the same score"):
        of_two(table([1, 2], 0.1, 0), same)


def runs(values: dict[tuple[str, int, int], float]) -> pd.Series:
    index = pd.MultiIndex.from_tuples(values, names=["candidate", "seed", "step"])
    return pd.Series(list(values.values()), index=index)


def test_seeds_agree_on_the_pairs_that_both_order_alike() -> None:
    first, second = {"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 2.0, "y": 1.0, "z": 3.0}
    of_seeds = {(name, 0, 10): value for name, value in first.items()}
    of_seeds |= {(name, 1, 10): value for name, value in second.items()}
    assert seed_agreement({"sums": runs(of_seeds)}) == pytest.approx(2 / 3)


def test_a_candidate_that_lacks_a_seed_is_left_out_of_their_agreement() -> None:
    known = {(name, seed, 1): float(name == "y") for name in "xy" for seed in (0, 1)}
    assert seed_agreement({"sums": runs({**known, ("z", 0, 1): -5.0})}) == 1.0


def test_one_seed_agrees_with_none() -> None:
    assert seed_agreement({"sums": runs({("x", 0, 1): 1.0, ("y", 0, 1): 2.0})}) is None
