"""Every likelihood metric and TED, computed again in the plainest way.

Nothing of `dataselect.scoring` is used on the one side: prompts are written out by hand, every
text goes through the model alone, with its whole logits, and letters are found by counting bytes.
At the end `dataselect score` itself is held against it, from files to files.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.cli import app
from dataselect.scoring.baselines import score_baselines
from dataselect.scoring.generation import generate_answers
from dataselect.scoring.likelihood.scorer import score
from dataselect.scoring.prepare import prepare
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, read_traces, write_traces

KINDS = ["llama", "gpt2"]
SHOTS = [0, 1, 3]
NATS = 1e-4

NUMBERS = (
    Item("n1", "Ann has 3 red apples. How many?", "3", rationale="She starts with 3 apples"),
    Item("n2", "Zoë sells 12 crêpes — for €5?", "60", rationale="12 * 5 = 60 日本語 €."),
)
NUMBER_SHOTS = (
    Item("s1", "How much is 1 + 1?", "2", rationale="1 + 1 = 2"),
    Item("s2", "Café Zoë buys 14 naïve apples.", "14", rationale="She buys 14."),
    Item("s3", "How many 한?", "7"),
)
NUMBER_PROMPTS = [
    "Question: How much is 1 + 1?\nAnswer: 1 + 1 = 2. The answer is 2.\n\n",
    "Question: Café Zoë buys 14 naïve apples.\nAnswer: She buys 14. The answer is 14.\n\n",
    "Question: How many 한?\nAnswer: 7\n\n",
]

CHOICES = (
    Item("c1", "Which is red?", "B", ("naïve crêpes", "apples", "日本語"), 1),
    Item("c2", "What does Zoë sell?", "A", ("crêpes", "the café — all of it"), 0),
    Item("c3", "Which costs €5?", "D", ("She", "an apple", "한", "each crêpe", "12"), 3),
)
CHOICE_SHOTS = (
    Item("s1", "What has Ann?", "A", ("apples", "€60"), 0, "Ann has apples."),
    Item("s2", "What is 3 + 14?", "C", ("3", "14", "17"), 2, "3 + 14 = 17"),
    Item("s3", "Who sells?", "B", ("Ann", "Zoë"), 1),
)
CHOICE_PROMPTS = [
    "Q: What has Ann?\nA. apples\nB. €60\nA: Ann has apples. The answer is A.\n\n",
    "Q: What is 3 + 14?\nA. 3\nB. 14\nC. 17\nA: 3 + 14 = 17. The answer is C.\n\n",
    "Q: Who sells?\nA. Ann\nB. Zoë\nA: B\n\n",
]
CLOZE_PROMPTS = [
    "Q: What has Ann?\nA: apples\n\n",
    "Q: What is 3 + 14?\nA: 17\n\n",
    "Q: Who sells?\nA: Zoë\n\n",
]

P = [0.91, 0.13, None, 0.55, 0.78, 0.999, 0.31, 0.02]
TRACES = {
    "n1": ("She starts with 3 apples. So 3.", "3"),
    "n2": ("First 12 crêpes, then 12 × 5 = 60 €\n\n한국 日本語 — so 60", "60 €"),
    "c1": ("Crêpes are not red. Apples are.", "B"),
    "c2": ("The café sells naïve crêpes…", None),
    "c3": ("Each crêpe costs €5. The answer is 한?", "D"),
}


def letters_of(text: str) -> list[float | None]:
    """A probability, or none, for each letter; changes every two letters."""
    return [P[(i // 2) % len(P)] for i in range(len(text))]


def traces() -> TraceSet:
    return TraceSet(
        TraceHeader("both", "frontier", "prompt", "test"),
        {
            name: Trace(name, text, tuple((1, p) for p in letters_of(text)), answer)
            for name, (text, answer) in TRACES.items()
        },
    )


def log_probs(
    model: Any, tokenizer: Any, context: str, text: str
) -> tuple[list[float], list[tuple[int, int]]]:
    """ln p of each token of the text after the context, and its first and last byte in it."""
    ids = tokenizer(context + text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        table = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    found, places, at = [], [], -len(context.encode())
    for n, token in enumerate(ids):
        # A byte-level vocabulary writes every byte of a token as one letter.
        size = len(tokenizer.convert_ids_to_tokens(token))
        assert at >= 0 or at + size <= 0, "a token lies over the join"
        if at >= 0:
            found.append(table[n - 1, token].item())
            places.append((at, at + size - 1))
        at += size
    assert at == len(text.encode())
    return found, places


def weighted_nll(
    values: list[float], places: list[tuple[int, int]], text: str
) -> tuple[float, float]:
    """rBridge and the plain mean of " " + text."""
    of_byte: list[int] = []
    for i, letter in enumerate(" " + text):
        of_byte += [i] * len(letter.encode())
    p = [None, *letters_of(text)]
    tokens: list[tuple[float, float]] = []
    for value, (first, last) in zip(values, places, strict=True):
        letters = sorted(set(of_byte[first : last + 1]))
        known = [p[i] for i in letters if p[i] is not None]
        if known:
            tokens.append((-value, math.fsum(known) / len(known)))  # type: ignore[arg-type]
    low, high = min(w for _, w in tokens), max(w for _, w in tokens)
    weighted = [nll * (w - low) / (high - low) for nll, w in tokens]
    return sum(weighted) / len(weighted), sum(nll for nll, _ in tokens) / len(tokens)


def prompts(item: Item, shots: int) -> tuple[str, str, str]:
    """The prompt, the right label and the right answer, each as it is seen."""
    if item.choices is None:
        question = f"Question: {item.question}\nAnswer:"
        pause = "" if item.rationale and item.rationale.endswith(".") else "."
        label = f" {item.rationale}{pause} The answer is {item.answer}."
        return "".join(NUMBER_PROMPTS[:shots]) + question, label, f" {item.answer}"
    shown = "".join(f"\n{'ABCDE'[i]}. {choice}" for i, choice in enumerate(item.choices))
    question = f"Q: {item.question}{shown}\nA:"
    return "".join(CHOICE_PROMPTS[:shots]) + question, f" {item.answer}", f" {item.answer}"


def benchmarks(shots: int) -> list[BenchmarkItems]:
    return [
        BenchmarkItems("numbers", NUMBERS, NUMBER_SHOTS, shot_count=shots),
        BenchmarkItems(
            "choices",
            CHOICES,
            CHOICE_SHOTS,
            "Q: {question}\nA:",
            label="answer",
            shot_count=shots,
        ),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", SHOTS)
def test_rbridge_trace_and_label(
    make_model: Callable[..., Any], tokenizer: Any, kind: str, shots: int
) -> None:
    model = make_model(kind, positions=1024)
    for benchmark in benchmarks(shots):
        prepared = prepare(benchmark, traces(), tokenizer, 1024)
        table = score(model, prepared.items, tokens_per_batch=1000).table.set_index("item")
        assert len(table) == len(benchmark.items)
        for item in benchmark.items:
            context, label, _ = prompts(item, shots)
            text, _ = TRACES[item.id]
            rbridge, plain = weighted_nll(*log_probs(model, tokenizer, context, f" {text}"), text)
            values, _ = log_probs(model, tokenizer, context, label)
            assert table["rbridge"][item.id] == pytest.approx(rbridge, abs=NATS)
            assert table["trace_nll"][item.id] == pytest.approx(plain, abs=NATS)
            assert table["label_nll"][item.id] == pytest.approx(
                -sum(values) / len(values), abs=NATS
            )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", SHOTS)
def test_mpca_and_scalingbench(
    make_model: Callable[..., Any], tokenizer: Any, kind: str, shots: int
) -> None:
    model = make_model(kind, positions=1024)
    for benchmark in benchmarks(shots):
        table = score_baselines(model, tokenizer, benchmark, [traces()], 1024).table.set_index(
            "item"
        )
        for item in benchmark.items:
            context, _, answer = prompts(item, shots)
            values, _ = log_probs(model, tokenizer, context, answer)
            assert math.log(table["mpca"][item.id]) == pytest.approx(sum(values), abs=NATS)
            assert table["answer_nll"][item.id] == pytest.approx(
                -sum(values) / len(values), abs=NATS
            )
            text, final = TRACES[item.id]
            if final is None:
                assert math.isnan(table["scb_nll"][item.id])
                continue
            whole = f" {text}\nFinal Answer: The final answer is ${final}$. I hope it is correct."
            values, _ = log_probs(model, tokenizer, context, whole)
            assert table["scb_nll"][item.id] == pytest.approx(-sum(values) / len(values), abs=NATS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", SHOTS)
def test_choices_in_cloze_form(
    make_model: Callable[..., Any], tokenizer: Any, kind: str, shots: int
) -> None:
    model = make_model(kind, positions=1024)
    benchmark = benchmarks(shots)[1]
    table = score_baselines(model, tokenizer, benchmark, (), 1024).table.set_index("item")
    for item in benchmark.items:
        check_choices(model, tokenizer, item, shots, table.loc[item.id])


def check_choices(model: Any, tokenizer: Any, item: Item, shots: int, row: Any) -> None:
    """Every metric of an item's choices against those computed here."""
    assert item.choices is not None
    assert item.answer_index is not None
    context = "".join(CLOZE_PROMPTS[:shots]) + f"Q: {item.question}\nA:"
    raw, per_token, per_char, uncond, alone = [], [], [], [], []
    for choice in item.choices:
        values, _ = log_probs(model, tokenizer, context, f" {choice}")
        bare, _ = log_probs(model, tokenizer, "A:", f" {choice}")
        raw.append(sum(values))
        per_token.append(sum(values) / len(values))
        per_char.append(sum(values) / (1 + len(choice)))
        uncond.append(sum(values) - sum(bare))
        alone.append(sum(bare))
    gold = item.answer_index
    for name, ls in (
        ("", raw),
        ("_per_token", per_token),
        ("_per_char", per_char),
        ("_uncond", uncond),
    ):
        chances = [math.exp(each) for each in ls]
        right, wrong = chances[gold], max(chances[:gold] + chances[gold + 1 :])
        close: dict[str, Any] = {"rel": NATS * len(ls), "abs": 1e-300}
        assert math.log(row[f"correct_prob{name}"]) == pytest.approx(ls[gold], abs=NATS)
        assert row[f"total_prob{name}"] == pytest.approx(sum(chances), **close)
        assert row[f"norm_correct_prob{name}"] == pytest.approx(right / sum(chances), **close)
        assert row[f"margin{name}"] == pytest.approx(right - wrong, abs=NATS * max(right, wrong))
        assert row[f"acc{name or '_raw'}"] == float(right > wrong)
    assert math.log(row["uncond_correct_prob"]) == pytest.approx(alone[gold], abs=NATS)
    assert math.log(row["uncond_total_prob"]) == pytest.approx(
        math.log(sum(map(math.exp, alone))), abs=NATS
    )


