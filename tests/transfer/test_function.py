from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataselect.errors import InputError
from dataselect.transfer.applies import check_applies
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"
TASKS = (
    *("arc_challenge", "arc_easy", "boolq", "csqa", "hellaswag"),
    *("mmlu", "openbookqa", "piqa", "socialiqa", "winogrande"),
)
SETTING = Setting(
    target_size=32_000_000_000,
    target_tokens=6_000_000_000_000,
    proxy_size=1_000_000_000,
    proxy_tokens=100_000_000_000,
    traces="t1",
    benchmark="b1",
    tokenizer="k1",
    metric_version=1,
)
PROVENANCE = Provenance(SETTING, calibration="olmo-mix", command="dataselect calibrate")
X = np.linspace(0.8, 2.4, 12)


def fitted(x: np.ndarray, y: np.ndarray, family: str = "best") -> TransferFunction:
    return fit(x, y, benchmark="gsm8k", provenance=PROVENANCE, family=family)  # type: ignore[arg-type]


def accuracies(noise: float = 0.02, seed: int = 0) -> np.ndarray:
    return 0.7 - 0.25 * X + np.random.default_rng(seed).normal(0, noise, len(X))


def test_a_fit_reports_its_own_quality() -> None:
    y = accuracies()
    function = fitted(X, y, "linear")
    slope, constant = np.polyfit(X, y, 1)
    assert function.family == "linear"
    np.testing.assert_allclose(function.predict(X), slope * X + constant)
    residuals = y - slope * X - constant
    assert function.r2 == pytest.approx(1 - residuals.var() / y.var())
    assert function.residual_sd == pytest.approx(np.sqrt((residuals**2).sum() / 10))
    assert function.fitted_range == (0.8, 2.4)
    assert len(function.points) == 12
    assert not function.rising


def test_each_residual_is_of_a_point_that_its_curve_has_not_seen() -> None:
    y = accuracies()
    function = fitted(X, y, "linear")
    for i in (0, 5, 11):
        line = np.polyfit(np.delete(X, i), np.delete(y, i), 1)
        assert function.loo_residuals[i] == pytest.approx(y[i] - np.polyval(line, X[i]))
    assert function.mae == pytest.approx(np.abs(function.loo_residuals).mean())


def test_refits_choose_their_family_anew() -> None:
    # The last point alone bends the curve.
    y = 0.6 - 0.2 * X
    y[-1] += 0.1
    function = fitted(X, y)
    assert function.family != "linear"
    assert function.loo_curves[-1].family == "linear"


def test_predictions_are_shares() -> None:
    function = fitted(X, accuracies())
    assert function.predict([-50.0, 50.0]).tolist() == [1.0, 0.0]
    assert function.predict(1.5).shape == ()


def test_scores_outside_the_fitted_range_are_marked() -> None:
    marks = fitted(X, accuracies()).extrapolated([0.79, 0.8, 2.4, 2.41])
    assert marks.tolist() == [True, False, False, True]


def test_an_interval_covers_score_noise_and_function_error_together() -> None:
    function = fitted(X, accuracies())

    def width(sd: float) -> float:
        x = np.random.default_rng(2).normal(1.6, sd, 4000)
        low, high = function.interval(x, 0.9, np.random.default_rng(1))
        assert low < function.predict(1.6) < high
        return high - low

    # The score's own part of the width is 2 · 1.645 · sd · slope.
    assert width(0.4) > 2 * 1.645 * 0.4 * 0.2
    assert width(0.4) > width(0.1) > width(0.0) > 2 * function.residual_sd


def test_few_points_give_an_interval_as_wide_as_the_worst_miss() -> None:
    x = X[:5]
    y = np.array([0.5, 0.48, 0.60, 0.43, 0.40])
    function = fitted(x, y, "linear")
    low, high = function.interval(np.full(4000, x[2]), 0.9, np.random.default_rng(0))
    assert high - low > 1.8 * max(np.abs(function.loo_residuals))


def test_intervals_hold_a_new_point_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0.8, 2.4, 15)
        y = 0.7 - 0.25 * x + rng.normal(0, 0.02, 15)
        low, high = fitted(x[:14], y[:14], "linear").interval(np.full(500, x[14]), 0.9, rng)
        held.append(low <= y[14] <= high)
    assert 0.84 < np.mean(held) <= 0.97


