"""Scores of marked letters against a slow reading: tokens counted by the share that is marked."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.marks import RULES, propose, with_marks
from dataselect.scoring.likelihood.scorer import score
from dataselect.scoring.masks import prepare_masks, score_masks
from dataselect.scoring.pooled import pooled
from dataselect.scoring.prepare import prepare
from dataselect.scoring.token_spans import align
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

HEADER = TraceHeader("stories", "frontier", "prompt", "test")
TEXT = "  She starts with 3 crêpes. 3 + 14 = 17 — 日本語 too.\n"
MARKS = ((2, 5), (16, 26), (28, 33), (44, 46))


def traces_for(benchmark: BenchmarkItems, marks: Any = MARKS, text: str = TEXT) -> TraceSet:
    marked = None if marks is None else with_marks(text, marks)
    runs = ((len(text), None),)
    made = {i.id: Trace(i.id, text, runs, None, marked) for i in benchmark.items}
    return TraceSet(HEADER, made)


def by_letters(model: Any, tokenizer: Any, context: str, marked: set[int]) -> tuple[float, float]:
    """Nats and tokens of the marked letters of `TEXT`, a letter at a time."""
    text = TEXT.strip()
    start = TEXT.index(text)
    aligned = align(tokenizer, context, f" {text}")
    ids = [*aligned.context_ids, *aligned.ids]
    with torch.inference_mode():
        log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    nats = tokens = 0.0
    for i, (first, end) in enumerate(aligned.spans):
        # Letter 0 is the prompt's space.
        letters = [letter - 1 + start for letter in range(first, end) if letter > 0]
        if not letters:
            continue
        share = sum(letter in marked for letter in letters) / len(letters)
        place = len(aligned.context_ids) + i
        nats -= share * float(log_probs[place - 1, ids[place]])
        tokens += share
    return nats, tokens


def letters_of(spans: Any) -> set[int]:
    return {letter for start, end in spans for letter in range(start, end)}


def test_marks_and_rules_give_what_a_slow_reading_by_letters_gives(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model = make_model("olmo2")
    prepared = prepare_masks(benchmark_items, traces_for(benchmark_items), tokenizer, 512)
    table = score_masks(model, prepared.items).table.set_index("item")
    wanted = {"mask": MARKS} | {f"mask_{rule}": propose(TEXT, rule) for rule in RULES}
    for item in benchmark_items.items:
        for name, spans in wanted.items():
            context = benchmark_items.context(item)
            nats, tokens = by_letters(model, tokenizer, context, letters_of(spans))
            assert table.loc[item.id, name] == pytest.approx(nats / tokens, abs=1e-4)
            if name == "mask":
                assert table.loc[item.id, "mask_nats"] == pytest.approx(nats, abs=1e-3)
    marked = "".join(TEXT[start:end] for start, end in MARKS)
    assert set(table["mask_bytes"]) == {len(marked.encode())}
    whole = pooled(table, "mask_bpb")
    assert whole is not None
    bits = table["mask_nats"].sum() / math.log(2) / (len(table) * len(marked.encode()))
    assert whole[0] == pytest.approx(bits)


def test_where_all_is_marked_it_is_the_plain_nll(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model = make_model("llama")
    traces = traces_for(benchmark_items, ((0, len(TEXT)),))
    table = score_masks(model, prepare_masks(benchmark_items, traces, tokenizer, 512).items).table
    plain = score(model, prepare(benchmark_items, traces, tokenizer, 512, "span").items).table
    assert table["mask"].to_numpy() == pytest.approx(plain["trace_nll"].to_numpy(), abs=1e-5)
    assert plain["rbridge"].to_numpy() == pytest.approx(plain["trace_nll"].to_numpy())


def test_marks_as_weights_are_the_marked_share_of_each_token(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model = make_model("llama")
    traces = traces_for(benchmark_items)
    masked = prepare_masks(benchmark_items, traces, tokenizer, 512)
    weighted = prepare(benchmark_items, traces, tokenizer, 512, "span")
    for one, other in zip(masked.items, weighted.items, strict=True):
        assert np.array_equal(one.shares["mask"], other.token_weights, equal_nan=True)
    marks = score_masks(model, masked.items).table
    weights = score(model, weighted.items).table
    # The same sum, there over marked tokens, here over all.
    tokens = weights["trace_tokens"] - weights["left_out_tokens"]
    assert (weights["rbridge"] * tokens).to_numpy() == pytest.approx(
        marks["mask_nats"].to_numpy(), abs=1e-3
    )


def test_a_trace_that_nobody_marked_has_the_rules_scores_alone(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    prepared = prepare_masks(benchmark_items, traces_for(benchmark_items, None), tokenizer, 512)
    table = score_masks(make_model("llama"), prepared.items).table
    assert list(table.columns) == ["item", "mask_numbers", "mask_operators", "mask_content"]
    assert table.notna().all(axis=None)


def test_what_has_nothing_to_mark_has_no_value(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    traces = traces_for(benchmark_items, (), "So it is.")
    numbered = Trace("q1", "Add 3.", ((6, None),))
    traces = replace(traces, traces={**traces.traces, "q1": numbered})
    prepared = prepare_masks(benchmark_items, traces, tokenizer, 512)
    table = score_masks(make_model("llama"), prepared.items).table
    assert "mask" not in table
    assert list(table["mask_numbers"].notna()) == [True] + [False] * 5
    unmarked = prepare(benchmark_items, traces, tokenizer, 512, "span")
    assert {each.reason for each in unmarked.exclusions} == {"no part of its trace is marked"}


def test_an_item_whose_loss_is_not_finite_is_left_out(
    benchmark_items: BenchmarkItems, tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model = make_model("llama")
    rare = Trace("q3", "Zebra 3.", ((8, None),), None, "Zebra <span>3</span>.")
    traces = traces_for(benchmark_items)
    traces = replace(traces, traces={**traces.traces, "q3": rare})
    prepared = prepare_masks(benchmark_items, traces, tokenizer, 512)
    (odd,) = (
        set(tokenizer(" Z")["input_ids"])
        - {token for item in prepared.items if item.item_id != "q3" for token in item.trace_ids}
        - {token for item in prepared.items for token in item.context_ids}
    )
    with torch.no_grad():
        model.get_input_embeddings().weight[odd] = float("nan")
    found = score_masks(model, prepared.items)
    assert [each.item for each in found.exclusions] == ["q3"]
    assert list(found.table["item"]) == ["q1", "q2", "q4", "q5", "q6"]


@pytest.mark.parametrize("metric", ["authors_mask_bpb", "authors_mask_byte_perplexity"])
def test_a_pooled_metric_s_error_is_that_of_resampled_items(metric: str) -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(20, 200, 300)
    nats = size * rng.uniform(0.2, 0.8, 300)
    table = pd.DataFrame({"authors_mask_nats": nats, "authors_mask_bytes": size})
    draws = [table.sample(300, replace=True, random_state=n) for n in range(400)]
    found = pooled(table, metric)
    assert found is not None
    assert found[1] == pytest.approx(
        np.std([pooled(draw, metric) for draw in draws], axis=0)[0], rel=0.15
    )


def test_a_perplexity_that_is_too_large_is_no_number() -> None:
    table = pd.DataFrame({"authors_mask_nats": [1e6], "authors_mask_bytes": [1]})
    assert pooled(table, "authors_mask_byte_perplexity") is None
    assert pooled(table, "authors_mask_bpb") == (1e6 / math.log(2), 0.0, 1)
    assert pooled(table, "mask_bpb") is None
