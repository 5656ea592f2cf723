"""Which mixtures a search trains: within bounds, none twice, the same in any order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from searches import SETTINGS, law

from dataselect.mixture.constraints import no_limits
from dataselect.mixture.feasible import Feasible
from dataselect.mixture.trial import rounded
from dataselect.mixture_search.sampler import designed, fit, proposed

BOUNDED = replace(
    SETTINGS,
    limits=replace(
        no_limits(SETTINGS.sources),
        feasible=Feasible(np.array([0.1, 0, 0, 0]), np.array([1, 0.3, 0.2, 1.0])),
    ),
)


@settings(deadline=None, max_examples=50)
@given(arrays(float, 6, elements=st.floats(0, 1)).filter(lambda w: w.sum() > 1e-3))
def test_rounded_weights_sum_to_one_and_are_near_what_they_round(shares: np.ndarray) -> None:
    found = np.array(rounded(shares))
    parts = np.round(found * 10_000).astype(int)
    assert parts.sum() == 10_000
    assert (parts >= 0).all()
    assert np.abs(found - shares / shares.sum()).max() <= 1.0001e-4
    assert rounded(found) == tuple(found)


def test_the_design_begins_with_the_prior_on_seeds_of_its_own_and_keeps_the_bounds() -> None:
    trials = designed(BOUNDED)
    assert [trial.shares for trial in trials[:2]] == [(0.6, 0.2, 0.15, 0.05)] * 2
    assert [trial.seed for trial in trials] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert len(set(trials)) == 8
    shares = np.array([trial.shares for trial in trials[2:]])
    assert (shares[:, 0] >= 0.1 - 1e-4).all()
    assert (shares[:, 1] <= 0.3 + 1e-4).all()
    assert (shares[:, 2] <= 0.2 + 1e-4).all()


def test_a_design_within_bounds_that_leave_one_mixture_trains_it_with_other_seeds() -> None:
    one = np.array([0.4, 0.3, 0.2, 0.1])
    narrow = replace(SETTINGS.limits, feasible=Feasible(one, one))
    trials = designed(replace(SETTINGS, prior=one, limits=narrow))
    assert {trial.shares for trial in trials} == {tuple(one.tolist())}
    assert len(set(trials)) == 8


@pytest.mark.parametrize("sampler", ["surrogate", "gp"])
def test_a_round_keeps_the_bounds_and_does_not_depend_on_the_order_of_trials(sampler: str) -> None:
    chosen = replace(BOUNDED, sampler=sampler)
    values = {trial: law(trial) for trial in designed(chosen)}
    round_one = proposed(chosen, values, [], 2, 1)
    assert len(set(round_one) | set(values)) == 10
    for trial in round_one:
        assert trial.shares[1] <= 0.3 + 1e-4
        assert trial.shares[0] >= 0.1 - 1e-4
    if sampler == "gp":
        other = proposed(chosen, values, round_one, 2, 1)
        assert not set(other) & set(round_one), "they may have diverged, and have no values"
    backwards = dict(reversed(values.items()))
    assert proposed(chosen, backwards, [], 2, 1) == round_one


def test_a_benchmark_that_is_the_same_everywhere_decides_nothing() -> None:
    values = {trial: (law(trial)[0], 1.0) for trial in designed(SETTINGS)}
    model = fit(SETTINGS, values)
    assert np.isfinite(model.predict(np.eye(4)).objective).all()


def test_the_tag_tells_courses_apart() -> None:
    changes = [{"trials": 13}, {"seed": 1}, {"sampler": "gp"}, {"objective": np.array([0.9, 0.1])}]
    tags = {replace(SETTINGS, **change).tag for change in changes}
    assert len(tags | {SETTINGS.tag, BOUNDED.tag}) == 6
    assert replace(SETTINGS).tag == SETTINGS.tag
