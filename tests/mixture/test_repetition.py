"""Runs that repeat text: the fit, and predictions at other epochs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_swarms import SOURCES, losses, made

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits, read_limits
from dataselect.mixture.design import design
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.model_file import Provenance, read_model, to_json
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.repetition import rates_of, repetition_of
from dataselect.mixture.surrogates import surrogates
from dataselect.mixture.swarm import Swarm
from dataselect.mixture.target_epochs import at_epochs, for_target, notes_on_epochs
from dataselect.store.sealed import unsealed

EVEN = Objective(np.array([0.5, 0.5]), False)
RATES = np.array([0.1, 2.0, 8.0, 60.0])
REPETITION = 5.0
NEW = design(np.array([0.6, 0.2, 0.15, 0.05]), 102, 9)[2:]
PROVENANCE = Provenance(command="dataselect mix fit", version="0", files={})


def true(shares: np.ndarray, rates: np.ndarray) -> np.ndarray:
    again = np.maximum(rates * shares - 1, 0)
    new = REPETITION * (1 - np.exp(-again / REPETITION))
    return losses(np.where(again > 0, (1 + new) / np.maximum(rates, 1), shares))


def repeating() -> Swarm:
    """A swarm in which every second run had a fifth of the text."""
    swarm = made(30, 0)
    rates = np.tile(RATES, (30, 1))
    rates[::2] /= 5
    noise = 0.01 * np.random.default_rng(0).standard_normal(swarm.values.shape)
    return replace(swarm, values=true(swarm.shares, rates) + noise, rates=rates)


@pytest.fixture(scope="module")
def known() -> MixtureModel:
    return fit_model(repeating(), EVEN, True, 0)


def limits(folder: Path, more: str = "") -> Limits:
    path = folder / "limits.yaml"
    lines = "".join(
        f"  {name}: {{tokens: {round(1e12 / rate)}}}\n"
        for name, rate in zip(SOURCES, RATES, strict=True)
    )
    path.write_text(f"target_tokens: 1T\nmax_repetition: 20\n{more}\nsources:\n{lines}")
    return read_limits(path, SOURCES, ("qa_loss", "code_loss"), {})


def test_epochs_of_at_most_1_change_nothing(model: MixtureModel, swarm: Swarm) -> None:
    once = fit_model(replace(swarm, rates=np.ones((40, 4))), EVEN, True, 0)
    assert list(once.stack.whole) == list(model.stack.whole) == list(surrogates(0))
    assert (once.stack.predict(NEW) == model.stack.predict(NEW)).all()
    assert to_json(once, PROVENANCE) == to_json(model, PROVENANCE)


def test_runs_that_repeat_are_predicted_by_laws_that_know_of_it(known: MixtureModel) -> None:
    blind = fit_model(replace(repeating(), rates=None), EVEN, True, 0)
    away = {
        name: np.abs(each.stack.predict(NEW) - true(NEW, RATES)).mean()
        for name, each in (("blind", blind), ("known", at_epochs(known, RATES)))
    }
    assert away["known"] < 0.5 * away["blind"]
    aware = [i for i, name in enumerate(known.stack.whole) if name.startswith("repeated")]
    assert known.errors[0][aware].sum(axis=1).min() < blind.errors[0].sum(axis=1).min()
    law = known.stack.repeated
    assert law is not None
    # The second metric does not depend on the source that is read most.
    assert repetition_of(law)[0] == pytest.approx(REPETITION, rel=0.5)
    assert (rates_of(law) < RATES).all()


def test_more_epochs_of_the_same_weight_are_never_better(known: MixtureModel) -> None:
    law = known.stack.repeated
    assert law is not None
    usual = rates_of(law)
    at = {x: at_epochs(known, x * usual).predict(NEW).metrics for x in (0.2, 1.0, 5.0)}
    assert at[1.0] == pytest.approx(known.predict(NEW).metrics)
    assert (at[0.2] <= at[1.0] + 1e-12).all()
    assert (at[1.0] <= at[5.0] + 1e-12).all()
    each = np.where(np.arange(len(NEW))[:, None] < 50, usual, 5 * usual)
    assert at_epochs(known, each).predict(NEW).metrics == pytest.approx(
        np.vstack([at[1.0][:50], at[5.0][50:]])
    )


def test_a_file_holds_a_model_that_knows_epochs(known: MixtureModel, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(to_json(known, PROVENANCE))
    again, _ = read_model(path)
    for one, other in ((known, again), (at_epochs(known, RATES), at_epochs(again, RATES))):
        assert other.predict(NEW).metrics == pytest.approx(one.predict(NEW).metrics, abs=1e-9)
    assert to_json(again, PROVENANCE) == path.read_text()
    text = json.dumps(unsealed(json.loads(path.read_text())), separators=(",", ":"))
    for find, put in (
        ('"rates":[[', '"rates":[[-1,'),
        ('"rates":', '"rates":null,"r":'),
        ('"repeated data"', '"effective data"'),
    ):
        assert find in text
        path.write_text(text.replace(find, put))
        with pytest.raises(InputError):
            read_model(path)


def test_a_target_that_repeats_takes_less_of_what_is_scarce(
    model: MixtureModel, tmp_path: Path
) -> None:
    """Runs without repetition say nothing about R, so the user gives it."""
    plain, told = limits(tmp_path), limits(tmp_path, "repetition: 3")
    assert for_target(model, plain) is model
    moved = for_target(model, told)
    free, careful = (best_mixture(m, plain, 0) for m in (model, moved))
    scarce = SOURCES.index("wiki")
    assert careful[scarce] < free[scarce]
    cost = {name: true(w[None], RATES).mean() for name, w in (("f", free), ("c", careful))}
    assert cost["c"] < cost["f"]
    (note,) = notes_on_epochs(model, plain, free)
    assert "'repetition:' in the constraints would count that" in note
    assert notes_on_epochs(moved, told, careful) == [
        "predicted at the target's epochs, with R 3 for the value of repeated text"
    ]


def test_r_as_fitted_is_for_runs_that_repeated(
    model: MixtureModel, known: MixtureModel, tmp_path: Path
) -> None:
    fitted = limits(tmp_path, "repetition: fitted")
    at = for_target(known, fitted).predict(NEW).metrics
    assert at == pytest.approx(at_epochs(known, RATES).predict(NEW).metrics)
    given = for_target(known, limits(tmp_path, "repetition: 1")).predict(NEW).metrics
    assert given.mean() > at.mean()
    with pytest.raises(InputError, match="no run is known to read a source more than once"):
        for_target(model, fitted)
    with pytest.raises(InputError, match="no run of the model is known to read a source more"):
        at_epochs(model, RATES)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("repetition: 15", "limits.yaml:1:1: without 'target_tokens' it has no effect"),
        ("repetition: 15\ntarget_tokens: 1T", "without 'tokens' it has no effect"),
        ("repetition: 0\ntarget_tokens: 1T", "repetition"),
        ("repetition: fited\ntarget_tokens: 1T", "repetition"),
    ],
)
def test_repetition_needs_to_know_the_target_s_epochs(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text + "\n")
    with pytest.raises(InputError) as refused:
        read_limits(path, SOURCES, (), {})
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)
