"""Scores of proxies: the truth, nested errors, and the noise of seeds."""

import numpy as np
import pytest

from dataselect.decisions.design.known import LIKELIHOOD_ERRORS, score_model
from dataselect.decisions.design.score_model import ScoreModel, from_gap
from dataselect.decisions.design.worlds import draw_worlds
from dataselect.decisions.discrepancy import RBRIDGE

TARGET = 7.062e20
SIZES = (8.3e15, 1.5e17, 2e18, 3e20)


def test_a_smaller_proxy_has_the_larger_ones_error_and_some_more() -> None:
    model = ScoreModel(np.array([2.0, 1.0, 0.5]), np.zeros(3))
    errors = model.errors((20_000, 2), np.random.default_rng(0))[:, :, 0]
    assert errors.std(axis=1) == pytest.approx([2, 1, 0.5], rel=0.03)
    expected = np.minimum.outer(model.error_sd, model.error_sd) / np.maximum.outer(
        model.error_sd, model.error_sd
    )
    assert np.corrcoef(errors) == pytest.approx(expected, abs=0.02)


def test_sizes_of_equal_error_err_alike() -> None:
    errors = ScoreModel(np.array([1.0, 1.0]), np.zeros(2)).errors((10, 3), np.random.default_rng(0))
    assert (errors[0] == errors[1]).all()


def test_scores_are_truth_error_and_the_mean_noise_of_seeds() -> None:
    model = ScoreModel(np.array([0.5]), np.array([0.8]))
    worlds = draw_worlds(model, 2, (1, 4), 40_000, 0)
    off = worlds.scores[0] - worlds.truth
    assert off[0].std() == pytest.approx(np.hypot(0.5, 0.8), rel=0.02)
    assert off[1].std() == pytest.approx(np.hypot(0.5, 0.4), rel=0.02)
    # The first seed is one of the four.
    assert np.corrcoef(off[0].ravel(), off[1].ravel())[0, 1] == pytest.approx(
        (0.25 + 0.16) / (np.hypot(0.5, 0.8) * np.hypot(0.5, 0.4)), abs=0.02
    )


def test_a_doubted_error_is_drawn_once_for_all_candidates() -> None:
    model = ScoreModel(np.array([1.0]), np.zeros(1), doubt=1.0)
    worlds = draw_worlds(model, 400, (1,), 300, 0)
    sd = np.log((worlds.scores[0, 0] - worlds.truth).std(axis=1))
    assert sd.std() == pytest.approx(1.0, rel=0.15)


def test_the_error_has_the_decision_accuracy_that_was_published() -> None:
    """rBridge orders .77 to .79 of the pairs from 4M to 16M, one seed."""
    model = score_model("rbridge", (8.3e15, 1.5e17), TARGET)
    worlds = draw_worlds(model, 2, (1,), 100_000, 0)
    for size, published in enumerate((0.772, 0.782)):
        score = worlds.score(size, 1)
        right = (score[:, 0] > score[:, 1]) == (worlds.truth[:, 0] > worlds.truth[:, 1])
        assert right.mean() == pytest.approx(published, abs=0.02)


def test_where_a_gap_no_longer_falls_larger_proxies_are_no_better() -> None:
    model = from_gap(RBRIDGE, SIZES, TARGET)
    assert model.error_sd[0] > model.error_sd[1]
    assert model.error_sd[1] == pytest.approx(model.error_sd[2], rel=0.02)
    assert model.error_sd[2] == pytest.approx(model.error_sd[3])
    assert 0.4 < model.doubt < RBRIDGE.doubt


def test_likelihoods_err_less_with_size_and_know_where_they_end() -> None:
    model = LIKELIHOOD_ERRORS.model((1e12, *SIZES), TARGET)
    assert (np.diff(model.error_sd) < 0).all()
    assert [each is None for each in model.extrapolated] == [False, True, True, True, True]


def test_a_smaller_target_is_nearer() -> None:
    far = LIKELIHOOD_ERRORS.error(np.array([1e17]), TARGET)
    near = LIKELIHOOD_ERRORS.error(np.array([1e17]), TARGET / 100)
    assert near < far
    assert LIKELIHOOD_ERRORS.error(np.array([1e17]), 100 * TARGET) == far