def greedy_ids(model: Any, tokenizer: Any, context: str, length: int) -> list[int]:
    """The most probable tokens after the context, each from the whole text so far."""
    ids = tokenizer(context)["input_ids"]
    written: list[int] = []
    with torch.no_grad():
        while len(written) < length:
            token = model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()
            if token == tokenizer.eos_token_id:
                break
            written.append(int(token))
    return written


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", [0, 3])
def test_token_edit_distance(
    make_model: Callable[..., Any], tokenizer: Any, kind: str, shots: int
) -> None:
    model = make_model(kind, positions=1024)
    numbers, choices = benchmarks(shots)
    # A label that is near what the model writes, so that some of its tokens agree.
    text = tokenizer.decode(greedy_ids(model, tokenizer, prompts(NUMBERS[0], shots)[0], 24))
    near = Item("n1", NUMBERS[0].question, text.replace("\ufffd", "").strip())
    answers = replace(numbers, items=(near,), label="answer")
    for benchmark in (numbers, choices, answers):
        made = generate_answers(model, tokenizer, benchmark, accuracy=False).table.set_index("item")
        for item in benchmark.items:
            context, label, answer = prompts(item, shots)
            label = answer if benchmark is answers else label
            join = len(tokenizer(context)["input_ids"])
            gold = tokenizer(context + label)["input_ids"][join:]
            written = greedy_ids(model, tokenizer, context, len(gold))
            # Distances from the label's first n tokens to the output's first 0, 1, … tokens.
            row = list(range(len(written) + 1))
            for n, wanted in enumerate(gold, start=1):
                above, row = row, [n]
                for m, token in enumerate(written, start=1):
                    row.append(min(above[m] + 1, row[-1] + 1, above[m - 1] + (token != wanted)))
            assert made["ted"][item.id] == row[-1]
            assert made["ted_per_token"][item.id] == pytest.approx(row[-1] / len(gold))
    assert shots or made["ted_per_token"]["n1"] < 1


