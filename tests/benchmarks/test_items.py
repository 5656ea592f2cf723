import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item, load_items
from dataselect.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def record(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "question": "1 + 1?", "answer": "2", "extra": 0} | changes


def choice(name: str, **changes: Any) -> dict[str, Any]:
    return (
        record(name, choices=["x", "y", "z"], labels=["1", "2", "3"], answer="2", answer_index=1)
        | changes
    )


def test_items_are_read_in_order_up_to_the_limit(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b.jsonl", [record("a"), record("b", rationale="1 + 1 = 2"), record("c")]
    )
    items, exclusions = load_items(path, limit=2)
    assert items == [Item("a", "1 + 1?", "2"), Item("b", "1 + 1?", "2", rationale="1 + 1 = 2")]
    assert exclusions == []


def test_numbered_choices_are_answered_by_letter(tmp_path: Path) -> None:
    items, _ = load_items(write(tmp_path / "b.jsonl", [choice("a")]))
    assert items == [Item("a", "1 + 1?", "B", ("x", "y", "z"), 1)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record("bad", question=" "), "question"),
        (record("bad", answer=None), "answer"),
        (record("bad", answer=["2"]), "answer"),
        (record("bad", rationale=7), "rationale"),
        (record("bad", rationale="x" * (1 << 21)), "2,097,159 letters, which is more than"),
        (choice("bad", choices=["x", "y" * (1 << 21), "z"]), "2,097,161 letters"),
        (choice("bad", choices="xyz"), "choices are not a list"),
        (choice("bad", choices=["x"]), "choices are not a list"),
        (choice("bad", choices=["x", "y", ""]), "empty or not text"),
        (choice("bad", choices=["x", "y", 3]), "empty or not text"),
        (choice("bad", answer_index=3), "answer_index is 3"),
        (choice("bad", answer_index=None), "which of its 3 choices its answer"),
    ],
)
def test_a_malformed_item_is_left_out_with_its_reason(
    tmp_path: Path, bad: dict[str, Any], reason: str
) -> None:
    items, exclusions = load_items(write(tmp_path / "b.jsonl", [record("a"), bad, record("b")]))
    assert [item.id for item in items] == ["a", "b"]
    assert [exclusion.item for exclusion in exclusions] == ["bad"]
    assert reason in exclusions[0].reason


def test_an_item_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    nameless = {"question": "1 + 1?", "answer": "2"}
    _, exclusions = load_items(write(tmp_path / "b.jsonl", [record("a"), nameless]))
    assert exclusions[0].item == "line 2"


def test_a_malformed_item_does_not_use_up_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", [record("bad", answer=None), record("a"), record("b")])
    assert [item.id for item in load_items(path, limit=2)[0]] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"id": "a", "question": "q", "answer": "1"}\n{"id": "b", "que',
            ":2: the line is not JSON",
        ),
        (
            b'{"id": "a", "question": "q", "answer": "1"}\n\n[1]\n',
            ":3: the line is not a JSON object",
        ),
        (b'{"id": "a", "question": "\xff", "answer": "1"}\n', ":1: the line is not UTF-8"),
        (b"", "no usable item"),
        (b'{"id": "a"}\n', "no usable item (a: its question is missing"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "b.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_items(path)
    assert message in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_items(tmp_path / "none.jsonl")


def test_an_id_that_comes_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", [record("a"), record("b"), record("a")])
    with pytest.raises(InputError, match=r":3: item id 'a' is already used on line 1"):
        load_items(path)


def benchmark() -> BenchmarkItems:
    items = (
        Item("i", "Which?", "B", ("red", "blue"), 1),
        Item("j", "{x} + 1?", "3", rationale="2 + 1 = 3."),
    )
    shots = (Item("s", "1 + 1?", "2", rationale="1 + 1 = 2"), Item("t", "0?", "0"))
    return BenchmarkItems("b", items, shots, "Question: {question}\nAnswer: ")


def test_the_context_is_worked_examples_then_the_question_without_a_trailing_space() -> None:
    assert benchmark().context(benchmark().items[0]) == (
        "Question: 1 + 1?\nAnswer: 1 + 1 = 2. The answer is 2.\n\n"
        "Question: 0?\nAnswer: 0\n\n"
        "Question: Which?\nA. red\nB. blue\nAnswer:"
    )


def test_fewer_examples_are_taken_from_the_front() -> None:
    item = benchmark().items[1]
    assert benchmark().context(item, 0) == "Question: {x} + 1?\nAnswer:"
    assert benchmark().context(item, 1).startswith("Question: 1 + 1?")
    assert "0?" not in benchmark().context(item, 1)


def test_an_item_never_is_its_own_example() -> None:
    own = replace(benchmark(), shots=benchmark().items)
    assert own.context(own.items[1]).count("{x} + 1?") == 1


def test_the_solution_is_the_benchmarks_own_label() -> None:
    worked, answer = benchmark(), replace(benchmark(), label="answer")
    assert worked.label_text(worked.items[1]) == " 2 + 1 = 3. The answer is 3."
    assert worked.label_text(worked.items[0]) == " B"
    assert answer.label_text(answer.items[1]) == " 3"


def test_a_rationale_that_names_its_answer_is_left_alone() -> None:
    item = Item("k", "?", "A", rationale="It is so. The answer is (A).")
    assert benchmark().label_text(item) == " It is so. The answer is (A)."


def test_the_hash_follows_what_the_model_sees() -> None:
    same = replace(benchmark(), id="other", task="maths")
    assert same.content_hash == benchmark().content_hash
    for changed in (
        replace(benchmark(), items=benchmark().items[:1]),
        replace(benchmark(), shots=()),
        replace(benchmark(), prompt="{question}"),
        replace(benchmark(), label="answer"),
    ):
        assert changed.content_hash != benchmark().content_hash


def test_a_prompt_without_a_place_for_the_question_is_refused() -> None:
    with pytest.raises(InputError, match="does not contain"):
        BenchmarkItems("b", benchmark().items, prompt="Question:")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared benchmark files")
def test_the_shared_benchmarks_are_read() -> None:
    counts = {path.name: len(load_items(path)[0]) for path in SHARED.glob("*.test.jsonl")}
    assert counts["gsm8k.test.jsonl"] == 1319
    assert counts["arc_challenge.test.jsonl"] == 1172
    assert counts["humaneval.test.jsonl"] == 164
