"""Means and noise over seeds."""

import numpy as np
import pytest

from dataselect.decisions.seeds import pooled_sd, seed_means

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
