import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.errors import InputError
from dataselect.transfer.chance import known_chance
from dataselect.transfer.curves import Curve, NoFitError
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.isotonic import fit_steps, step_values
from dataselect.transfer.neighbours import averaged, blocks
from dataselect.transfer.robust import bounds, fit_robust, robust_curve
from dataselect.transfer.sigmoid import fit_sigmoid

PROVENANCE = Provenance(Setting(*[None] * 8), "runs", "dataselect fit")
X = np.linspace(0.8, 2.4, 30)


def logistic(x: np.ndarray, floor: float = 0.25, height: float = 0.5) -> np.ndarray:
    return floor + height / (1 + np.exp(6 * (x - 1.4)))


def fitted(x: np.ndarray, y: np.ndarray, **options: object) -> TransferFunction:
    given = {"chance": 0.25, **options}
    return fit_robust(x, y, benchmark="arc", provenance=PROVENANCE, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("floor", [0.25, None])
@pytest.mark.parametrize("falling", [True, False])
def test_a_sigmoid_is_found_again_far_beyond_its_points(floor: float | None, falling: bool) -> None:
    sign = 1 if falling else -1
    found = fit_sigmoid(sign * X, logistic(X), floor, falling=falling)
    wide = np.linspace(-1, 5, 50)
    np.testing.assert_allclose(found(sign * wide), logistic(wide), atol=5e-3)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 1.43), (1e4, 0.0), (1.0, 1e5)])
def test_a_sigmoid_does_not_depend_on_the_unit_of_the_score(scale: float, shift: float) -> None:
    y = logistic(X) + np.random.default_rng(0).normal(0, 0.01, len(X))
    moved = X * scale + shift
    plain = fit_sigmoid(X, y, 0.25, falling=True)(X)
    found = fit_sigmoid(moved, y, 0.25, falling=True)(moved)
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_a_sigmoid_is_flat_against_its_direction() -> None:
    curve = fit_sigmoid(X, 1 - logistic(X), 0.25, falling=True)
    assert (np.diff(curve(X)) <= 1e-12).all()
    assert np.ptp(curve(X)) < 0.01


def test_a_ceiling_is_never_above_one() -> None:
    curve = fit_sigmoid(X, np.clip(1.5 - X / 2, 0.25, 1.0), 0.25, falling=True)
    assert sum(curve.coefficients[:2]) <= 1 + 1e-12


def test_steps_pool_what_is_out_of_order_and_points_of_one_score() -> None:
    x = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    y = np.array([0.9, 0.5, 0.7, 0.8, 0.1])
    knots = fit_steps(x, y, falling=True)
    np.testing.assert_allclose(knots, [(1, 0.9), (2, 2 / 3), (3, 2 / 3), (4, 0.1)])
    np.testing.assert_allclose(step_values(knots, np.array([0.0, 2.5, 9.0])), [0.9, 2 / 3, 0.1])


@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), min_size=2, max_size=25))
@settings(max_examples=60, deadline=None)
def test_steps_are_monotone_and_keep_the_mean(points: list[tuple[int, float]]) -> None:
    x, y = np.array(points, dtype=np.float64).T
    values = step_values(fit_steps(x, y, falling=True), x)
    assert (np.diff(values[np.argsort(x, kind="stable")]) <= 1e-9).all()
    assert values.mean() == pytest.approx(y.mean())


def test_the_robust_curve_is_the_mean_of_its_halves() -> None:
    y = logistic(X) + np.random.default_rng(0).normal(0, 0.02, len(X))
    curve = robust_curve(X, y, 0.25, falling=True)
    steps = step_values(curve.knots, X)
    np.testing.assert_allclose(curve(X), (curve.formula(X) + steps) / 2)
    assert curve.family == "sigmoid"


def test_the_floor_is_chance_unless_accuracy_falls_below_it() -> None:
    assert robust_curve(X, logistic(X), 0.2, falling=True).coefficients[0] == 0.2
    below = robust_curve(X, logistic(X, floor=0.05), 0.25, falling=True)
    assert below.coefficients[0] == pytest.approx(0.05, abs=0.01)
    unknown = robust_curve(X, logistic(X, floor=0.3), None, falling=True)
    assert unknown.coefficients[0] == pytest.approx(0.3, abs=0.01)


def test_predictions_stay_near_the_accuracies_fitted() -> None:
    y = 0.6 - 0.1 * X
    function = fitted(X, y)
    assert function.bounds == pytest.approx((0.36 - 0.08, 0.52 + 0.08))
    assert bounds(np.array([0.1, 0.9])) == (0.0, 1.0)
    far = function.predict([-50.0, 50.0])
    assert far.max() <= function.bounds[1]
    assert far.min() >= function.bounds[0]


