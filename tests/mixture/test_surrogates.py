"""Surrogates keep one contract, and each is right where its assumption holds."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from small_swarms import made

from dataselect.errors import InputError
from dataselect.mixture.gaussian_process import (
    _improbability,
    _kernel,
    _more_probable,
    _runs_at,
    fit_process,
)
from dataselect.mixture.law_fit import fit_law
from dataselect.mixture.laws import EffectiveData, RepeatedData
from dataselect.mixture.model import fit_model
from dataselect.mixture.model_file import Provenance, read_model, to_json
from dataselect.mixture.objective import Objective
from dataselect.mixture.ridge import fit_ridge
from dataselect.mixture.stack import deal, find_stacking_weights, fit_stack
from dataselect.mixture.surrogates import DATA_LAW, surrogates
from dataselect.mixture.trees import fit_trees

RNG = np.random.default_rng(0)
WEIGHTS = RNG.dirichlet(np.full(4, 0.6), 48)
COSTS = np.column_stack([WEIGHTS @ [1.0, -1, 2, 0], (0.1 + WEIGHTS**0.5 @ [1, 2, 0.1, 3]) ** -0.5])


@pytest.mark.parametrize("name", list(surrogates(0)))
def test_every_surrogate_beats_the_mean_and_is_deterministic(name: str) -> None:
    fit = surrogates(0)[name]
    law = {DATA_LAW: fit_law(EffectiveData(), WEIGHTS[:32], COSTS[:32])}
    fitted = fit(WEIGHTS[:32], COSTS[:32], law)
    predicted = fitted.predict(WEIGHTS[32:])
    assert predicted.shape == (16, 2)
    error = np.sqrt(((predicted - COSTS[32:]) ** 2).mean(axis=0)) / COSTS.std(axis=0)
    assert (error < 0.9).all()
    assert (fit(WEIGHTS[:32], COSTS[:32], law).predict(WEIGHTS[32:]) == predicted).all()
    # In any units.
    scaled = fit(WEIGHTS[:32], 1000 * COSTS[:32] - 5, law).predict(WEIGHTS[32:])
    assert np.isfinite(scaled).all()
    assert np.isfinite(fitted.predict(np.eye(4))).all()


@pytest.mark.parametrize("name", list(surrogates(0)))
def test_a_constant_metric_is_predicted_constant(name: str) -> None:
    costs = np.full((48, 1), 3.0)
    law = {DATA_LAW: fit_law(EffectiveData(), WEIGHTS, costs)}
    predicted = surrogates(0)[name](WEIGHTS, costs, law).predict(np.eye(4))
    assert predicted == pytest.approx(3.0, abs=0.05)


def test_a_linear_truth_is_found_by_the_linear_model() -> None:
    fitted = fit_ridge(False, WEIGHTS[:20], COSTS[:20, :1])
    assert fitted.predict(WEIGHTS) == pytest.approx(COSTS[:, :1], abs=1e-3)


def test_the_slopes_of_a_process_likelihood_are_right() -> None:
    sizes = np.array([0.3, 0.1, 0.6, 0.2, -1.0, -0.5])
    runs = _runs_at(RNG.standard_normal((21, 3)), sizes)
    target = RNG.standard_normal(21)
    _, gradient = _improbability(sizes, runs, target)
    for i in range(len(sizes)):
        step = np.zeros(6)
        step[i] = 1e-6
        up, _ = _improbability(sizes + step, runs, target)
        down, _ = _improbability(sizes - step, runs, target)
        assert gradient[i] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-5)


def test_the_units_of_a_search_are_those_of_the_expected_curvature() -> None:
    rng = np.random.default_rng(4)
    # At the means of the priors, whose slopes are 0 there.
    sizes = np.array([0.0, 0.0, 0.0, 0.0, -2.0, -1.0])
    at = rng.standard_normal((24, 3))
    runs = _runs_at(at, sizes)
    covariance = _kernel(at, at, sizes) + np.exp(2 * sizes[-2]) * np.eye(24)
    draws = rng.standard_normal((3000, 24)) @ np.linalg.cholesky(covariance).T
    slopes = np.array([_improbability(sizes, runs, draw)[1] for draw in draws])
    curvature = (slopes**2).mean(axis=0)
    curvature[:3] = curvature[:3].mean()
    precision = np.array([1 / 1.5**2] * 3 + [1, 1 / 1.5**2, 1 / 1.5**2])
    assert 1 / runs.units**2 == pytest.approx(curvature + precision, rel=0.15)


def test_a_search_in_these_units_ends_where_a_longer_one_does() -> None:
    first = np.array([np.log(2)] * 4 + [0.0, -2.0, -1.0])
    at = WEIGHTS**0.5 - (WEIGHTS**0.5).mean(axis=0)
    runs = _runs_at(at / at.std(axis=0), first)
    noise = np.random.default_rng(5).standard_normal(COSTS.shape)
    for target in ((COSTS - COSTS.mean(axis=0)) / COSTS.std(axis=0) + 0.1 * noise).T:
        _, found = _more_probable(runs, target, first, 28)
        value, _ = _improbability(found, runs, target)
        longest = minimize(
            _improbability, first, args=(runs, target), jac=True, method="L-BFGS-B"
        ).fun
        assert value < longest + 0.3


def test_a_process_follows_its_runs_where_noise_is_small() -> None:
    fitted = fit_process(WEIGHTS, COSTS, 0)
    assert np.abs(fitted.predict(WEIGHTS) - COSTS).max() < 0.1 * COSTS.std()


def test_folds_keep_replicates_together() -> None:
    shares = np.repeat(WEIGHTS[:12], 3, axis=0)
    fold_of = deal(shares, 0)
    assert len(set(fold_of)) == 10
    assert all(len(set(fold_of[3 * i : 3 * i + 3])) == 1 for i in range(12))
    assert set(deal(WEIGHTS[:3], 0)) == {0, 1, 2}


def test_shares_go_to_what_predicts_and_sum_to_one() -> None:
    costs = RNG.standard_normal((50, 3))
    good = costs + 0.1 * RNG.standard_normal(costs.shape)
    other = costs + 0.1 * RNG.standard_normal(costs.shape)
    bad = RNG.standard_normal(costs.shape)
    stacking = find_stacking_weights(np.stack([good, other, bad]), costs)
    assert stacking.sum(axis=0) == pytest.approx(1)
    assert (stacking >= 0).all()
    assert (stacking[2] == 0).all()
    assert (stacking[:2] > 0.2).all()


def test_the_reported_error_knows_nothing_of_the_fold() -> None:
    """Costs that nothing predicts: the average must not look better than the mean of the runs."""
    noise = RNG.standard_normal((40, 1))
    fits = {name: fit for name, fit in surrogates(0).items() if name in ("ridge", "linear")}
    seen: list[tuple[int, int]] = []
    shares = RNG.dirichlet(np.ones(4), 40)
    stack = fit_stack(shares, noise, fits, 0, observe=lambda *far: seen.append(far))
    assert seen == [(done, 22) for done in range(1, 23)]
    assert np.sqrt(((stack.honest - noise) ** 2).mean()) > 0.95 * noise.std()


def test_what_is_predicted_of_a_fold_does_not_depend_on_its_costs() -> None:
    # Of five metrics and more the laws are fitted together.
    costs = np.tile(COSTS[:30], 3)[:, :5] + 0.1 * RNG.standard_normal((30, 5))
    other = costs.copy()
    fold_of = deal(WEIGHTS[:30], 0)
    held = fold_of == 0
    other[held] = other[held][::-1] * 3 - 1
    first, second = (fit_stack(WEIGHTS[:30], each, surrogates(0), 0) for each in (costs, other))
    assert (first.held_out[:, held] == second.held_out[:, held]).all()
    assert (first.held_out[:, ~held] != second.held_out[:, ~held]).any()


def test_trees_name_their_extra_where_lightgbm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(InputError, match=r"pip install 'dataselect\[trees\]'"):
        fit_trees(WEIGHTS, COSTS, 0)


def test_trees_come_back_from_a_model_file(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    objective = Objective(np.array([0.5, 0.5]), False)
    model = fit_model(made(16, 0.01), objective, True, 0, trees=True)
    path = tmp_path / "model.json"
    path.write_text(to_json(model, Provenance(command="", version="", files={})))
    again, _ = read_model(path)
    new = RNG.dirichlet(np.ones(4), 20)
    trees = again.stack.whole["trees"].predict(new)
    assert (trees == model.stack.whole["trees"].predict(new)).all()


def test_trees_learn_an_interaction() -> None:
    pytest.importorskip("lightgbm")
    shares = RNG.dirichlet(np.ones(3), 400)
    costs = ((shares[:, 0] > 0.3) & (shares[:, 1] > 0.3)).astype(float)[:, None]
    fitted = fit_trees(shares[:300], costs[:300], 0)
    away = ((fitted.predict(shares[300:]) > 0.5) != (costs[300:] > 0.5)).mean()
    assert away < 0.1


def test_a_fit_is_that_of_longer_searches() -> None:
    # Values of a build whose laws went on from every start, to gains ten times smaller, and whose
    # processes took 20 steps for each root in the sizes' own units.
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(6, 0.2), 40)
    shares[shares < 0.02] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    costs = (0.1 + shares**0.6 @ np.exp(rng.normal(0, 1, (6, 5)))) ** -0.5
    costs += 0.1 * costs.std(axis=0) * rng.standard_normal(costs.shape)
    stack = fit_stack(shares, costs, surrogates(0), 0)
    honest = [0.70021962, 0.38598125, 0.43614121, 0.50900346, 0.56896833]
    assert stack.honest[0] == pytest.approx(honest, abs=3e-4)
    errors = np.sqrt(((stack.held_out - costs) ** 2).mean(axis=(1, 2)))
    by_surrogate = [0.01687832, 0.01890229, 0.04691464, 0.03849813, 0.01803555]
    assert errors[:5] == pytest.approx(by_surrogate, rel=0.02)
    assert errors[5:] == pytest.approx([0.04982948, 0.08790756], abs=1e-7)
    repeated = fit_law(RepeatedData(np.array([0, 0.5, 4, 20, 60, 1.0])), shares, costs)
    before = [0.70128018, 0.38466381, 0.43865965, 0.50497948, 0.56552185]
    assert repeated.predict(shares)[0] == pytest.approx(before, abs=1e-4)
