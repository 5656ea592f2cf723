import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import InputError, PassingError
from dataselect.scoring.likelihood import broken, head, sharing
from dataselect.scoring.likelihood.packing import pack
from dataselect.scoring.likelihood.scorer import score, token_nll
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import PreparedItem, prepare
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, runs_of

KINDS = ["olmo2", "llama", "gpt2"]


@pytest.fixture
def prepared(benchmark_items: BenchmarkItems, tokenizer: Any) -> tuple[PreparedItem, ...]:
    rng = np.random.default_rng(3)
    texts = {item.id: f"한 {item.rationale}" for item in benchmark_items.items}
    traces = {i: Trace(i, t, runs_of(rng.uniform(0, 1, len(t)))) for i, t in texts.items()}
    header = TraceHeader("stories", "frontier", "prompt", "test")
    return prepare(benchmark_items, TraceSet(header, traces), tokenizer, 512).items


def reference_nll(model: Any, context: tuple[int, ...], ids: tuple[int, ...]) -> np.ndarray:
    """One sequence at a time, from the model's whole logits."""
    sequence = torch.tensor([[*context, *ids]])
    with torch.no_grad():
        logits = model(input_ids=sequence).logits[0].double()
    log_probs = logits.log_softmax(-1)
    places = range(len(context) - 1, sequence.shape[1] - 1)
    return np.array([-log_probs[p, sequence[0, p + 1]].item() for p in places])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens_per_batch", [1, 300, 100_000])
def test_equals_one_item_at_a_time(
    make_model: Callable[..., Any],
    prepared: tuple[PreparedItem, ...],
    kind: str,
    tokens_per_batch: int,
) -> None:
    model = make_model(kind)
    table = score(model, prepared, tokens_per_batch=tokens_per_batch).table
    assert list(table["item"]) == [item.item_id for item in prepared]
    for item, row in zip(prepared, table.to_dict("records"), strict=True):
        trace = reference_nll(model, item.context_ids, item.trace_ids)
        kept = ~np.isnan(item.token_weights)
        assert row["rbridge"] == pytest.approx((trace * item.token_weights)[kept].mean(), abs=1e-5)
        assert row["trace_nll"] == pytest.approx(trace[kept].mean(), abs=1e-5)
        label = reference_nll(model, item.label_context_ids, item.label_ids).mean()
        assert row["label_nll"] == pytest.approx(label, abs=1e-5)
        assert row["trace_tokens"] == len(item.trace_ids)
        assert row["left_out_tokens"] == (~kept).sum() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_tile_of_logits_is_larger_than_allowed(
    make_model: Callable[..., Any],
    prepared: tuple[PreparedItem, ...],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    model = make_model(kind)
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    whole = token_nll(model, pairs)
    monkeypatch.setattr(head, "_ROW_TILE", 7)
    monkeypatch.setattr(head, "_VOCABULARY_TILE", 33)
    sizes: list[tuple[int, int]] = []
    rows_through_head: list[int] = []
    product = torch.mm

    def watched(states: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(out.shape))  # type: ignore[arg-type]
        return product(states, weight, out=out)

    model.get_output_embeddings().register_forward_hook(
        lambda _module, _inputs, output: rows_through_head.append(output[..., 0].numel())
    )
    monkeypatch.setattr(torch, "mm", watched)
    tiled = token_nll(model, pairs)
    assert max(rows for rows, _ in sizes) <= 7
    assert {columns for _, columns in sizes} == {33, 400 % 33}
    assert max(rows_through_head) <= 8
    for one, other in zip(whole.nll, tiled.nll, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_model_that_caps_its_logits_is_scored_through_its_own_head(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...]
) -> None:
    model = make_model("olmo2")
    plain = model.forward

    def capped(*args: Any, logits_to_keep: Any = 0, **kwargs: Any) -> Any:
        out = plain(*args, logits_to_keep=logits_to_keep, **kwargs)
        out.logits = 2 * torch.tanh(out.logits / 2)
        return out

    model.forward = capped
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    for pair, nll in zip(pairs, token_nll(model, pairs).nll, strict=True):
        assert nll == pytest.approx(reference_nll(model, *pair), abs=1e-5)


def test_flops_are_twice_parameters_times_tokens(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...]
) -> None:
    model = make_model("gpt2")
    scores = score(model, prepared)
    texts = [(item.context_ids, item.trace_ids) for item in prepared]
    texts += [(item.label_context_ids, item.label_ids) for item in prepared]
    groups = pack(texts)
    # What is shared is computed once, and the last token of a text not at all.
    expected = sum(len(g.prefix) + sum(row.width for row in g.rows) for g in groups)
    assert scores.tokens == expected
    assert expected < sum(len(context) + len(ids) - 1 for context, ids in texts) / 2
    assert scores.flops == 2 * model.num_parameters() * expected


