import numpy as np
import pytest
from scipy.optimize import curve_fit

from dataselect.transfer.curves import FAMILIES, Curve, Family, NoFitError, best_curve, fit_curve

X = np.linspace(0.8, 2.4, 12)
TRUE = {
    "linear": lambda x: 0.9 - 0.3 * x,
    "logarithmic": lambda x: 0.6 - 0.4 * np.log(x),
    "exponential": lambda x: 0.2 + 5.0 * np.exp(-2.5 * x),
    "quadratic": lambda x: 0.1 + 0.2 * (x - 2.5) ** 2,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_curve_of_the_family_is_found_again(family: Family) -> None:
    wide = np.linspace(0.5, 3.0, 50) if family != "quadratic" else np.linspace(0.5, 2.5, 50)
    found = fit_curve(X, TRUE[family](X), family)
    np.testing.assert_allclose(found(wide), TRUE[family](wide), atol=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_generating_family_is_chosen(family: Family) -> None:
    assert best_curve(X, TRUE[family](X))[0].family == family


@pytest.mark.parametrize("rate", [-3.0, -0.8, 0.8, 3.0])
def test_exponentials_are_at_least_as_good_as_a_general_optimiser_started_at_the_truth(
    rate: float,
) -> None:
    def model(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a + b * np.exp(c * x)

    y = 0.4 + 0.05 * np.exp(rate * (X - 1.6)) + np.random.default_rng(0).normal(0, 0.01, len(X))
    start = (0.4, 0.05 * np.exp(-rate * 1.6), rate)
    general = curve_fit(model, X, y, p0=start, maxfev=20_000)[0]
    ours = ((y - fit_curve(X, y, "exponential")(X)) ** 2).sum()
    assert ours <= ((y - model(X, *general)) ** 2).sum() * 1.001


def test_an_exponential_is_bounded_on_points_that_only_jump() -> None:
    y = np.where(np.arange(12) == 0, 0.9, 0.1)
    curve = fit_curve(X, y, "exponential")
    assert abs(curve.coefficients[2]) * (X[-1] - X[0]) <= 6 + 1e-9
    assert abs(curve(X[:1] - 0.1)[0]) < 2


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 1.43), (1e4, 0.0), (1.0, 1e5)])
def test_fits_do_not_depend_on_the_unit_of_the_score(scale: float, shift: float) -> None:
    y = 0.2 + 0.5 * np.exp(-0.8 * X) + np.random.default_rng(1).normal(0, 0.01, len(X))
    moved = X * scale + shift
    for family in ("linear", "exponential", "quadratic"):
        plain = fit_curve(X, y, family)
        np.testing.assert_allclose(fit_curve(moved, y, family)(moved), plain(X), atol=1e-6)


def test_a_quadratic_that_turns_among_its_points_is_skipped_with_the_reason() -> None:
    y = (X - 1.6) ** 2
    curve, skipped = best_curve(X, y)
    assert curve.family != "quadratic"
    assert skipped == {"quadratic": "turns within the fitted range"}
    with pytest.raises(NoFitError, match="quadratic turns within"):
        best_curve(X, y, ["quadratic"])


def test_a_quadratic_is_flat_beyond_its_turn() -> None:
    curve = fit_curve(X, TRUE["quadratic"](X), "quadratic")
    np.testing.assert_allclose(curve(np.array([2.5, 2.6, 9.0])), 0.1, atol=1e-9)
    mirrored = fit_curve(-X, TRUE["quadratic"](X), "quadratic")
    np.testing.assert_allclose(mirrored(np.array([-2.5, -9.0])), 0.1, atol=1e-9)


def test_a_logarithm_is_skipped_where_scores_are_not_positive() -> None:
    _, skipped = best_curve(X - 1.0, 0.5 - 0.1 * X)
    assert skipped == {"logarithmic": "needs scores above 0"}


def test_of_equally_good_fits_the_plainest_is_taken() -> None:
    assert best_curve(X, 0.9 - 0.3 * X)[0].family == "linear"
    assert best_curve(X, np.full(12, 0.25))[0].family == "linear"


def test_too_few_points_for_a_family_are_said_so() -> None:
    with pytest.raises(NoFitError, match="needs 4 different scores"):
        fit_curve(np.array([1.0, 2.0, 3.0, 3.0]), np.zeros(4), "exponential")


def test_values_stay_finite_far_outside_the_points() -> None:
    far = np.array([-1e6, 0.0, 1e6])
    for family in FAMILIES:
        assert np.isfinite(fit_curve(X, TRUE[family](X), family)(far)).all()


def test_a_curve_has_its_familys_coefficients() -> None:
    with pytest.raises(ValueError, match="linear curve has 2 coefficients"):
        Curve("linear", 1.0, (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="origin above 0"):
        Curve("logarithmic", -1.0, (1.0, 2.0))