YAMLS = {
    "numbers": "items: numbers.jsonl\nshots: numbers.shots.jsonl\nnew_tokens: 8\n",
    "choices": (
        "items: choices.jsonl\nshots: choices.shots.jsonl\nnew_tokens: 8\n"
        'prompt: "Q: {question}\\nA:"\nlabel: answer\n'
    ),
}


def as_row(item: Item) -> str:
    row: dict[str, Any] = {"id": item.id, "question": item.question, "answer": item.answer}
    if item.choices is not None:
        row |= {"choices": list(item.choices), "answer_index": item.answer_index}
    if item.rationale is not None:
        row["rationale"] = item.rationale
    return json.dumps(row) + "\n"


def second(text: str) -> str:
    """Another frontier model's words for the same."""
    return f"Well. {text[::-1].strip()}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_the_command_writes(
    make_model: Callable[..., Any],
    tokenizer: Any,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shots, model = 3, make_model(kind, positions=1024)
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    options = []
    for made in benchmarks(shots):
        name = made.id
        Path(f"{name}.yaml").write_text(f"{YAMLS[name]}shot_count: {shots}\n")
        Path(f"{name}.jsonl").write_text("".join(map(as_row, made.items)))
        Path(f"{name}.shots.jsonl").write_text("".join(map(as_row, made.shots)))
        for frontier, words in (("first", str), ("second", second)):
            traces = []
            for item in made.items:
                text, answer = TRACES[item.id]
                text = words(text)
                runs = tuple((1, p) for p in letters_of(text))
                traces.append(Trace(item.id, text, runs, answer))
            path = tmp_path / f"{name}.{frontier}.jsonl.gz"
            write_traces(path, TraceHeader(name, frontier, "prompt", "test"), traces)
            options += ["--traces", str(path)]
    command = ["score", "model", "--benchmarks", "numbers.yaml,choices.yaml", "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    (table,) = Path("scores/model").glob("items_*.parquet")
    rows = pd.read_parquet(table).set_index("item")
    assert len(rows) == len(NUMBERS) + len(CHOICES)
    for made in benchmarks(shots):
        sets = [
            read_traces(tmp_path / f"{made.id}.{each}.jsonl.gz") for each in ("first", "second")
        ]
        for item in made.items:
            row: Any = rows.loc[item.id]
            context, label, answer = prompts(item, shots)
            rbridge, plain, scalingbench = [], [], []
            for trace in (each.traces[item.id] for each in sets):
                found = log_probs(model, tokenizer, context, f" {trace.text}")
                weighted, mean = weighted_nll(*found, trace.text)
                rbridge.append(weighted)
                plain.append(mean)
                whole = (
                    f" {trace.text}\nFinal Answer: The final answer is ${trace.answer}$."
                    " I hope it is correct."
                )
                values, _ = log_probs(model, tokenizer, context, whole)
                scalingbench.append(-sum(values) / len(values))
            # The frontier models' scores are averaged.
            assert row["rbridge"] == pytest.approx(sum(rbridge) / 2, abs=NATS)
            assert row["trace_nll"] == pytest.approx(sum(plain) / 2, abs=NATS)
            if trace.answer is None:
                assert math.isnan(row["scb_nll"])
            else:
                assert row["scb_nll"] == pytest.approx(sum(scalingbench) / 2, abs=NATS)
            values, _ = log_probs(model, tokenizer, context, label)
            assert row["label_nll"] == pytest.approx(-sum(values) / len(values), abs=NATS)
            values, _ = log_probs(model, tokenizer, context, answer)
            assert math.log(row["mpca"]) == pytest.approx(sum(values), abs=NATS)
            assert row["answer_nll"] == pytest.approx(-sum(values) / len(values), abs=NATS)
            if item.choices is not None:
                check_choices(model, tokenizer, item, shots, row)
