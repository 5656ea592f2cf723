"""Laws: slopes match the values, and fits recover the predictions of known parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import (
    PUBLISHED_REPETITION,
    EffectiveData,
    Exponential,
    Law,
    RepeatedData,
)

RNG = np.random.default_rng(0)
WEIGHTS = np.vstack([RNG.dirichlet(np.full(5, 0.5), 60), np.eye(5)])
RATES = np.array([0.0, 0.5, 4, 20, 60])
LAWS: tuple[Law, ...] = (
    EffectiveData(),
    EffectiveData(0.5),
    Exponential(),
    RepeatedData(RATES),
    RepeatedData(RATES * RNG.uniform(0.3, 1, (len(WEIGHTS), 5))),
)


@pytest.mark.parametrize("law", LAWS)
def test_slopes_are_those_of_the_values(law: Law) -> None:
    costs = RNG.normal(3, 1, (2, len(WEIGHTS)))
    at = law.starts(costs, 5)[0] + 0.1 * RNG.standard_normal((2, len(law.prior(5).mean)))
    point = law.curve(WEIGHTS).at(at)
    slopes = np.zeros((2, at.shape[1], len(WEIGHTS)))
    point.slopes(0, slopes[0])
    # What was written for another metric is overwritten.
    slopes[1] = slopes[0]
    point.slopes(1, slopes[1])
    assert point.values == pytest.approx(law.values(at, WEIGHTS))
    for i in range(at.shape[1]):
        step = np.zeros_like(at)
        step[:, i] = 1e-6
        change = law.values(at + step, WEIGHTS) - law.values(at - step, WEIGHTS)
        assert slopes[:, i] == pytest.approx(change / 2e-6, rel=1e-4, abs=1e-6)


def truth(shares: np.ndarray, beta: float) -> np.ndarray:
    worth = np.exp(np.random.default_rng(1).normal(0, 1, (6, 5)))
    cost: np.ndarray = 2 + (0.1 + shares**beta @ worth.T) ** -0.7
    return cost


@pytest.mark.parametrize("beta", [0.4, 0.8])
def test_an_effective_data_law_is_found_again(beta: float) -> None:
    new = np.random.default_rng(2).dirichlet(np.ones(5), 100)
    fitted = fit_law(EffectiveData(), WEIGHTS, truth(WEIGHTS, beta))
    error = np.abs(fitted.predict(new) - truth(new, beta)).max()
    assert error < 0.02 * truth(new, beta).std()
    assert np.exp(fitted.parameters[:, 4]) == pytest.approx(beta, abs=0.05)


def test_an_exponential_law_is_found_again() -> None:
    rates = np.random.default_rng(3).normal(0, 2, (5, 3))
    new = np.random.default_rng(2).dirichlet(np.ones(5), 100)
    fitted = fit_law(Exponential(), WEIGHTS, 1 + np.exp(WEIGHTS @ rates))
    true = 1 + np.exp(new @ rates)
    assert np.abs(fitted.predict(new) - true).max() < 0.05 * true.std()


def test_metrics_of_one_swarm_help_each_other_when_runs_are_few() -> None:
    new = np.random.default_rng(2).dirichlet(np.ones(5), 200)
    together, alone = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        worth = np.exp(rng.normal(0, 1, 5) + 0.2 * rng.normal(0, 1, (6, 5)))
        some = rng.dirichlet(np.full(5, 0.5), 12)
        clean, true = ((0.1 + at**0.6 @ worth.T) ** -0.7 for at in (some, new))
        costs = clean + 0.1 * clean.std(axis=0) * rng.standard_normal(clean.shape)
        together.append(fit_law(EffectiveData(), some, costs).predict(new) - true)
        singly = [fit_law(EffectiveData(), some, costs[:, [k]]).predict(new) for k in range(6)]
        alone.append(np.hstack(singly) - true)
    assert np.square(together).mean() < 0.9 * np.square(alone).mean()


def test_fewer_runs_than_parameters_still_have_one_fit() -> None:
    some = np.random.default_rng(4).dirichlet(np.ones(5), 8)
    fitted = fit_law(EffectiveData(), some, truth(some, 0.6))
    predicted = fitted.predict(WEIGHTS)
    assert np.isfinite(predicted).all()
    again = fit_law(EffectiveData(), some, truth(some, 0.6)).predict(WEIGHTS)
    assert (again == predicted).all()


@settings(deadline=None)
@given(
    st.lists(st.floats(0.001, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 100), min_size=4, max_size=4),
    st.floats(0.5, 100),
)
def test_repeated_text_is_worth_what_the_published_law_says(
    shares: list[float], rates: list[float], repetition: float
) -> None:
    shares = np.array(shares) / sum(shares)
    counted = []
    for share, rate in zip(shares.tolist(), rates, strict=True):
        epochs = rate * share
        unique = share / epochs if epochs > 1 else share
        again = repetition * (1 - np.exp(-(epochs - 1) / repetition)) if epochs > 1 else 0
        counted.append(unique * (1 + again))
    plain = np.array([[0.5, 0.1, -1.0, -0.5, -0.3, 0.2, -0.4, 1.0, 0.0]])
    known = np.append(plain, [[np.log(repetition)]], axis=1)
    found = RepeatedData(np.array(rates)).values(known, shares[None])
    assert found == pytest.approx(EffectiveData().values(plain, np.array([counted])))


def test_the_value_of_repetition_is_found_again() -> None:
    repetition = 6.0
    again = np.maximum(RATES * WEIGHTS - 1, 0)
    new = repetition * (1 - np.exp(-again / repetition))
    worth = np.where(again > 0, (1 + new) / np.maximum(RATES, 1), WEIGHTS)
    fitted = fit_law(RepeatedData(RATES), WEIGHTS, truth(worth, 0.6))
    assert np.exp(fitted.parameters[:, -1]) == pytest.approx(repetition, rel=0.1)


def test_where_nothing_is_read_twice_the_published_value_stays() -> None:
    fitted = fit_law(RepeatedData(np.full(5, 0.9)), WEIGHTS, truth(WEIGHTS, 0.6))
    assert np.exp(fitted.parameters[:, -1]) == pytest.approx(PUBLISHED_REPETITION)


def test_costs_of_sparse_mixtures_are_those_of_the_formula() -> None:
    shares = np.array([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    parameters = np.array([[1.5, 0.2, -2.0, -0.5, -0.3, 0.4, -1.0, 0.7]])
    worth, beta = np.exp(parameters[0, 5:]), np.exp(-0.3)
    data = np.exp(-2.0) + (shares**beta * worth).sum(axis=1)
    found = EffectiveData().values(parameters, shares)[0]
    assert found == pytest.approx(1.5 + np.exp(0.2) * data ** -np.exp(-0.5), rel=1e-12)


def test_many_metrics_are_fitted_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = truth(WEIGHTS, 0.6)
    whole = fit_law(EffectiveData(), WEIGHTS, costs).parameters
    monkeypatch.setattr("dataselect.mixture.law_fit._MOST_SLOPES", 1)
    assert fit_law(EffectiveData(), WEIGHTS, costs).parameters == pytest.approx(whole, rel=1e-6)
