import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.scoring.choices import VARIANTS, choice_metrics

SUFFIXES = {"raw": "", "per_token": "_per_token", "per_char": "_per_char", "uncond": "_uncond"}


@st.composite
def items(draw: st.DrawFn) -> tuple[list[float], list[float], list[int], list[int], int]:
    n = draw(st.integers(2, 10))
    logs = st.floats(-60, -1e-3)
    lengths = st.integers(1, 40)
    return (
        draw(st.lists(logs, min_size=n, max_size=n)),
        draw(st.lists(logs, min_size=n, max_size=n)),
        draw(st.lists(lengths, min_size=n, max_size=n)),
        draw(st.lists(lengths, min_size=n, max_size=n)),
        draw(st.integers(0, n - 1)),
    )


def test_a_worked_example() -> None:
    metrics = choice_metrics([-2.0, -3.0], [-4.0, -3.5], [2, 1], [4, 10], 0)
    e = math.exp
    assert metrics == pytest.approx(
        {
            "correct_prob": e(-2),
            "norm_correct_prob": e(-2) / (e(-2) + e(-3)),
            "total_prob": e(-2) + e(-3),
            "margin": e(-2) - e(-3),
            "acc_raw": 1.0,
            "correct_prob_per_token": e(-1),
            "norm_correct_prob_per_token": e(-1) / (e(-1) + e(-3)),
            "total_prob_per_token": e(-1) + e(-3),
            "margin_per_token": e(-1) - e(-3),
            "acc_per_token": 1.0,
            "correct_prob_per_char": e(-0.5),
            "norm_correct_prob_per_char": e(-0.5) / (e(-0.5) + e(-0.3)),
            "total_prob_per_char": e(-0.5) + e(-0.3),
            "margin_per_char": e(-0.5) - e(-0.3),
            "acc_per_char": 0.0,
            "correct_prob_uncond": e(2),
            "norm_correct_prob_uncond": e(2) / (e(2) + e(0.5)),
            "total_prob_uncond": e(2) + e(0.5),
            "margin_uncond": e(2) - e(0.5),
            "acc_uncond": 1.0,
            "uncond_correct_prob": e(-4),
            "uncond_correct_prob_per_token": e(-2),
            "uncond_correct_prob_per_char": e(-1),
            "uncond_total_prob": e(-4) + e(-3.5),
        }
    )


@settings(max_examples=50, deadline=None)
@given(items())
def test_metrics_agree_with_each_other(
    item: tuple[list[float], list[float], list[int], list[int], int],
) -> None:
    metrics = choice_metrics(*item)
    for variant in VARIANTS:
        suffix = SUFFIXES[variant]
        right, total = metrics[f"correct_prob{suffix}"], metrics[f"total_prob{suffix}"]
        assert 0 <= metrics[f"norm_correct_prob{suffix}"] <= 1 + 1e-12
        assert metrics[f"norm_correct_prob{suffix}"] == pytest.approx(right / total, rel=1e-9)
        margin = metrics[f"margin{suffix}"]
        assert margin <= right
        assert total >= 2 * right - margin - 1e-9 * total
        if margin > 0:
            assert metrics[f"acc_{variant}"] == 1
        if margin < 0:
            assert metrics[f"acc_{variant}"] == 0


@settings(max_examples=50, deadline=None)
@given(items(), st.randoms())
def test_the_order_of_the_choices_does_not_matter(
    item: tuple[list[float], list[float], list[int], list[int], int], random: object
) -> None:
    *columns, gold = item
    order = list(range(len(columns[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [[column[i] for i in order] for column in columns]
    assert choice_metrics(*shuffled, order.index(gold)) == pytest.approx(choice_metrics(*item))


def test_equally_good_choices_share_the_accuracy() -> None:
    metrics = choice_metrics([-1.0, -1.0, -1.0, -2.0], [-1.0] * 4, [1] * 4, [5] * 4, 1)
    assert metrics["acc_raw"] == pytest.approx(1 / 3)
    assert choice_metrics([-1.0, -2.0], [-3.0] * 2, [1, 1], [1, 1], 1)["acc_raw"] == 0


def test_choices_too_improbable_for_a_float_are_still_ranked() -> None:
    metrics = choice_metrics([-900.0, -901.0], [-900.0] * 2, [1, 1], [1, 1], 0)
    assert metrics["correct_prob"] == 0
    assert metrics["acc_raw"] == 1
    assert metrics["norm_correct_prob"] == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize(
    ("conditional", "tokens", "gold", "problem"),
    [
        ([-1.0, -2.0], [1, 2, 3], 0, "do not match"),
        ([-1.0], [1], 0, "cannot be told"),
        ([-1.0, -2.0], [1, 2], 2, "cannot be told"),
        ([[-1.0, -2.0]], [[1, 2]], 0, "do not match"),
    ],
)
def test_what_is_not_a_choice_is_refused(
    conditional: list[float], tokens: list[int], gold: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        choice_metrics(conditional, conditional, tokens, np.ones_like(conditional), gold)


@pytest.mark.parametrize(("right", "margin"), [(-100.0, np.inf), (-300.0, -np.inf), (-200.0, 0.0)])
def test_a_margin_of_ratios_that_no_float_holds_is_infinite_and_not_left_out(
    right: float, margin: float
) -> None:
    found = choice_metrics([right, -200.0], [-2000.0, -2000.0], [1, 1], [5, 5], 0)
    assert found["margin_uncond"] == margin
    assert np.isfinite(found["margin"])
