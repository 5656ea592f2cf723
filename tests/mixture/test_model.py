"""A model's predictions and intervals, its file, and proposals from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_swarms import SOURCES, losses, made

from dataselect.errors import InputError
from dataselect.mixture.constraints import no_limits, read_limits
from dataselect.mixture.design import design
from dataselect.mixture.model import MixtureModel, _quantile, fit_model
from dataselect.mixture.model_file import Provenance, read_model, to_json
from dataselect.mixture.objective import Objective
from dataselect.mixture.pareto import trade_offs
from dataselect.mixture.propose import best_mixture, propose, with_runs

NEW = design(np.array([0.6, 0.2, 0.15, 0.05]), 202, 9)[2:]
PROVENANCE = Provenance(command="dataselect mix fit", version="0", files={})


def test_new_mixtures_are_predicted_and_mostly_inside_their_intervals(model: MixtureModel) -> None:
    found = model.predict(NEW, 0.9)
    error = np.sqrt(((found.metrics - losses(NEW)) ** 2).mean(axis=0))
    assert (error < 0.2 * losses(NEW).std(axis=0)).all()
    measured = losses(NEW) + 0.01 * np.random.default_rng(1).standard_normal((200, 2))
    assert 0.8 < (np.abs(found.metrics - measured) <= found.metrics_half).mean() <= 1
    assert found.objective == pytest.approx(found.metrics.mean(axis=1))
    assert (model.predict(NEW, 0.5).objective_half < found.objective_half).all()


def test_higher_is_better_is_the_same_turned_over() -> None:
    swarm, objective = made(12, 0.01), Objective(np.array([0.5, 0.5]), False)
    turned = fit_model(replace(swarm, values=-swarm.values), objective, False, 0).predict(NEW)
    found = fit_model(swarm, objective, True, 0).predict(NEW)
    assert turned.metrics == pytest.approx(-found.metrics)
    assert turned.objective_half == pytest.approx(found.objective_half)


def test_few_errors_give_intervals_beyond_all_of_them() -> None:
    errors = np.array([[1.0], [2.0], [3.0], [1.0], [1.0], [2.0], [1.0], [1.0]])
    assert _quantile(errors, 0.5) == pytest.approx(1)
    assert _quantile(errors, 0.9)[0] >= 3
    assert _quantile(errors, 0.99)[0] > _quantile(errors, 0.9)[0]


def test_a_file_holds_the_whole_model(model: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(to_json(model, PROVENANCE))
    again, provenance = read_model(path)
    assert provenance == PROVENANCE
    one, other = model.predict(NEW), again.predict(NEW)
    assert other.metrics == pytest.approx(one.metrics, abs=1e-9)
    assert other.objective_half == pytest.approx(one.objective_half, rel=1e-9)
    limits = no_limits(SOURCES)
    assert best_mixture(again, limits, 0) == pytest.approx(best_mixture(model, limits, 0), abs=1e-6)
    assert to_json(again, provenance) == to_json(model, PROVENANCE)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 2}, "schema"),
        ({"weights": [[1.0]]}, "do not fit together"),
        ({"fold_of": [0] * 40}, "do not fit together"),
        ({"runs": "r"}, "runs: Input should be a valid array"),
        ({"extra": 1}, "extra"),
        ({"objective": [0.0, 0.0]}, "do not fit together"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    model: MixtureModel, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = tmp_path / "model.json"
    content = json.loads(to_json(model, PROVENANCE))
    del content["sha256"]
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match=problem):
        read_model(path)


def test_the_proposal_is_near_the_true_best_and_not_a_run(model: MixtureModel) -> None:
    found = propose(model, no_limits(SOURCES), 0.9, 0)
    grid = np.random.default_rng(0).dirichlet(np.ones(4), 20_000)
    best = losses(grid).mean(axis=1).min()
    true = losses(found.shares[None]).mean()
    spread = losses(model.swarm.shares).mean(axis=1).std()
    assert true - best < 0.1 * spread
    assert found.shares.sum() == pytest.approx(1)
    assert np.abs(found.shares - model.swarm.shares).max(axis=1).min() > 1e-3
    assert (found.low <= found.shares).all()
    assert (found.shares <= found.high).all()
    assert (found.near_low <= found.shares + 1e-9).all()
    assert (found.near_high >= found.shares - 1e-9).all()
    single = found.beside["best single source"]
    assert single.gain > 0
    assert single.label in SOURCES
    assert abs(found.objective - true) <= found.objective_half
    assert list(found.beside) == ["uniform", "best single source", "best run"]


def test_the_same_seed_proposes_the_same(model: MixtureModel) -> None:
    one, other = (best_mixture(model, no_limits(SOURCES), 3) for _ in range(2))
    assert (one == other).all()


CONSTRAINTS = """
target_tokens: 1T
max_repetition: 2
sources:
  web: {tokens: 3T}
  code: {tokens: 100B}
  books: {tokens: 50B, max_repetition: 1}
  wiki: {tokens: 40B, min: 0.05}
floors:
  code_loss: prior
