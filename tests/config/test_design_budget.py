"""Budgets are read as people state them, and nothing about a GPU is guessed."""

import pytest

from dataselect.config.budget import Budget, parse_budget
from dataselect.errors import InputError


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("1e19", 1e19),
        (1e19, 1e19),
        (10**19, 1e19),
        ("1e19 FLOPs", 1e19),
        ("2.5 EFLOPs", 2.5e18),
        ("300 PFLOP", 3e17),
        ("1_000_000", 1e6),
    ],
)
def test_flops_need_no_rate(text: str | float, flops: float) -> None:
    assert parse_budget(text) == Budget(flops)


@pytest.mark.parametrize("text", ["40 GPU-hours", "40 gpu hours", "40GPUh", "40 GPU_hours"])
@pytest.mark.parametrize("rate", [1e14, "1e14", "100 TFLOP/s", "100 tflops", "100TFLOPs/s"])
def test_hours_are_worth_what_a_gpu_sustains(text: str, rate: str | float) -> None:
    budget = parse_budget(text, rate)
    assert budget.flops == pytest.approx(40 * 3600 * 1e14)
    assert (budget.unit, budget.format(budget.flops / 4)) == ("GPU-hours", "10 GPU-hours")


def test_a_gpu_day_has_24_hours() -> None:
    assert parse_budget("2 GPU-days", 1e12).flops == pytest.approx(48 * 3600e12)


@pytest.mark.parametrize("text", ["500 USD", "$500", "$ 500", "$500 USD"])
def test_money_buys_hours_at_their_price(text: str) -> None:
    budget = parse_budget(text, 1e14, "2.5 USD")
    assert budget.flops == pytest.approx(200 * 3600 * 1e14)
    assert budget.format(budget.flops) == "500 USD"


@pytest.mark.parametrize(
    ("text", "rate", "price", "where", "says"),
    [
        ("much", None, None, "--budget", "not an amount"),
        ("-1e19", None, None, "--budget", "not an amount"),
        ("0", None, None, "--budget", "nothing to spend"),
        ("1e999", None, None, "--budget", "nothing to spend"),
        ("nan", None, None, "--budget", "not an amount"),
        ("40 hours", None, None, "--budget", "'hours' is not a unit"),
        ("40 GPU-hours", None, None, "--budget", "--flops-per-second"),
        ("40 GPU-hours", "fast", None, "--flops-per-second", "not an amount"),
        ("40 GPU-hours", "3 GHz", None, "--flops-per-second", "'GHz' is not a unit"),
        ("500 USD", "1e14", None, "--budget", "--price"),
        ("500 USD", None, "2 USD", "--budget", "--flops-per-second"),
        ("500 EUR", "1e14", "2 USD", "--price", "in USD, the budget in EUR"),
        ("500 EUR", "1e14", "2", "--price", "in no currency"),
        ("$500 EUR", "1e14", "2 USD", "--budget", "two units"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    text: str, rate: str | None, price: str | None, where: str, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse_budget(text, rate, price)
    assert caught.value.where == where
    assert says in str(caught.value)