def test_the_training_mode_is_given_back(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...]
) -> None:
    model = make_model("gpt2").train()
    first = score(model, prepared).table
    assert model.training
    assert first.equals(score(model, prepared).table)


def test_nothing_to_score_gives_an_empty_table(make_model: Callable[..., Any]) -> None:
    scores = score(make_model("olmo2"), [])
    assert scores.table.empty
    assert "rbridge" in scores.table.columns
    assert scores.tokens == 0


def test_a_tokenizer_larger_than_the_model_is_refused(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...]
) -> None:
    with pytest.raises(InputError, match="the model has 100"):
        score(make_model("olmo2", vocabulary=100), prepared)


def test_an_empty_context_is_refused(make_model: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="empty"):
        token_nll(make_model("olmo2"), [((), (1, 2))])


def has(item: PreparedItem, token: int) -> bool:
    """Whether the model reads the token for this item."""
    texts = (item.context_ids, item.trace_ids[:-1], item.label_context_ids, item.label_ids[:-1])
    return any(token in ids for ids in texts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("broken", "tokens_per_batch"),
    [(math.nan, 1), (math.nan, 100_000), (math.inf, 100_000), (-math.inf, 1)],
)
def test_items_with_a_broken_token_are_left_out_whole_and_the_others_score_as_before(
    make_model: Callable[..., Any],
    prepared: tuple[PreparedItem, ...],
    kind: str,
    broken: float,
    tokens_per_batch: int,
) -> None:
    model = make_model(kind)
    intact = score(model, prepared, tokens_per_batch=tokens_per_batch).table.set_index("item")
    # Texts are computed together and padded; a NaN in one must not reach the others.
    tokens = {t for item in prepared for t in (*item.trace_ids, *item.label_ids)}
    some = sorted(t for t in tokens if 0 < sum(has(item, t) for item in prepared) < len(prepared))
    token = next(iter(some))
    # An output layer of its own, so that the token is broken where it is read and nowhere else.
    model.get_output_embeddings().weight = torch.nn.Parameter(
        model.get_output_embeddings().weight.detach().clone()
    )
    model.get_input_embeddings().weight.data[token] = broken
    found = score(model, prepared, tokens_per_batch=tokens_per_batch)
    bad = [item.item_id for item in prepared if has(item, token)]
    assert [(e.item, e.reason) for e in found.exclusions] == [(name, NOT_FINITE) for name in bad]
    table = found.table.set_index("item")
    assert list(table.index) == [name for name in intact.index if name not in bad]
    pd.testing.assert_frame_equal(table, intact.loc[table.index], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_padding_token_costs_no_item(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...], kind: str
) -> None:
    model = make_model(kind)
    intact = score(model, prepared).table
    assert not any(has(item, 0) for item in prepared)
    model.get_output_embeddings().weight = torch.nn.Parameter(
        model.get_output_embeddings().weight.detach().clone()
    )
    model.get_input_embeddings().weight.data[0] = float("nan")
    found = score(model, prepared)
    assert found.exclusions == ()
    pd.testing.assert_frame_equal(found.table, intact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_gives_nothing_finite_has_no_row(
    make_model: Callable[..., Any],
    prepared: tuple[PreparedItem, ...],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broken, "_PROBES", 4)
    model = make_model(kind)
    model.get_output_embeddings().weight.data[:] = float("nan")
    found = score(model, prepared)
    assert found.table.empty
    assert list(found.table.columns) == list(score(make_model(kind), []).table.columns)
    assert [each.item for each in found.exclusions] == [item.item_id for item in prepared]


def test_half_precision_that_overflows_is_not_finite(
    make_model: Callable[..., Any], prepared: tuple[PreparedItem, ...]
) -> None:
    model = make_model("gpt2")
    model.get_output_embeddings().weight.data *= 1e7
    assert score(model, prepared).exclusions == ()
    assert len(score(model.half(), prepared).exclusions) == len(prepared)


@pytest.mark.parametrize("fits", [1, 0])
def test_where_memory_is_short_texts_are_scored_in_smaller_batches(
    make_model: Callable[..., Any],
    prepared: tuple[PreparedItem, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fits: int,
) -> None:
    model = make_model("olmo2")
    expected = score(model, prepared).table
    rows_nll = sharing._rows_nll
    tried: list[int] = []

    def limited(model: Any, rows: Any, *others: Any) -> Any:
        found = rows_nll(model, rows, *others)
        tried.append(len(rows))
        # The first one finds out whether texts can share contexts.
        if len(tried) > 1 and len(rows) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    monkeypatch.setattr(sharing, "_rows_nll", limited)
    if fits == 0:
        with pytest.raises(PassingError, match="cpu cannot hold the model with one text"):
            score(model, prepared, tokens_per_batch=64)
        return
    found = score(model, prepared, tokens_per_batch=4096).table
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)
    assert max(tried) > 1
    assert "cpu has too little memory for 4096 tokens at a time; now with 2048" in caplog.text
