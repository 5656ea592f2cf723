import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.scoring.prepare import Prepared, prepare
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, runs_of

HEADER = TraceHeader("stories", "frontier", "prompt", "test")


def traces_for(benchmark: BenchmarkItems, **changed: Trace | None) -> TraceSet:
    rng = np.random.default_rng(0)
    traces = {}
    for item in benchmark.items:
        text = str(item.rationale)
        traces[item.id] = Trace(item.id, text, runs_of(rng.uniform(0.1, 1, len(text))))
    for name, trace in changed.items():
        traces.pop(name)
        if trace is not None:
            traces[name] = trace
    return TraceSet(HEADER, traces)


def reasons(prepared: Prepared) -> dict[str, str]:
    return {exclusion.item: exclusion.reason for exclusion in prepared.exclusions}


def test_context_and_trace_are_the_joint_tokens_of_prompt_space_trace(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    prepared = prepare(benchmark_items, traces_for(benchmark_items), tokenizer, 512)
    assert [item.item_id for item in prepared.items] == [i.id for i in benchmark_items.items]
    for item, got in zip(benchmark_items.items, prepared.items, strict=True):
        context = benchmark_items.context(item)
        whole = f"{context} {item.rationale}"
        assert [*got.context_ids, *got.trace_ids] == tokenizer(whole)["input_ids"]
        label = f"{context} {item.rationale} The answer is {item.answer}."
        assert [*got.label_context_ids, *got.label_ids] == tokenizer(label)["input_ids"]
        assert tokenizer.decode(got.trace_ids) == f" {item.rationale}"
    assert not prepared.exclusions
    assert not prepared.notes


def test_weights_are_scaled_to_each_trace(benchmark_items: BenchmarkItems, tokenizer: Any) -> None:
    prepared = prepare(benchmark_items, traces_for(benchmark_items), tokenizer, 512)
    for item in prepared.items:
        assert len(item.token_weights) == len(item.trace_ids)
        assert np.nanmin(item.token_weights) == 0
        assert np.nanmax(item.token_weights) == 1


def test_other_scalings_are_there_for_comparison(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    traces = traces_for(benchmark_items)
    raw = prepare(benchmark_items, traces, tokenizer, 512, "none").items
    over_all = prepare(benchmark_items, traces, tokenizer, 512, "benchmark").items
    everything = np.concatenate([item.token_weights for item in raw])
    low, high = np.nanmin(everything), np.nanmax(everything)
    scaled = np.concatenate([item.token_weights for item in over_all])
    assert scaled == pytest.approx((everything - low) / (high - low), nan_ok=True)


def test_the_added_space_has_no_probability_of_its_own(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    # "한" is not in the vocabulary, so the space before it stays a token by itself.
    trace = Trace("q1", "한 is 3", ((2, 0.5), (4, 0.9)))
    prepared = prepare(benchmark_items, traces_for(benchmark_items, q1=trace), tokenizer, 512)
    first = prepared.items[0]
    assert np.isnan(first.token_weights[0])
    assert not np.isnan(first.token_weights[1:]).any()


def test_outer_whitespace_of_a_trace_is_dropped_with_its_probabilities(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    padded = Trace("q1", "\n  She has 3.\n", ((3, 0.1), (4, 0.5), (6, 0.8), (1, 0.1)))
    bare = Trace("q1", "She has 3.", ((4, 0.5), (6, 0.8)))
    one = prepare(benchmark_items, traces_for(benchmark_items, q1=padded), tokenizer, 512)
    other = prepare(benchmark_items, traces_for(benchmark_items, q1=bare), tokenizer, 512)
    assert one.items[0].trace_ids == other.items[0].trace_ids
    assert np.array_equal(one.items[0].token_weights, other.items[0].token_weights, equal_nan=True)


def test_too_long_an_input_loses_whole_examples_and_says_so(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    traces = traces_for(benchmark_items)
    full = prepare(benchmark_items, traces, tokenizer, 512).items
    lengths = [len(item.label_context_ids) + len(item.label_ids) for item in full]
    prepared = prepare(benchmark_items, traces, tokenizer, max(lengths) - 1)
    shots = [item.shots for item in prepared.items]
    assert min(shots) < 2
    assert shots[0] == 2
    assert prepared.notes[0].endswith(f"to fit the model: {sum(n < 2 for n in shots)}")
    last = prepared.items[-1]
    context = benchmark_items.context(benchmark_items.items[-1], last.shots)
    assert tokenizer.decode(last.context_ids) == context
    assert all(
        len(item.label_context_ids) + len(item.label_ids) < max(lengths) for item in prepared.items
    )


def test_an_item_that_does_not_fit_alone_is_excluded_with_its_length(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    prepared = prepare(benchmark_items, traces_for(benchmark_items), tokenizer, 60)
    assert "the model takes 60" in reasons(prepared)["q6"]


def test_missing_and_unweighed_traces_are_excluded_with_reasons(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    blank = Trace("q2", "She has 3.", ((10, None),))
    traces = traces_for(benchmark_items, q1=None, q2=blank)
    prepared = prepare(benchmark_items, traces, tokenizer, 512)
    assert reasons(prepared) == {
        "q1": "it has no trace",
        "q2": "no letter of its trace has a probability",
    }
    assert len(prepared.items) == 4


def test_equal_and_nearly_equal_weights_are_reported(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    flat = Trace("q1", "She has 3.", ((10, 0.5),))
    narrow = Trace("q2", "She has 3.", ((4, 0.5), (6, 0.5005)))
    prepared = prepare(
        benchmark_items, traces_for(benchmark_items, q1=flat, q2=narrow), tokenizer, 512
    )
    weights = prepared.items[0].token_weights
    assert (weights[~np.isnan(weights)] == 1).all()
    assert "equal weights, where each token counts fully: 1" in prepared.notes[0]
    assert "within 0.001, stretched to 0..1: 1" in prepared.notes[1]


def test_a_trace_that_merges_with_its_prompt_is_tokenised_apart_and_reported(
    benchmark_items: BenchmarkItems, tokenizer: Any
) -> None:
    names = tokenizer.convert_ids_to_tokens(range(399))
    assert not any(name.startswith("ĊĠ") for name in names)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["model"]["vocab"]["ĊĠ"] = 399
    backend["model"]["merges"].insert(0, ["Ċ", "Ġ"])
    backend["pre_tokenizer"]["use_regex"] = False
    merging = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(backend)))
    benchmark = replace(benchmark_items, shots=(), prompt="{question}\n")
    prepared = prepare(benchmark, traces_for(benchmark), merging, 512)
    assert prepared.notes == ("traces tokenised apart from their prompt (a token spans both): 6",)
    for item, got in zip(benchmark.items, prepared.items, strict=True):
        assert merging.decode(got.trace_ids) == f" {item.rationale}"
        assert merging.decode(got.context_ids) == f"{item.question}\n"


LINES = st.lists(
    st.sampled_from(["Ann", " has 3", "\n", "\n\n", "é", " 한 ", "€", "'s", "17"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    min_size=1,
    max_size=8,
).map("".join)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(LINES, LINES.filter(str.strip)), min_size=1, max_size=4), st.data())
def test_many_items_have_the_tokens_and_weights_of_the_plain_definition(
    tokenizer: Any, texts: list[tuple[str, str]], data: st.DataObject
) -> None:
    items = tuple(Item(f"i{n}", question, "3") for n, (question, _) in enumerate(texts))
    shots = (Item("s1", "Zoë sells 12 crêpes.\nHow many?", "60", rationale="12 * 5\n= 60"),)
    benchmark = BenchmarkItems("any", items, shots)
    probabilities = st.sampled_from([None, 0.0, 0.1, 0.123, 0.7, 0.9, 1.0])
    traces = {}
    for item, (_, text) in zip(items, texts, strict=True):
        values = data.draw(st.lists(probabilities, min_size=len(text), max_size=len(text)))
        traces[item.id] = Trace(item.id, text, tuple((1, value) for value in values))
    prepared = prepare(benchmark, TraceSet(HEADER, traces), tokenizer, 10_000, "none")
    kept = {each.item_id: each for each in prepared.items}
    for item in items:
        text = traces[item.id].text
        bare = text.strip()
        start = text.index(bare)
        letters = [np.nan, *traces[item.id].letter_probs[start : start + len(bare)]]
        spoken = f" {bare}"
        context = benchmark.context(item)
        ids = tokenizer(context + spoken)["input_ids"]
        sizes = [len(tokenizer.convert_ids_to_tokens(token)) for token in ids]
        ends = np.cumsum(sizes) - len(context.encode())
        first = int(np.argmax(ends > 0))
        assert ends[first] == sizes[first], "no token lies over the join"
        of_byte = [n for n, letter in enumerate(spoken) for _ in letter.encode()]
        weights = []
        for size, end in zip(sizes[first:], ends[first:], strict=True):
            held = [letters[n] for n in sorted(set(of_byte[end - size : end]))]
            known = [p for p in held if not np.isnan(p)]
            weights.append(np.mean(known) if known else np.nan)
        if np.isnan(weights).all():
            assert item.id not in kept
            continue
        got = kept[item.id]
        assert [*got.context_ids, *got.trace_ids] == ids
        assert list(got.trace_ids) == ids[first:]
        assert np.array_equal(got.token_weights, weights, equal_nan=True)
