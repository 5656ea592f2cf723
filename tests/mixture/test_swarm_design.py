"""Designs of swarms: within bounds, none twice, and new ones beside earlier runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits, no_limits
from dataselect.mixture.earlier_swarm import Earlier
from dataselect.mixture.feasible import Feasible
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.repeats import notes_on_repeats
from dataselect.mixture.swarm_design import design_runs

NAMES = ("a", "b", "c")


def limits(names: tuple[str, ...], prior: tuple[float, ...] | None, high: float = 1.0) -> Limits:
    n = len(names)
    bounds = Feasible(np.zeros(n), np.full(n, high))
    return replace(
        no_limits(names), feasible=bounds, prior=None if prior is None else np.array(prior)
    )


def earlier(names: tuple[str, ...], shares: np.ndarray) -> Earlier:
    runs = tuple(f"r{i}" for i in range(len(shares)))
    return Earlier(Path("first"), names, runs, shares, None, None)


def test_a_design_keeps_bounds_and_repeats_no_mixture_but_the_prior() -> None:
    found = design_runs(NAMES, limits(NAMES, (0.4, 0.4, 0.2), 0.5), 20, 0, replicates=3)
    assert [run.seed for run in found.runs[:4]] == [0, 1, 2, 0]
    assert len({run.shares for run in found.runs}) == 18
    assert found.shares.max() <= 0.5 + 1e-9
    assert found.notes == ()
    assert design_runs(NAMES, limits(NAMES, None), 9, 0).notes == (
        "no prior and no tokens are given: the design is around equal shares",
    )
    outside = design_runs(NAMES, limits(NAMES, (0.8, 0.1, 0.1), 0.5), 9, 0)
    assert "a: the prior's 0.8 is outside its bounds, and trained so" in outside.notes


def test_the_default_is_as_many_runs_as_predict_well() -> None:
    names = tuple("abcde")
    assert len(design_runs(names, no_limits(names), None, 0).new) == 15
    first = design_runs(NAMES, no_limits(NAMES), 9, 0)
    more = design_runs(names, no_limits(names), None, 0, earlier=earlier(NAMES, first.shares))
    # Three for each of two new sources and all others as one, and two that repeat a mixture.
    assert len(more.new) == 11
    with pytest.raises(InputError, match=r"--runs: 5 are too few for 2 new of 5 sources beside 9"):
        design_runs(names, no_limits(names), 5, 0, earlier=earlier(NAMES, first.shares))


def test_more_runs_of_the_same_sources_are_other_mixtures() -> None:
    first = design_runs(NAMES, no_limits(NAMES), 9, 0)
    more = design_runs(NAMES, no_limits(NAMES), 9, 0, earlier=earlier(NAMES, first.shares))
    known = {run.shares for run in first.runs}
    assert [run.role for run in more.new] == ["repeat", *["designed"] * 8]
    assert more.new[0].seed == 2, "0 and 1 were trained"
    assert not known & {run.shares for run in more.new[1:]}
    assert "no source is new: the runs are more of the same swarm" in more.notes


def test_where_all_earlier_runs_have_a_removed_source_none_is_repeated() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    names = ("a", "b", "d")
    found = design_runs(names, no_limits(names), 6, 0, earlier=earlier(NAMES, shares))
    assert (found.added, found.removed) == (("d",), ("c",))
    assert all(run.repeats is None for run in found.new)
    assert all(run.shares[2] >= 0.005 and run.shares[3] == 0 for run in found.new)
    assert any("none is repeated" in note for note in found.notes)


def test_names_of_earlier_runs_are_not_taken_again() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    before = replace(earlier(NAMES, shares), runs=tuple(f"run-{i:03}" for i in range(5, 14)))
    found = design_runs(NAMES, no_limits(NAMES), 5, 0, earlier=before)
    assert [run.name for run in found.new] == [
        "run-014",
        "run-015",
        "run-016",
        "run-017",
        "run-018",
    ]


def test_a_repeated_run_is_judged_by_what_seeds_do(model: MixtureModel) -> None:
    # The first two runs of the swarm are the prior twice.
    swarm = model.swarm
    twice = np.vstack([swarm.shares, swarm.shares[:1]])
    for away, expected in ((0.0, "no difference beyond seeds"), (1.0, "differs by more than")):
        values = np.vstack([swarm.values, swarm.values[:1] + away])
        runs = (*swarm.runs, "new")
        more = replace(model, swarm=replace(swarm, runs=runs, shares=twice, values=values))
        more.__dict__["errors"] = model.errors
        (note,) = notes_on_repeats(more, {"new": "r0"})
        assert expected in note
    assert notes_on_repeats(model, {"new": "r0"}) == [], "it is not trained yet"
