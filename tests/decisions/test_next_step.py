"""What would tell candidates apart: seeds, items, or neither."""

import math

import numpy as np
import pytest

from dataselect.decisions.next_step import (
    EVER,
    MOST_SEEDS,
    NextStep,
    ScoreLead,
    cut_doubt,
    enough_flops,
    next_step,
)


def step(*leads: ScoreLead, seeds: int = 1, confidence: float = 0.9) -> NextStep:
    chances = {f"c{place}": lead for place, lead in enumerate(leads)}
    return next_step(chances, tuple(chances), seeds, confidence)


def test_a_told_apart_winner_is_chosen() -> None:
    assert next_step({"a": ScoreLead(1, 0.1, 0.1)}, (), 1, 0.9).action == "choose"


@pytest.mark.parametrize("doubt", [0.0, 0.7])
@pytest.mark.parametrize("difference", [0.0, 0.4, 3.0])
def test_a_leads_probability_is_that_of_draws(doubt: float, difference: float) -> None:
    lead = ScoreLead(difference, 0.3, 0.8, tau=0.5, tau_doubt=doubt)
    rng, n = np.random.default_rng(0), 400_000
    scale = 0.5 * np.exp(doubt * rng.standard_normal(n))
    noise = math.hypot(0.3, 0.8 / 2) * rng.standard_normal(n) + scale * rng.standard_cauchy(n)
    assert lead.probability(4) == pytest.approx((difference + noise > 0).mean(), abs=0.004)


def test_without_noise_and_gap_the_order_is_sure_and_a_tie_a_toss() -> None:
    assert ScoreLead(0.1, 0.2, 0.2).probability(EVER, EVER) == 1
    assert ScoreLead(0.0, 0.2, 0.2).probability(EVER, EVER) == 0.5


def test_the_fewest_seeds_that_are_enough_are_found() -> None:
    lead = ScoreLead(1.0, 0.1, 1.5, tau=0.1)
    made = step(lead, seeds=2)
    assert made.action == "more_seeds"
    assert made.seeds is not None
    assert made.seeds > 2
    assert lead.probability(made.seeds) >= 0.9 > lead.probability(made.seeds - 1)
    assert made.probability == lead.probability(made.seeds)


def test_seeds_cannot_help_where_the_gap_alone_is_too_wide() -> None:
    lead = ScoreLead(1.0, 0.0, 1.0, tau=0.5, tau_doubt=0.7)
    assert lead.probability(EVER, EVER) < 0.9
    made = step(lead)
    assert (made.action, made.seeds, made.beyond) == ("other_proxies", None, ("c0",))
    assert made.probability == lead.probability(EVER, EVER)


def test_equal_scores_are_beyond_any_seeds() -> None:
    assert step(ScoreLead(0.0, 0.1, 0.1, tau=0.2)).action == "other_proxies"


def test_one_pair_beyond_the_gap_is_enough_to_say_so() -> None:
    made = step(ScoreLead(0.1, 0.0, 1.0, tau=0.5), ScoreLead(3.0, 0.0, 3.0, tau=0.1))
    assert (made.action, made.beyond) == ("other_proxies", ("c0",))


def test_seeds_are_enough_for_the_hardest_pair() -> None:
    easy, hard = ScoreLead(2.0, 0.0, 2.0, tau=0.05), ScoreLead(1.0, 0.0, 2.0, tau=0.05)
    assert step(easy, hard).seeds == step(hard).seeds


def test_items_are_the_remedy_where_their_noise_is_the_obstacle() -> None:
    lead = ScoreLead(1.0, 2.0, 0.01, tau=0.05)
    made = step(lead, seeds=3)
    assert (made.action, made.seeds) == ("more_items", None)
    assert made.items is not None
    assert lead.probability(3, made.items) >= 0.9 > lead.probability(3, made.items * 0.9)


def test_seeds_come_with_items_where_both_are_missing() -> None:
    lead = ScoreLead(1.0, 1.0, 1.5, tau=0.05)
    made = step(lead)
    assert made.action == "more_items"
    assert made.seeds is not None
    assert made.items is not None
    assert lead.probability(made.seeds, made.items) >= 0.9 > lead.probability(EVER, 1)


def test_unknown_noise_of_seeds_is_measured_first() -> None:
    made = step(ScoreLead(1.0, 2.0, None))
    assert (made.action, made.seeds, made.probability) == ("more_seeds", 3, None)
    assert made.items == pytest.approx((2.0 * 1.2816) ** 2, abs=0.2)
    assert step(ScoreLead(1.0, 0.1, None)).items is None


def test_more_than_anybody_has_is_no_remedy() -> None:
    made = step(ScoreLead(0.01, 5.0, 5.0))
    assert (made.action, made.beyond) == ("other_proxies", ())
    assert ScoreLead(0.01, 5.0, 5.0).probability(MOST_SEEDS, 100) < 0.9


def test_the_cut_is_widened_until_the_best_is_kept_with_the_confidence() -> None:
    p_best = {"a": 0.5, "b": 0.1, "c": 0.25, "d": 0.1, "e": 0.05}
    made = cut_doubt(p_best, ("a", "b"), 0.9)
    assert made is not None
    assert (made.keep, made.more) == (4, 2)
    assert (made.p_kept, made.p_then) == pytest.approx((0.6, 0.95))
    assert cut_doubt(p_best, ("a", "b", "c", "d"), 0.9) is None
    assert cut_doubt(p_best, tuple(p_best), 0.9) is None


def test_a_cut_makes_up_for_what_the_others_may_have_lost_as_far_as_it_can() -> None:
    p_best = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}
    made = cut_doubt(p_best, ("a", "b"), 0.9, others=0.95)
    assert made is not None
    assert (made.keep, made.more) == (3, 1)
    assert (made.p_kept, made.p_then) == pytest.approx((0.8 * 0.95, 0.95 * 0.95))
    assert cut_doubt(p_best, ("a", "b", "c"), 0.9, others=0.95) is None
    # Alone it cannot reach the confidence then, so it is widened as if it were the only one.
    hopeless = cut_doubt(p_best, ("a", "b"), 0.9, others=0.7)
    assert hopeless is not None
    assert (hopeless.keep, hopeless.p_then) == (3, pytest.approx(0.95 * 0.7))


def test_survivors_kept_by_probability_need_not_be_the_first() -> None:
    made = cut_doubt({"a": 0.4, "b": 0.1, "c": 0.4, "d": 0.1}, ("a", "c"), 0.9)
    assert made is not None
    assert (made.keep, made.more, made.p_then) == (2, 1, pytest.approx(0.9))


def test_the_smallest_proxy_that_is_enough_is_found_or_none() -> None:
    def leads(flops: float) -> list[ScoreLead]:
        return [ScoreLead(1.0, 0.0, 0.0, tau=1e9 / flops)]

    found = enough_flops(leads, 1e8, 1e12, 0.9)
    # atan(1 / tau) / pi = 0.4
    assert found == pytest.approx(1e9 * math.tan(0.4 * math.pi), rel=1e-3)
    assert enough_flops(leads, 1e8, 1e9, 0.9) is None
    assert enough_flops(leads, 1e12, 1e8, 0.9) is None