def test_a_refit_has_not_seen_its_block() -> None:
    y = logistic(X) + np.random.default_rng(0).normal(0, 0.02, len(X))
    parts = np.arange(len(X)) // 5
    function = fitted(X, y, blocks=parts)
    assert len(function.loo_curves) == 6
    kept = parts != 2
    alone = robust_curve(X[kept], y[kept], 0.25, falling=True)
    np.testing.assert_allclose(function.loo_residuals[10:15], (y - alone(X))[10:15])


def test_intervals_are_what_many_draws_come_to() -> None:
    y = logistic(X) + np.random.default_rng(0).normal(0, 0.02, len(X))
    function = fitted(X, y, blocks=np.arange(len(X)) // 3)
    low, high = function.intervals(np.array([1.1, 1.6]), 0.9)
    drawn = function.interval(np.full(40_000, 1.1), 0.9, np.random.default_rng(0))
    assert (low[0], high[0]) == pytest.approx(drawn, abs=3e-3)
    assert low.shape == (2,)


def test_intervals_hold_new_points_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0.8, 2.4, 35)
        y = logistic(x) + rng.normal(0, 0.02, 35)
        low, high = fitted(x[:25], y[:25]).intervals(x[25:], 0.9)
        held.append(((low <= y[25:]) & (y[25:] <= high)).mean())
    assert 0.86 < np.mean(held) < 0.97


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:2], X[:2] / 3, "2 points with different scores, and 3 are needed"),
        (X, X * 10, r"outside 0\.\.1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=f"transfer function of arc: .*{message}"):
        fitted(x, y)


def test_scores_that_are_all_the_same_fit_nothing() -> None:
    with pytest.raises(NoFitError, match="different scores"):
        robust_curve(np.ones(9), np.linspace(0, 1, 9), 0.25, falling=True)


def test_scores_are_averaged_within_a_run_in_the_order_of_tokens() -> None:
    tokens = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0, np.nan, 1.0, 2.0])
    scores = np.array([9.0, 1.0, 4.0, 25.0, 16.0, 36.0, 7.0, 5.0, 6.0])
    groups = ["a"] * 7 + ["b"] * 2
    found = averaged(scores, tokens, groups)
    # Run a in order is 1, 4, 9, 16, 25, 36: whole windows only around the third and fourth.
    expected = [11.0, 1.0, 14 / 3, 77 / 3, 18.0, 36.0, 7.0, 5.0, 6.0]
    np.testing.assert_allclose(found, expected)


def test_a_straight_run_is_not_changed_by_averaging() -> None:
    line = np.linspace(2.0, 1.0, 12)
    np.testing.assert_allclose(averaged(line, np.arange(12.0), ["a"] * 12), line)


def test_a_run_with_repeated_tokens_is_left_as_it_is() -> None:
    scores = np.array([3.0, 1.0, 2.0, 5.0])
    found = averaged(scores, np.array([1.0, 1.0, 2.0, 3.0]), ["a"] * 4)
    np.testing.assert_array_equal(found, scores)


def test_blocks_are_windows_of_a_run_and_at_most_a_fifth_of_all() -> None:
    order = np.random.default_rng(0).permutation(30)
    found = blocks(order.astype(np.float64), ["a"] * 30)
    np.testing.assert_array_equal(found, order // 5)
    assert len(set(blocks(np.arange(12.0), ["a"] * 12).tolist())) == 6
    assert len(set(blocks(np.full(12, np.nan), ["a"] * 12).tolist())) == 12


@given(st.integers(1, 300), st.integers(1, 4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_blocks_cover_all_points_without_gaps_and_never_mix_runs(
    count: int, runs: int, known: bool
) -> None:
    groups = [str(i % runs) for i in range(count)]
    tokens = np.arange(count) + 1.0 if known else np.full(count, np.nan)
    found = blocks(tokens, groups)
    assert set(found.tolist()) == set(range(int(found.max()) + 1))
    assert found.max() < 60
    if known:
        for block in set(found.tolist()):
            assert len({groups[i] for i in np.flatnonzero(found == block)}) == 1


def test_chance_is_known_by_the_usual_names() -> None:
    assert known_chance("arc_challenge") == known_chance("ARC-Challenge") == 0.25
    assert known_chance("csqa") == known_chance("commonsense_qa") == 0.2
    assert known_chance("gsm8k") == 0
    assert known_chance("my_own") is None


def test_knots_of_a_curve_must_rise() -> None:
    with pytest.raises(ValueError, match="knots of a curve must rise"):
        Curve("sigmoid", 0.0, (0.0, 1.0, 1.0, 0.0), ((1.0, 0.5), (1.0, 0.6)))
