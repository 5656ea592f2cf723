"""Laws: slopes are those of the values, and known parameters' predictions are found again."""

import numpy as np
import pytest

from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import EffectiveData, Exponential, Law

RNG = np.random.default_rng(0)
WEIGHTS = np.vstack([RNG.dirichlet(np.full(5, 0.5), 60), np.eye(5)])
LAWS: tuple[Law, ...] = (EffectiveData(), EffectiveData(0.5), Exponential())


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_slopes_are_those_of_the_values(law: Law) -> None:
    costs = RNG.normal(3, 1, (2, len(WEIGHTS)))
    at = law.starts(costs, 5)[0] + 0.1 * RNG.standard_normal((2, len(law.prior(5).mean)))
    values, slopes = law.values_and_slopes(at, WEIGHTS)
    assert values == pytest.approx(law.values(at, WEIGHTS))
    for i in range(at.shape[1]):
        step = np.zeros_like(at)
        step[:, i] = 1e-6
        change = law.values(at + step, WEIGHTS) - law.values(at - step, WEIGHTS)
        assert slopes[:, :, i] == pytest.approx(change / 2e-6, rel=1e-4, abs=1e-6)


def truth(weights: np.ndarray, beta: float) -> np.ndarray:
    worth = np.exp(np.random.default_rng(1).normal(0, 1, (6, 5)))
    cost: np.ndarray = 2 + (0.1 + weights**beta @ worth.T) ** -0.7
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
