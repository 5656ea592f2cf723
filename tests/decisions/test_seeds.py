"""Means and noise over seeds."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.seeds import by_place, pooled_sd, seed_means

NAN = float("nan")


def test_means_are_over_the_seeds_that_there_are() -> None:
    found = seed_means(np.array([[1.0, 3.0], [NAN, 5.0], [NAN, NAN]]))
    assert found[:2].tolist() == [2.0, 5.0]
    assert np.isnan(found[2])


def test_the_order_of_a_sum_makes_no_difference() -> None:
    values = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.3, 0.1]])
    assert len(set(seed_means(values))) == 1


def test_noise_is_pooled_over_candidates_by_degrees_of_freedom() -> None:
    values = np.array([[1.0, 3.0, NAN], [0.0, 3.0, 6.0], [5.0, NAN, NAN]])
    sd, freedom = pooled_sd(values)
    assert freedom == 3
    assert sd == pytest.approx(np.sqrt((2 + 18) / 3))


def test_single_seeds_say_nothing_of_noise() -> None:
    assert pooled_sd(np.array([[1.0], [2.0]])) == (0.0, 0)


def runs(rows: dict[tuple[str, int, int], float]) -> pd.Series:
    return pd.Series(
        rows, index=pd.MultiIndex.from_tuples(rows, names=["candidate", "seed", "step"])
    )


def test_runs_are_matched_by_their_place_from_the_last() -> None:
    found = by_place(
        runs(
            {
                ("a", 0, 100): 1,
                ("a", 0, 50): 2,
                ("a", 1, 100): 3,
                ("a", 1, 50): 4,
                ("b", 7, 30): 5,
                ("b", 7, 10): 6,
                ("b", 7, 20): 7,
                ("b", 8, 3): 8,
                ("b", 8, 2): 9,
            }
        )
    )
    assert found.tolist() == [[[2, 1], [4, 3]], [[7, 5], [9, 8]]]


def test_a_candidate_without_all_seeds_is_left_out() -> None:
    found = by_place(runs({("a", 0, 1): 1, ("a", 1, 1): 2, ("b", 0, 1): 3}))
    assert found.tolist() == [[[1], [2]]]
