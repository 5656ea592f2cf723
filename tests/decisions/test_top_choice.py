"""Regret and hit rate, against all ways of breaking ties."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.decisions.top_choice import top_choice

VALUES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (pair[0], pair[1] / 10)),
    min_size=1,
    max_size=6,
)


def by_hand(proxy: list[float], target: list[float], k: int) -> tuple[float, float]:
    """Mean regret and hits over all orders in which the proxy may list the candidates."""
    orders = [
        order
        for order in permutations(range(len(proxy)))
        if all(proxy[a] >= proxy[b] for a, b in pairwise(order))
    ]
    best = max(target)
    chosen = [max(target[i] for i in order[:k]) for order in orders]
    return best - float(np.mean(chosen)), float(np.mean([value == best for value in chosen]))


@given(VALUES, st.data())
def test_regret_and_hits_are_means_over_all_ways_to_break_ties(
    pairs: list[tuple[int, float]], data: st.DataObject
) -> None:
    proxy, target = ([float(pair[i]) for pair in pairs] for i in (0, 1))
    k = data.draw(st.integers(1, len(pairs)))
    found = top_choice(np.array(proxy), np.array(target), k)
    assert (found.regret, found.hit_rate) == pytest.approx(by_hand(proxy, target, k), abs=1e-12)
    blind = by_hand([0.0] * len(proxy), target, k)
    assert found.chance_regret == pytest.approx(blind[0], abs=1e-12)


def test_regret_is_in_the_target_s_unit() -> None:
    proxy, target = np.array([3.0, 2.0, 1.0]), np.array([41.0, 45.5, 20.0])
    assert top_choice(proxy, target, 1).regret == 4.5
    assert top_choice(proxy, target, 1).hit_rate == 0
    assert top_choice(proxy, target, 2).regret == 0
    assert top_choice(proxy, target, 2).hit_rate == 1


def test_a_target_that_is_a_loss_is_passed_negated() -> None:
    found = top_choice(np.array([2.0, 1.0]), -np.array([3.5, 3.0]), 1)
    assert found.regret == 0.5


def test_taking_all_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    found = top_choice(rng.normal(size=40), rng.normal(size=40), 40)
    assert (found.regret, found.chance_regret, found.hit_rate) == (0, 0, 1)


def test_many_candidates_are_no_trouble() -> None:
    found = top_choice(np.zeros(3000), np.arange(3000.0), 1500)
    assert found.hit_rate == pytest.approx(0.5)
    assert found.regret == pytest.approx(1, abs=0.01)
