import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.errors import IncompleteError, InputError
from dataselect.traces.recording.spending import (
    Budget,
    Prices,
    Usage,
    estimate,
    openai_prices,
    worst_case,
)

PRICES = Prices(2.0, 10.0)


def test_cost_is_tokens_times_price_per_million() -> None:
    assert PRICES.cost(Usage(1_000_000, 500_000)) == pytest.approx(7.0)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_an_invalid_price_is_refused(price: float) -> None:
    with pytest.raises(InputError, match="not two prices"):
        Prices(1.0, price)


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4.1-nano", "gpt-4.1-nano"),
    ],
)
def test_a_dated_snapshot_costs_the_same_as_its_model(model: str, same_as: str) -> None:
    assert openai_prices(model) == openai_prices(same_as) is not None


def test_the_first_snapshot_of_gpt_4o_has_its_own_price() -> None:
    assert openai_prices("gpt-4o-2024-05-13") != openai_prices("gpt-4o")


@pytest.mark.parametrize("model", ["gpt-4o-audio-preview", "gpt-4", "llama", ""])
def test_the_price_of_another_model_is_not_guessed(model: str) -> None:
    assert openai_prices(model) is None


@given(st.text())
def test_no_text_has_more_tokens_than_the_worst_case(text: str) -> None:
    worst = worst_case([{"role": "user", "content": text}], 7)
    assert worst.prompt_tokens > len(text.encode("utf-8", "surrogatepass"))
    assert worst.completion_tokens == 7


def test_an_estimate_counts_four_characters_a_token_and_a_typical_answer() -> None:
    prompts = [[{"role": "user", "content": "x" * 400}]] * 10
    found = estimate(prompts, 2048, PRICES)
    assert (found.requests, found.usage) == (10, Usage(1000, 3000))
    assert found.usd == pytest.approx(0.032)


def test_an_estimate_respects_short_limits_and_unknown_prices() -> None:
    found = estimate([[{"role": "user", "content": "abc"}]], 50, None)
    assert (found.usage, found.usd) == (Usage(1, 50), None)


def test_a_cap_without_prices_is_refused() -> None:
    with pytest.raises(InputError, match="prices of this model are not known"):
        Budget(None, 1.0)


@pytest.mark.parametrize("cap", [0.0, -1.0, float("nan")])
def test_an_invalid_cap_is_refused(cap: float) -> None:
    with pytest.raises(InputError, match="is not a cap"):
        Budget(PRICES, cap)


def test_earlier_spending_counts() -> None:
    budget = Budget(PRICES, 1.0, Usage(0, 99_000))
    with pytest.raises(IncompleteError, match=r"spent 0\.9900 of 1 US dollars"):
        asyncio.run(budget.reserve(Usage(0, 2_000)))


def test_a_request_waits_for_those_under_way_and_then_takes_what_they_left() -> None:
    async def scenario() -> list[str]:
        budget = Budget(PRICES, 1.0)
        order = []

        async def second() -> None:
            await budget.reserve(Usage(0, 60_000))
            order.append("second began")

        await budget.reserve(Usage(0, 60_000))
        task = asyncio.create_task(second())
        await asyncio.sleep(0.01)
        order.append("first ends")
        budget.settle(Usage(0, 60_000), Usage(0, 10_000))
        await task
        return order

    assert asyncio.run(scenario()) == ["first ends", "second began"]


@given(
    st.lists(st.tuples(st.integers(0, 50_000), st.floats(0, 1)), max_size=30),
    st.floats(0.05, 2.0),
    st.integers(1, 5),
)
def test_the_cap_is_never_passed_whatever_is_used(
    requests: list[tuple[int, float]], cap: float, workers: int
) -> None:
    budget = Budget(PRICES, cap)
    waiting = list(requests)

    async def work() -> None:
        while waiting:
            size, share = waiting.pop()
            worst = Usage(size, size)
            await budget.reserve(worst)
            await asyncio.sleep(0)
            budget.settle(worst, Usage(int(size * share), int(size * share)))

    async def scenario() -> None:
        await asyncio.gather(*(work() for _ in range(workers)), return_exceptions=True)

    asyncio.run(scenario())
    assert budget.usd is not None
    assert budget.usd <= cap


def test_without_a_cap_nothing_waits() -> None:
    budget = Budget(None, None)
    asyncio.run(budget.reserve(Usage(10**9, 10**9)))
    budget.settle(Usage(10**9, 10**9), Usage(5, 6))
    assert (budget.spent, budget.usd) == (Usage(5, 6), None)
