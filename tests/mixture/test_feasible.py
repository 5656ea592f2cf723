"""Projection onto bounds, the nearest mixture to a prior, and the search within them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.mixture.design import design
from dataselect.mixture.feasible import Feasible, divergence, nearest_to_prior, project
from dataselect.mixture.optimise import THOROUGH, breaks, search, starting_points


@st.composite
def bounded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point, and bounds that allow some mixture."""
    n = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inside = rng.dirichlet(np.full(n, draw(st.sampled_from([0.1, 1.0, 10.0]))))
    tight = rng.random(n) < draw(st.floats(0, 1))
    lower = np.where(tight, inside, inside * rng.random(n))
    upper = np.where(tight, inside, np.minimum(inside + rng.random(n), 1))
    point = rng.normal(0, draw(st.sampled_from([0.01, 1.0, 100.0])), n)
    return point, lower, upper


@given(bounded())
@settings(max_examples=200, deadline=None)
def test_a_projection_is_feasible_and_no_feasible_point_is_nearer(
    case: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    point, lower, upper = case
    found = project(point, lower, upper)[0]
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert (found >= lower).all()
    assert (found <= upper).all()
    assert project(found, lower, upper)[0] == pytest.approx(found, abs=1e-9)
    # Optimality of the nearest point: no mass can move downhill within the bounds.
    slope = found - point
    gives, takes = found > lower + 1e-9, found < upper - 1e-9
    if gives.any() and takes.any():
        assert slope[gives].max() <= slope[takes].min() + 1e-6 * max(1, np.abs(point).max())


def test_points_are_projected_each_for_itself() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    lower, upper = np.array([0.1, 0, 0, 0]), np.array([1, 0.3, 0.5, 1])
    together = project(points, lower, upper)
    assert together == pytest.approx(np.vstack([project(p, lower, upper) for p in points]))


def test_the_nearest_to_a_prior_scales_what_is_free() -> None:
    prior = np.array([0.7, 0.2, 0.1])
    found = nearest_to_prior(prior, np.zeros(3), np.array([0.4, 1, 1]))
    assert found == pytest.approx([0.4, 0.4, 0.2])
    other = project(np.random.default_rng(0).normal(size=(500, 3)), np.zeros(3), [0.4, 1, 1])
    assert (divergence(other, prior) >= divergence(found, prior) - 1e-9).all()


def test_divergence_is_zero_at_the_prior_and_infinite_off_its_support() -> None:
    prior = np.array([0.5, 0.5, 0.0])
    assert divergence(prior, prior) == 0
    assert divergence(np.array([0.5, 0.4, 0.1]), prior) == np.inf
    assert divergence(np.array([1.0, 0, 0]), prior) == pytest.approx(np.log(2))


@pytest.mark.parametrize("upper", [1.0, 0.35])
def test_the_search_finds_the_least_of_a_known_function(upper: float) -> None:
    target = np.array([0.5, 0.3, 0.2, 0.0, 0.0])
    feasible = Feasible(np.zeros(5), np.full(5, upper))

    def score(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ((shares - target) ** 2).sum(axis=1), np.zeros(len(shares))

    starts = starting_points(np.full((1, 5), 0.2), 5, 100, 0)
    found, broken = search(score, feasible, starts, THOROUGH, 0)
    assert broken[0] == 0
    assert found[0] == pytest.approx(project(target, np.zeros(5), np.full(5, upper))[0], abs=0.01)


def test_what_breaks_a_constraint_comes_after_all_that_do_not() -> None:
    prior = np.array([0.8, 0.1, 0.1])
    feasible = Feasible(np.zeros(3), np.ones(3), prior, 0.05, 0.0, np.array([np.inf, 0.5]))
    shares = np.array([prior, [0.1, 0.8, 0.1]])
    costs = np.array([[9.0, 0.5], [0.0, 0.7]])
    broken = breaks(feasible, shares, costs, np.array([1.0, 0.1]))
    assert broken[0] == 0
    assert broken[1] == pytest.approx(divergence(shares[1], prior) - 0.05 + 2, abs=1e-6)


def test_a_design_holds_the_prior_twice_and_has_it_as_its_mean() -> None:
    prior = np.array([0.5, 0.3, 0.2, 0.0])
    found = design(prior, 258, 0)
    assert found.shape == (258, 4)
    assert (found[:2] == prior).all()
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[2:].mean(axis=0) == pytest.approx(prior, abs=0.03)
    assert (found[2:, 3] > 0.01).any()
    assert (design(prior, 258, 0) == found).all()
    assert not (design(prior, 258, 1)[2:] == found[2:]).all()
    assert design(prior, 1, 0).shape == (1, 4)
