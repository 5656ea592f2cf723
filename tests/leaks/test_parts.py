"""What of a benchmark is looked for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import training_items
from dataselect.leaks.parts import Part, parts_hash, parts_of
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

CHOICE = Item("c1", "Which animal lays eggs?", "B", ("a dog", "a duck"), 1)
SUM = Item("s1", "1 + 1?", "2", rationale="One and one are two.")


def traces(text: str, item: str = "s1") -> TraceSet:
    header = TraceHeader("x", "frontier", "{question}", "test")
    return TraceSet(header, {item: Trace(item, text, ((len(text), 0.5),))}, ())


def test_each_part_of_an_item_is_looked_for_by_itself() -> None:
    parts = parts_of(BenchmarkItems("x", (CHOICE, SUM)), [traces("First, one.")], [CHOICE])
    assert [(part.split, part.item, part.kind, part.text) for part in parts] == [
        ("items", "c1", "question", "Which animal lays eggs?"),
        ("items", "c1", "choices", "Which animal lays eggs?\nA. a dog\nB. a duck"),
        ("items", "s1", "question", "1 + 1?"),
        ("items", "s1", "solution", "One and one are two."),
        ("items", "s1", "trace", "First, one."),
        ("training", "c1", "question", "Which animal lays eggs?"),
        ("training", "c1", "choices", "Which animal lays eggs?\nA. a dog\nB. a duck"),
    ]


def test_traces_of_several_frontier_models_are_all_looked_for() -> None:
    several = [traces("First, one."), traces("Well, two."), traces("One and one are two. ")]
    found = parts_of(BenchmarkItems("x", (SUM,)), several, [])
    assert [part.text for part in found if part.kind == "trace"] == ["First, one.", "Well, two."]


def test_the_hash_is_that_of_all_parts() -> None:
    part = Part("x", "items", "s1", "question", "1 + 1?")
    others = [replace(part, text="1 + 2?"), replace(part, split="training")]
    assert len({parts_hash(each) for each in ([part], [part, part], *([o] for o in others))}) == 4


@pytest.mark.parametrize("folder_has_it", [True, False])
def test_the_training_split_is_read_where_it_is_at_hand(
    tmp_path: Path, folder_has_it: bool
) -> None:
    def write(name: str, rows: dict[str, str]) -> None:
        lines = [json.dumps({"id": i, "question": q, "answer": "2"}) for i, q in rows.items()]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")

    write("gsm8k.test.jsonl", {"t0": "1 + 1?"})
    if folder_has_it:
        write("gsm8k.train.jsonl", {"r0": "1 + 3?", "r1": "1 + 1?", "r2": "2 + 3?"})
    found = [item.id for item in training_items(KNOWN["gsm8k"], tmp_path)]
    # What is an item of the benchmark too is no training item.
    assert found == (["r0", "r2"] if folder_has_it else [])
    assert training_items(KNOWN["humaneval"], tmp_path) == ()