"""


def test_a_proposal_keeps_every_constraint(model: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(CONSTRAINTS)
    limits = read_limits(path, SOURCES, model.swarm.metrics, with_runs(model))
    assert limits.feasible.upper == pytest.approx([1, 0.2, 0.05, 0.08])
    assert limits.prior == pytest.approx(np.array([3000, 100, 50, 40]) / 3190)
    found = propose(model, limits, 0.9, 0)
    assert (found.shares <= limits.feasible.upper + 1e-9).all()
    assert found.shares[3] >= 0.05
    prior = model.predict(limits.prior[None]).metrics[0, 1]
    assert found.metrics[1] <= prior + 1e-6
    assert found.beside["prior"].gain > 0
    assert found.divergence is not None
    assert limits.caps[3] == "40B tokens 2 times"


def test_a_cap_on_the_distance_holds(model: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("prior: {web: 0.7, code: 0.1, books: 0.1, wiki: 0.1}\nmax_kl: 0.05\n")
    limits = read_limits(path, SOURCES, model.swarm.metrics, {})
    assert propose(model, limits, 0.9, 0).divergence == pytest.approx(0.05, abs=0.005)


def test_trade_offs_are_none_better_in_both(model: MixtureModel) -> None:
    found = trade_offs(model, no_limits(SOURCES), 6, 0)
    assert len(found) >= 4
    metrics = np.array([each.metrics for each in found])
    for one in metrics:
        assert not ((metrics <= one).all(axis=1) & (metrics < one).any(axis=1)).any()
    assert [each.objective for each in found] == sorted(each.objective for each in found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sources: {wbe: {max: 0.5}}", "'wbe' is no source of the model; did you mean 'web'?"),
        (
            "target_tokens: 10T\nsources:\n"
            + "".join(f"  {n}: {{tokens: 1T}}\n" for n in SOURCES)
            + "max_repetition: 2",
            "limits.yaml:1:1: the sources allow 0.8 of 10T tokens with 'max_repetition' 2",
        ),
        (
            "target_tokens: 1T\nsources: {wiki: {tokens: 10B, min: 0.1}}",
            "'wiki' cannot have weight 0.1: 10B tokens 4 times of 1T allow 0.04",
        ),
        ("sources: {web: {min: 0.6}, code: {min: 0.6}}", "sum to 1.2, above 1"),
        (
            "sources: {web: {max: 0.2}, code: {max: 0.2}, books: {weight: 0.1}, wiki: {max: 0}}",
            "the largest weights ('max', 'weight') sum to 0.5, below 1",
        ),
        ("sources: {web: {min: 0.6, max: 0.5}}", "'min' 0.6 is above 'max' 0.5"),
        ("sources: {web: {weight: 0.6, max: 0.7}}", "'min' or 'max' is given as well"),
        ("sources: {web: {max_repetition: 2}}", "without 'tokens' it has no effect"),
        ("max_kl: 0.1", "there is no prior"),
        ("kl_penalty: 0.1", "there is no prior"),
        (
            "prior: {web: 1}\nmax_kl: 0.1\nsources: {web: {max: 0.5}}",
            "keep every mixture inf nats or more from the prior",
        ),
        ("prior: {web: 0.5}", "the weights sum to 0.5, not 1"),
        ("prior: r99", "'r99' is no run of the swarm"),
        ("floors: {qa_los: prior}", "'qa_los' is no metric; did you mean 'qa_loss'?"),
        ("floors: prior", "there is no prior"),
        ("floors: {qa_loss: best}\nprior: r0", "'best' is no floor"),
        ("max_repetitions: 3", "unknown key 'max_repetitions'"),
    ],
)
def test_what_cannot_be_names_the_constraint(
    model: MixtureModel, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text + "\n")
    with pytest.raises(InputError) as refused:
        read_limits(path, SOURCES, model.swarm.metrics, with_runs(model))
    assert problem in str(refused.value)


def test_a_floor_that_no_mixture_keeps_is_named(model: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("floors: {qa_loss: 0.5}\n")
    limits = read_limits(path, SOURCES, model.swarm.metrics, with_runs(model))
    with pytest.raises(InputError, match="no mixture is predicted to keep that of 'qa_loss'"):
        propose(model, limits, 0.9, 0)


def test_a_run_can_be_the_prior(model: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("prior: r0\n")
    limits = read_limits(path, SOURCES, model.swarm.metrics, with_runs(model))
    assert limits.prior == pytest.approx([0.6, 0.2, 0.15, 0.05])
    assert limits.prior_from == "run r0"


def test_accuracies_and_thirty_sources_with_few_runs_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(30, 0.3), 34)
    score = 1 / (1 + np.exp(-2 * np.sqrt(shares) @ rng.normal(0, 1, 30)))
    swarm = replace(
        made(34, 0),
        sources=tuple(f"s{i}" for i in range(30)),
        metrics=("acc",),
        shares=shares,
        values=score[:, None],
    )
    model = fit_model(swarm, Objective(np.ones(1), False), False, 0)
    found = model.predict(np.vstack([np.eye(30), shares]))
    assert np.isfinite(found.metrics).all()
    assert np.isfinite(found.objective_half).all()
