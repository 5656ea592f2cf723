from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Item
from dataselect.scoring.baselines import prepare_baselines, score_baselines
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

HEADER = TraceHeader("colours", "frontier", "prompt", "test")
CHOICES = ("red apples", "crêpes", "she")


@pytest.fixture
def colours() -> BenchmarkItems:
    items = tuple(
        Item(f"c{n}", f"Which is number {n}?", "ABC"[n % 3], CHOICES, n % 3) for n in range(4)
    )
    shots = (
        Item("s1", "What has Ann?", "A", ("apples", "euros"), 0, "Ann has apples."),
        Item("s2", "What sells Zoë?", "B", ("apples", "crêpes"), 1, "She sells crêpes."),
    )
    return BenchmarkItems("colours", items, shots)


def traces(answers: dict[str, str | None]) -> TraceSet:
    return TraceSet(
        HEADER,
        {
            name: Trace(name, " She starts with 3. ", ((20, 0.5),), answer)
            for name, answer in answers.items()
        },
    )


def decoded(tokenizer: Any, pair: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[str, str]:
    context, continuation = pair
    return tokenizer.decode(context), tokenizer.decode(continuation)


def test_choices_follow_the_question_without_being_shown(
    colours: BenchmarkItems, tokenizer: Any
) -> None:
    prepared = prepare_baselines(colours, (), tokenizer, 512)
    item = prepared.items[0]
    for number, alone, choice in zip(item.choices, item.alone, CHOICES, strict=True):
        context, text = decoded(tokenizer, prepared.pairs[number])
        assert text == f" {choice}"
        assert context == (
            "Question: What has Ann?\nAnswer: apples\n\n"
            "Question: What sells Zoë?\nAnswer: crêpes\n\n"
            "Question: Which is number 0?\nAnswer:"
        )
        assert decoded(tokenizer, prepared.pairs[alone]) == ("Answer:", f" {choice}")
    assert item.characters == (11, 7, 4)
    context, text = decoded(tokenizer, prepared.pairs[item.answer])
    assert text == " A"
    assert context.endswith("A. red apples\nB. crêpes\nC. she\nAnswer:")
    assert "Ann has apples. The answer is A." in context


def test_reasoning_and_answer_are_written_as_scalingbench_does(
    colours: BenchmarkItems, tokenizer: Any
) -> None:
    given = traces({"c0": "B", "c1": " $\\frac{1}{2}$ ", "c2": None})
    prepared = prepare_baselines(colours, [given], tokenizer, 512)
    assert [len(item.traces) for item in prepared.items] == [1, 1, 0, 0]
    numbers = [number for item in prepared.items for number in item.traces]
    texts = [decoded(tokenizer, prepared.pairs[n])[1] for n in numbers]
    assert texts == [
        " She starts with 3.\nFinal Answer: The final answer is $B$. I hope it is correct.",
        " She starts with 3.\nFinal Answer: The final answer is $\\frac{1}{2}$."
        " I hope it is correct.",
    ]


def test_the_same_text_after_the_same_context_is_scored_once(
    colours: BenchmarkItems, tokenizer: Any
) -> None:
    prepared = prepare_baselines(colours, (), tokenizer, 512)
    assert len({item.alone for item in prepared.items}) == 1
    assert len(set(prepared.pairs)) == len(prepared.pairs) == 4 * (1 + 3) + 3
    contexts = {id(context) for context, _ in prepared.pairs}
    assert len(contexts) == 4 * 2 + 1


def test_scalingbench_is_the_mean_over_frontier_models_that_all_gave_an_answer(
    colours: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("llama")
    one = traces({"c0": "B", "c1": "A", "c2": "C"})
    two = traces({"c0": "crêpes", "c1": None, "c3": "A"})
    alone = [score_baselines(model, tokenizer, colours, [each], 512).table for each in (one, two)]
    both = score_baselines(model, tokenizer, colours, [one, two], 512).table
    first, second = (table["scb_nll"][0] for table in alone)
    assert abs(first - second) > 1e-3
    assert both["scb_nll"][0] == pytest.approx((first + second) / 2)
    assert both["scb_nll"][1:].isna().all()
    others = both.columns.drop(["item", "scb_nll"])
    assert both[others].to_numpy() == pytest.approx(alone[0][others].to_numpy(), rel=1e-4)


def test_one_row_an_item_with_every_metric(
    colours: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("llama")
    made = score_baselines(model, tokenizer, colours, [traces({"c1": "B"})], 512)
    assert list(made.table["item"]) == ["c0", "c1", "c2", "c3"]
    assert made.table["scb_nll"].isna().tolist() == [True, False, True, True]
    assert made.table.drop(columns=["scb_nll"]).notna().all().all()
    lengths = [len(tokenizer(f" {letter}")["input_ids"]) for letter in "ABCA"]
    expected = np.exp(-made.table["answer_nll"].to_numpy() * lengths)
    assert made.table["mpca"].to_numpy() == pytest.approx(expected)
    assert set(made.table["acc_uncond"]) <= {0.0, 1.0}
    assert made.table["margin_per_char"].between(-1, 1).all()
    assert made.flops == 2 * model.num_parameters() * made.tokens
    assert not made.exclusions
    assert not made.notes


def test_items_without_choices_have_no_choice_metrics(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    made = score_baselines(make_model("gpt2"), tokenizer, benchmark_items, (), 512)
    assert list(made.table.columns) == ["item", "mpca", "answer_nll", "scb_nll"]
    assert made.table["mpca"].between(0, 1).all()


def test_code_is_continued_by_its_solution_with_the_indent(tokenizer: Any) -> None:
    code = Item("h", "def one():\n", "    return 1\n", code=CodeCheck("def check(f): pass", "one"))
    benchmark = BenchmarkItems("code", (code,), (), "{question}")
    prepared = prepare_baselines(benchmark, (), tokenizer, 512)
    assert decoded(tokenizer, prepared.pairs[0]) == ("def one():\n", "    return 1")


def test_all_choices_of_an_item_lose_the_same_examples(
    colours: BenchmarkItems, tokenizer: Any
) -> None:
    long = "red apples and more" * 4
    item = replace(colours.items[0], choices=("she", long))
    benchmark = replace(colours, items=(item,))
    free = prepare_baselines(benchmark, (), tokenizer, 10_000)
    longest = max(len(context) + len(text) for context, text in free.pairs)
    prepared = prepare_baselines(benchmark, (), tokenizer, longest - 1)
    contexts = {prepared.pairs[n][0] for n in prepared.items[0].choices}
    assert len(contexts) == 1
    assert prepared.items[0].dropped >= 1
    assert prepared.notes == (
        "items whose baselines have fewer worked examples, to fit the model: 1",
    )


def test_an_item_that_does_not_fit_is_excluded_with_its_length(
    colours: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    wide = replace(colours.items[1], question="Which is it? " * 60)
    benchmark = replace(colours, items=(colours.items[0], wide))
    made = score_baselines(make_model("gpt2"), tokenizer, benchmark, (), 256)
    assert list(made.table["item"]) == ["c0"]
    assert [each.item for each in made.exclusions] == ["c1"]
    assert "the model takes 256" in made.exclusions[0].reason


def test_nothing_to_score_gives_an_empty_table(
    colours: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    made = score_baselines(make_model("gpt2"), tokenizer, colours, (), 3)
    assert made.table.empty
    assert "mpca" in made.table.columns
    assert len(made.exclusions) == 4
    assert made.flops == 0
    assert made.tokens == 0
