"""Agreement among the pairs that the proxy separates best."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.kept_pairs import SeedNoise, stated_pairs, surest_pairs


def noise(sd: float, seeds: list[int]) -> SeedNoise:
    return SeedNoise(sd, sum(seeds) - len(seeds), np.array(seeds, dtype=float))


def test_the_surest_pairs_are_those_with_the_largest_differences() -> None:
    # Differences 10, 9, 1: the smallest is wrong.
    proxy, target = np.array([10.0, 1.0, 0.0]), np.array([0.9, 0.1, 0.2])
    kept = surest_pairs(proxy, target, None, shares=(0.3, 0.6, 1.0))
    assert [each.pairs for each in kept] == [1, 2, 3]
    assert [each.accuracy for each in kept] == pytest.approx([1, 1, 2 / 3])
    spread = proxy.std()
    assert [each.least_difference for each in kept] == pytest.approx(
        [10 / spread, 9 / spread, 1 / spread]
    )


def test_noise_of_fewer_seeds_makes_a_difference_less_sure() -> None:
    # Differences 4 (a, b), 5 (b, c) and 1 (a, c); c has a single seed.
    proxy, target = np.array([4.0, 0.0, 5.0]), np.array([0.9, 0.1, 0.0])
    (first,) = surest_pairs(proxy, target, noise(1.0, [9, 9, 1]), shares=(0.3,))
    assert first.accuracy == 1
    assert first.least_difference == pytest.approx(4 / np.sqrt(2 / 9))
    (first,) = surest_pairs(proxy, target, None, shares=(0.3,))
    assert first.accuracy == 0


def test_pairs_alike_at_the_cut_count_by_their_mean() -> None:
    # Differences .1, .1, .2 but for rounding; of the two small ones one is right.
    proxy, target = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.1, 0.9])
    kept = surest_pairs(proxy, target, None, shares=(1 / 3, 2 / 3, 1.0))
    assert [each.accuracy for each in kept] == pytest.approx([1, 0.75, 2 / 3])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12))
def test_all_pairs_are_the_decision_accuracy(pairs: list[tuple[int, int]]) -> None:
    proxy, target = (np.array([float(pair[i]) for pair in pairs]) for i in (0, 1))
    if len(set(target)) == 1:
        return
    whole = decision_accuracy(pd.Series(proxy), pd.Series(target), lower_is_better=False)
    for spread in (None, noise(0.5, [2] * len(pairs)), noise(0.0, [2] * len(pairs))):
        kept = surest_pairs(proxy, target, spread)[-1]
        assert (kept.share, kept.pairs) == (1, whole.pairs)
        assert kept.accuracy == pytest.approx(whole.decision_accuracy)


def test_stated_probability_is_student_s_t_of_the_seed_noise() -> None:
    proxy, target = np.array([0.0, 1.0, 3.0]), np.array([0.1, 0.3, 0.2])
    spread = noise(1.0, [2, 2, 2])
    kept = stated_pairs(proxy, target, spread, confidences=(0.6, 0.9, 0.97))
    error = np.sqrt(1 / 2 + 1 / 2)
    likely = t.cdf(np.array([1, 2, 3]) / error, 3)
    assert [each.pairs for each in kept] == [3, 2, 1]
    assert [each.share for each in kept] == pytest.approx([1, 2 / 3, 1 / 3])
    assert kept[0].stated == pytest.approx(likely.mean())
    assert [each.accuracy for each in kept] == pytest.approx([2 / 3, 0.5, 1])


def test_without_a_pair_so_sure_nothing_is_said_of_its_accuracy() -> None:
    (kept,) = stated_pairs(
        np.array([0.0, 1.0]), np.array([0.0, 1.0]), noise(100.0, [2, 2]), confidences=(0.9,)
    )
    assert (kept.pairs, kept.share, kept.stated, kept.accuracy) == (0, 0, None, None)


def test_seeds_without_noise_make_every_difference_certain_and_no_tie() -> None:
    (kept,) = stated_pairs(
        np.array([0.0, 0.0, 1.0]),
        np.array([0.0, 1.0, 2.0]),
        noise(0.0, [2, 2, 2]),
        confidences=(0.9,),
    )
    assert (kept.pairs, kept.stated, kept.accuracy) == (2, 1, 1)