def test_prediction_draws_are_shares_and_follow_the_generator() -> None:
    function = fitted(X, accuracies(noise=0.1))
    x = np.random.default_rng(0).normal(2.4, 0.3, (100, 2))
    first, second = (function.prediction_draws(x, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (100, 2)
    assert first.min() >= 0
    assert first.max() <= 1


def test_the_scatter_is_what_neighbours_do_not_share() -> None:
    x = np.linspace(0.8, 2.4, 200)
    y = 0.7 - 0.25 * x + np.random.default_rng(0).normal(0, 0.02, 200)
    assert fitted(x, y, "linear").scatter == pytest.approx(0.02, rel=0.1)
    bent = fitted(x, 0.5 - 0.2 * np.sin(x), "linear")
    assert bent.scatter < bent.mae / 20
    zigzag = fitted(X, 0.7 - 0.25 * X + 0.02 * np.tile([1, -1], 6), "linear")
    assert zigzag.scatter <= np.sqrt(np.mean(np.square(zigzag.loo_residuals)))


def test_candidates_are_compared_under_one_refit_with_their_own_scatter() -> None:
    exactly = fitted(X, np.linspace(0.6, 0.2, len(X)), "linear")
    x = np.tile([1.2, 1.19, 1.19], (500, 1))
    draws = exactly.comparison_draws(x, np.random.default_rng(0))
    assert draws.shape == (500, 3)
    assert (draws[:, 1] > draws[:, 0]).all()
    noisy = fitted(X, accuracies())
    apart = np.diff(noisy.comparison_draws(x, np.random.default_rng(0))[:, 1:], axis=1)
    assert abs(apart.mean()) < 0.1 * apart.std()
    assert apart.std() == pytest.approx(np.sqrt(2) * noisy.scatter, rel=0.35)


def test_skipped_families_carry_their_reason() -> None:
    y = 0.3 + 0.1 * (X - 1.5) ** 2
    assert fitted(X, y).skipped == {"quadratic": "turns within the fitted range"}


@pytest.mark.parametrize(
    ("x", "y", "family", "message"),
    [
        (X[:3], X[:3] / 3, "best", "3 points with different scores, and 4 are needed"),
        (X[:4], X[:4] / 3, "quadratic", "4 points with different scores, and 5 are needed"),
        (np.full(9, 1.0), np.full(9, 0.5), "best", "1 points with different scores"),
        (X, X[:5], "best", "12 scores and 5 accuracies"),
        (X, X * 10, "best", r"outside 0\.\.1; give shares, not percent"),
        (X, X * np.nan, "best", "not finite"),
        (X, (X - 1.6) ** 2, "quadratic", "no curve fits: quadratic turns within"),
        (X - 1, X / 3, "logarithmic", "logarithmic needs scores above 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    x: np.ndarray, y: np.ndarray, family: str, message: str
) -> None:
    with pytest.raises(InputError, match=f"transfer function of gsm8k: .*{message}"):
        fitted(x, y, family)


def test_a_function_applies_to_its_own_setting() -> None:
    assert check_applies(fitted(X, accuracies()), SETTING) == (None, [])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (replace(SETTING, target_size=13_000_000_000), "a target of 32B parameters, not 13B"),
        (replace(SETTING, benchmark="b2"), "other benchmark items"),
        (replace(SETTING, traces="t2"), "other reasoning traces"),
        (replace(SETTING, metric_version=2), "metric version 1, not 2"),
    ],
)
def test_a_function_is_refused_where_its_numbers_mean_something_else(
    run: Setting, message: str
) -> None:
    refusal, _ = check_applies(fitted(X, accuracies()), run)
    assert refusal is not None
    assert message in refusal


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (replace(SETTING, tokenizer="k2"), "another tokenizer"),
        (replace(SETTING, proxy_size=4_000_000), "a proxy of 1B parameters, not 4M"),
        (replace(SETTING, proxy_tokens=5_000_000), "proxies trained on 100B tokens, not 5M"),
        (replace(SETTING, target_tokens=10**12), "a target trained on 6T tokens, not 1T"),
    ],
)
def test_what_only_shifts_the_score_is_warned_of(run: Setting, message: str) -> None:
    refusal, warnings = check_applies(fitted(X, accuracies()), run)
    assert refusal is None
    assert len(warnings) == 1
    assert message in warnings[0]


def test_what_a_function_does_not_know_of_its_setting_is_warned_of_and_not_refused() -> None:
    function = fitted(X, accuracies())
    unknown = replace(SETTING, traces=None, metric_version=None, proxy_size=None)
    bare = replace(function, provenance=replace(PROVENANCE, setting=unknown))
    refusal, warnings = check_applies(bare, SETTING)
    assert refusal is None
    assert warnings == [
        "the transfer function of gsm8k does not say its traces, metric version, proxy's size: "
        "not checked"
    ]
    other, _ = check_applies(bare, replace(SETTING, target_size=1_000_000))
    assert other is not None


def test_a_function_that_rises_with_the_loss_is_warned_of() -> None:
    _, warnings = check_applies(fitted(X, 1 - accuracies()), SETTING)
    assert "rises with the score" in warnings[0]


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
class TestOlmoLadder:
    """Published 1B to 3B runs: bits per byte of the proxy against accuracy of the target."""

    @staticmethod
    def points(task: str) -> tuple[np.ndarray, np.ndarray]:
        pairs = pd.read_csv(RESULTS / "olmo_ladder_pairs.csv")
        chosen = (pairs["pair"] == "1B-10xC->3B-10xC") & (pairs["task"] == task)
        rows = pairs[chosen].sort_values("tokens")
        return rows["proxy_bpb"].to_numpy(), rows["target_acc_rc"].to_numpy()

    @pytest.mark.parametrize(
        ("task", "points"), [("arc_challenge", 1.0), ("csqa", 1.0), ("hellaswag", 1.5)]
    )
    def test_left_out_points_are_missed_by_about_a_point_of_accuracy(
        self, task: str, points: float
    ) -> None:
        function = fitted(*self.points(task))
        assert function.mae < points / 100
        assert function.r2 > 0.9
        assert not function.rising

    def test_later_checkpoints_fall_into_the_intervals_of_earlier_ones(self) -> None:
        held = []
        for task in TASKS:
            x, y = self.points(task)
            function = fitted(x[:64], y[:64])
            rng = np.random.default_rng(0)
            for score, accuracy in zip(x[64:], y[64:], strict=True):
                low, high = function.interval(np.full(400, score), 0.9, rng)
                held.append(low <= accuracy <= high)
        assert np.mean(held) > 0.85
