"""The effect of the frontier model on a ranking, against the noise of the items."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.frontier_agreement import compare_frontiers
from dataselect.errors import InputError


def table(means: list[float], spread: float, seed: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(0, spread, (200, len(means)))
    return pd.DataFrame(noise + np.array(means), columns=[f"m{i}" for i in range(len(means))])


def test_equal_rankings_agree_wholly() -> None:
    (found,) = compare_frontiers({"a": table([1, 2, 3], 0.1, 0), "b": table([4, 5, 6], 0.1, 1)})
    assert (found.first, found.second) == ("a", "b")
    assert found.same_order == found.kendall_tau == found.resampled == 1.0


def test_one_swapped_pair_of_three_is_a_third_less() -> None:
    (found,) = compare_frontiers({"a": table([1, 2, 3], 0.1, 0), "b": table([2, 1, 3], 0.1, 1)})
    assert found.same_order == pytest.approx(2 / 3)
    assert found.kendall_tau == pytest.approx(1 / 3)


def test_resampling_measures_the_noise_of_the_items() -> None:
    noisy = table([1.0, 1.001, 1.002], 1.0, 0)
    (found,) = compare_frontiers({"a": noisy, "b": noisy})
    assert found.same_order == 1.0
    assert 0.5 < found.resampled < 0.95


def test_every_two_of_three_frontiers_are_compared() -> None:
    tables = {name: table([1, 2], 0.1, seed) for seed, name in enumerate("abc")}
    found = compare_frontiers(tables, draws=10)
    assert [(each.first, each.second) for each in found] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_models_that_all_score_alike_cannot_be_compared() -> None:
    same = pd.DataFrame({"m0": [1.0, 2.0], "m1": [1.0, 2.0]})
    with pytest.raises(InputError, match="traces of b: all models have the same score"):
        compare_frontiers({"a": table([1, 2], 0.1, 0), "b": same})
