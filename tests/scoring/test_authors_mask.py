"""The authors' mask rule against a slow reading of it, on rows made up for each of its traps."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.marks import parse_marks
from dataselect.scoring.authors_mask import authors_marks, authors_text
from dataselect.scoring.masks import prepare_masks, score_masks
from dataselect.scoring.pooled import pooled
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

QUESTION = "Ann has 3 red apples and buys 14 more. How many apples does she have?"
ROWS = {
    "a mark": "She starts with 3. Then <span>3 + 14 = 17</span> apples.",
    "several marks": "<span>Ann</span> has <span>17</span><span> apples</span> now.",
    "a mark that cuts tokens": "She buys four<span>te</span>en ap<span>pl</span>es.",
    "a backslash closes": r"So <span>3 + 14<\span> apples </span> are <span>17</span>.",
    "a mark over two lines": "So <span>3\n+ 14</span> is <span>17</span>.",
    "only a mark over two lines": "So <span>3\n+ 14</span> is 17.",
    "an opening tag inside a mark": "So <span>3 + <span>14</span> is 17</span>.",
    "a mark that never ends": "So <span>3 + 14 is 17.",
    "no mark": "So 3 + 14 is 17.",
    "an empty mark": "So <span></span> 3 + 14 is 17.",
    "words without a space": "<span>three plus</span> is <span>fourteen apples</span>.",
    "characters of several bytes": "日本<span>語のcrêpes</span> — <span>€5</span>.",
    "a special token in the text": "So <|endoftext|> <span>3 <|endoftext|> 14</span> it is.",
    "other line ends": "So <span>3 \r\u2028 14</span> is 17.",
}


def slow_marks(reasoning: str) -> tuple[str, set[int] | None]:
    """The authors' tags found letter by letter: clean text, and marked letters (None: no tag)."""
    clean, marked, found, at = "", set(), False, 0
    while at < len(reasoning):
        if reasoning.startswith("<span>", at):
            line_end = reasoning.find("\n", at)
            line = reasoning[at : line_end if line_end >= 0 else len(reasoning)]
            closings = [line.find(close, 6) for close in ("</span>", r"<\span>")]
            close = min((place for place in closings if place >= 0), default=None)
            if close is not None:
                found = True
                for letter in line[6:close]:
                    marked.add(len(clean))
                    clean += letter
                at += close + 7
                continue
        clean += reasoning[at]
        at += 1
    return clean, marked if found else None


def slow_sum(model: Any, tokenizer: Any, question: str, reasoning: str) -> tuple[float, int, int]:
    """Nats, bytes and words of one row, a token at a time."""
    clean, marked = slow_marks(reasoning)
    text = question + clean
    ids = tokenizer(text, split_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    losses = [0.0] + [-float(log_probs[i - 1, ids[i]]) for i in range(1, len(ids))]
    plain = tokenizer(
        text, add_special_tokens=False, split_special_tokens=False, return_offsets_mapping=True
    )
    nats = 0.0
    for i, (start, end) in enumerate(plain["offset_mapping"]):
        if i == 0 or i >= len(ids):
            continue
        if marked is None:
            counts = start >= len(question)
        else:
            counts = any(letter - len(question) in marked for letter in range(start, end))
        nats += losses[i] if counts else 0.0
    scored = clean
    if marked is not None:
        scored = "".join(letter for place, letter in enumerate(clean) if place in marked)
    return nats, len(scored.encode("utf-8")), len(scored.split())


def with_bos(tokenizer: Any) -> Any:
    """A copy that sets <|endoftext|> before a text."""
    import copy

    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    special = [("<|endoftext|>", 0)]
    backend.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=special
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def trimming(tokenizer: Any) -> Any:
    """A copy whose offsets leave out the spaces before a word."""
    import copy

    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


@pytest.mark.parametrize("kind", [lambda t: t, with_bos, trimming], ids=["plain", "bos", "trim"])
@pytest.mark.parametrize("name", ROWS)
def test_each_trap_gives_what_a_slow_reading_of_the_rule_gives(
    name: str, kind: Callable[[Any], Any], tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model, used = make_model("llama"), kind(tokenizer)
    nats, data, words = slow_sum(model, used, QUESTION, ROWS[name])
    row = scored({"one": ROWS[name]}, model, used).iloc[0]
    assert row["authors_mask_nats"] == pytest.approx(nats, abs=1e-3)
    assert (row["authors_mask_bytes"], row["authors_mask_words"]) == (data, words)


def test_a_bos_moves_every_mark_by_one_token(tokenizer: Any) -> None:
    plain = authors_text(QUESTION, ROWS["a mark"], tokenizer)
    shifted = authors_text(QUESTION, ROWS["a mark"], with_bos(tokenizer))
    assert shifted.ids == (0, *plain.ids)
    assert shifted.counted == plain.counted, "the same places, which now hold the token before"


def test_marks_and_text_are_those_of_the_slow_reading() -> None:
    for reasoning in ROWS.values():
        clean, marked = slow_marks(reasoning)
        text, spans = authors_marks(reasoning)
        assert text == clean
        assert (spans is None) == (marked is None)
        assert {i for a, b in spans or () for i in range(a, b)} == (marked or set())


def test_a_benchmark_s_figures_divide_sums_and_average_nothing(
    tokenizer: Any, make_model: Callable[..., Any]
) -> None:
    model = make_model("llama")
    sums = [slow_sum(model, tokenizer, QUESTION, reasoning) for reasoning in ROWS.values()]
    nats, data, words = (sum(column) for column in zip(*sums, strict=True))
    table = scored(ROWS, model, tokenizer)
    expected = {
        "authors_mask_bpb": nats / (data * math.log(2)),
        "authors_mask_byte_perplexity": math.exp(nats / data),
        "authors_mask_word_perplexity": math.exp(nats / words),
    }
    for metric, value in expected.items():
        found = pooled(table, metric)
        assert found is not None
        assert found[0] == pytest.approx(value, rel=1e-4)
        assert found[2] == len(ROWS)


def test_a_text_that_is_too_long_has_no_value_and_is_noted(tokenizer: Any) -> None:
    items, traces = made({"short": ROWS["a mark"]})
    text = authors_text(QUESTION, ROWS["a mark"], tokenizer)
    prepared = prepare_masks(items, traces, tokenizer, len(text.ids) + 20)
    assert prepared.items[0].authors is not None
    prepared = prepare_masks(items, traces, tokenizer, len(text.ids) - 1)
    assert [item.authors for item in prepared.items] in ([], [None])
    assert prepared.notes == (
        "by the authors' rule 1 traces are longer than the model takes, and have no value",
    )


def made(rows: dict[str, str]) -> tuple[BenchmarkItems, TraceSet]:
    items = tuple(Item(name, QUESTION, "17") for name in rows)
    traces = {}
    for name, reasoning in rows.items():
        text = parse_marks(reasoning).text
        traces[name] = Trace(name, text, ((len(text), None),), None, reasoning)
    header = TraceHeader("stories", "frontier", "prompt", "test")
    return BenchmarkItems("stories", items), TraceSet(header, traces)


def scored(rows: dict[str, str], model: Any, tokenizer: Any) -> Any:
    items, traces = made(rows)
    prepared = prepare_masks(items, traces, tokenizer, 512)
    assert not prepared.exclusions
    return score_masks(model, prepared.items).table
