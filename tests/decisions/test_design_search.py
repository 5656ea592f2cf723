"""The search for rungs: costs, outcomes where the model is true, and budgets."""

import numpy as np
import pytest

from dataselect.decisions.design.rungs import Rung, at_random, costs, play
from dataselect.decisions.design.score_model import ScoreModel
from dataselect.decisions.design.search import TOLERANCE, Frontier, Problem, search
from dataselect.decisions.design.shapes import halving, single_stage, two_stage
from dataselect.decisions.design.worlds import Worlds, draw_worlds

FLOPS = (1.0, 10.0, 100.0)
MODEL = ScoreModel(np.array([2.0, 1.2, 0.5]), np.array([1.5, 1.0, 0.3]))
BUDGETS = np.geomspace(8, 4_000, 30)


@pytest.fixture(scope="module")
def frontier() -> Frontier:
    return search(Problem(8, FLOPS, MODEL))


@pytest.fixture(scope="module")
def fresh() -> Worlds:
    """Worlds that the search has not seen."""
    return draw_worlds(MODEL, 8, (1, 2, 3, 5), 20_000, 99)


def test_a_later_rung_of_the_same_proxy_pays_for_further_seeds_alone() -> None:
    rungs = (Rung(1, 1, 4), Rung(1, 3, 2), Rung(2, 1, 1))
    assert costs(rungs, FLOPS, 8) == (8 * 10, 4 * 2 * 10, 2 * 100)


def test_without_error_and_noise_the_best_is_always_chosen() -> None:
    exact = ScoreModel(np.zeros(1), np.zeros(1))
    played = play((Rung(0, 1, 3), Rung(0, 1, 1)), draw_worlds(exact, 6, (1,), 500, 0), (1.0,))
    assert (played.regret, played.p_survives) == (0, (1.0, 1.0))


def test_the_regret_of_one_proxy_is_that_of_the_correlation_of_its_scores(fresh: Worlds) -> None:
    """The chosen has the truth that its score foretells: correlation times the highest of 8."""
    top = fresh.truth.max(axis=1).mean()
    for size in range(3):
        spread = np.sqrt(1 + MODEL.error_sd[size] ** 2 + MODEL.seed_sd[size] ** 2)
        expected = top * (1 - 1 / spread)
        assert play((Rung(size, 1, 1),), fresh, FLOPS).regret == pytest.approx(expected, abs=0.03)


def test_what_is_stated_is_what_comes_true_where_the_model_is_true(
    frontier: Frontier, fresh: Worlds
) -> None:
    for each in frontier.plans:
        true = play(each.rungs, fresh, FLOPS)
        close = 4 * np.hypot(each.regret_se, true.regret_se)
        assert true.regret == pytest.approx(each.regret, abs=close)
        assert true.p_survives == pytest.approx(each.p_survives, abs=0.02)


def test_a_larger_budget_never_has_a_larger_expected_regret(frontier: Frontier) -> None:
    found = [frontier.at(budget) for budget in BUDGETS]
    regrets = [each.regret for each in found if each is not None]
    assert len(regrets) == len(BUDGETS)
    assert (np.diff(regrets) <= 0).all()
    assert regrets[-1] < regrets[0] / 2
    assert all(each.flops <= b for each, b in zip(found, BUDGETS, strict=True) if each is not None)


def test_it_is_never_worse_than_other_shapes_at_the_same_budget(
    frontier: Frontier, fresh: Worlds
) -> None:
    compared = 0
    for budget in BUDGETS:
        best = frontier.at(budget)
        assert best is not None
        for shape in (two_stage, single_stage, halving):
            rungs = shape(8, FLOPS, budget)
            if rungs is not None:
                other = play(rungs, fresh, FLOPS)
                assert other.flops <= budget
                ours = play(best.rungs, fresh, FLOPS)
                assert ours.regret <= other.regret + TOLERANCE + 3 * other.regret_se
                compared += 1
    assert compared > 40


def test_what_pays_for_nothing_is_no_plan(frontier: Frontier) -> None:
    assert frontier.at(7.9) is None
    assert frontier.plans[0].flops == 8


def test_seeds_are_not_bought_where_there_is_no_noise_of_seeds() -> None:
    quiet = ScoreModel(MODEL.error_sd, np.zeros(3))
    found = search(Problem(8, FLOPS, quiet, most_rungs=2))
    assert {rung.seeds for each in found.plans for rung in each.rungs} == {1}


def test_a_proxy_that_is_no_better_than_a_cheaper_one_is_never_trained() -> None:
    flat = ScoreModel(np.array([2.0, 1.2, 1.2]), np.array([1.5, 1.0, 1.0]))
    found = search(Problem(8, FLOPS, flat, most_rungs=2))
    assert {rung.size for each in found.plans for rung in each.rungs} == {0, 1}


def test_the_same_seed_gives_the_same_plans() -> None:
    model = ScoreModel(MODEL.error_sd[:2], MODEL.seed_sd[:2])
    problem = Problem(20, FLOPS[:2], model, (1, 2), 2)
    assert search(problem).plans == search(problem).plans


def test_the_paper_s_shape_keeps_a_third_and_spends_the_rest_on_them() -> None:
    assert two_stage(12, FLOPS, 12 + 4 * 100) == (Rung(0, 1, 4), Rung(2, 1, 1))
    assert two_stage(12, FLOPS, 12 + 4 * 10 - 1) is None
    assert two_stage(2, FLOPS, 1e9) is None


def test_halving_gives_every_rung_an_equal_part() -> None:
    assert halving(8, FLOPS, 3 * 80) == (Rung(1, 1, 1),), "the same proxies, trained once"
    assert halving(8, FLOPS, 3 * 200) == (Rung(1, 1, 2), Rung(2, 1, 1))
    assert halving(8, FLOPS, 23) is None


def test_a_single_stage_is_the_largest_for_all() -> None:
    assert single_stage(8, FLOPS, 8 * 99) == (Rung(1, 1, 1),)
    assert single_stage(8, FLOPS, 7) is None


def test_a_choice_at_random_is_the_best_as_often_as_any(fresh: Worlds) -> None:
    random = at_random(fresh)
    assert (random.p_best, random.flops) == (1 / 8, 0)
    assert random.regret == pytest.approx(fresh.truth.max(axis=1).mean(), abs=0.02)


def test_a_given_last_rung_ends_every_plan_and_costs_what_it_costs(fresh: Worlds) -> None:
    given = Rung(2, 1, 1)
    found = search(Problem(8, FLOPS, MODEL, last=given))
    assert all(each.rungs[-1] == given for each in found.plans)
    assert all(each.flops == sum(costs(each.rungs, FLOPS, 8)) for each in found.plans)
    # It need not be for all: some are pruned before where that is cheaper.
    assert found.plans[0].flops < 8 * FLOPS[2]
    free = search(Problem(8, FLOPS, MODEL)).at(found.plans[-1].flops)
    assert free is not None
    assert free.regret <= found.plans[-1].regret + TOLERANCE + 4 * free.regret_se
