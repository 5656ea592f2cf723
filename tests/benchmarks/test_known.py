"""The six benchmarks: known problems of Hub rows and of lines of the local files."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.benchmarks.definition import Definition, RowSource
from dataselect.benchmarks.items import Item, parse_items
from dataselect.benchmarks.known import KNOWN, STEM, last_boxed


def hub_item(definition: Definition, row: dict[str, Any], shots: bool = False) -> Item | str | None:
    """The item of one Hub row; the reason if malformed; None if outside the benchmark."""
    source = definition.shots if shots else definition.items
    assert isinstance(source, RowSource)
    assert source.hub is not None
    assert set(source.hub.columns) <= set(row)
    record = definition.tidy(source.hub.record(4, row))
    if record is None:
        return None
    items, exclusions = parse_items("test", "row", [(5, record)])
    return items[0] if items else exclusions[0].reason


def test_gsm8k_loses_its_calculator_marks_and_takes_the_answer_after_them() -> None:
    row = {"question": "How much?", "answer": "9 * 2 = $<<9*2=18>>18\nAll: <<1>>1.\n#### 1,218"}
    assert hub_item(KNOWN["gsm8k"], row) == Item(
        "gsm8k_test_4", "How much?", "1218", rationale="9 * 2 = $18\nAll: 1."
    )
    assert hub_item(KNOWN["gsm8k"], {"question": "?", "answer": "no mark"}) == (
        "its answer is missing or not text"
    )
    shot = hub_item(KNOWN["gsm8k"], row, shots=True)
    assert isinstance(shot, Item)
    assert shot.id == "gsm8k_train_4"


@pytest.mark.parametrize("name", ["arc_challenge", "commonsense_qa"])
@pytest.mark.parametrize(
    ("labels", "key", "index"),
    [
        (["A", "B", "C", "D"], "C", 2),
        (["1", "2", "3", "4"], "3", 2),
        (["A", "B", "C"], "C", 2),
        (["A", "B", "C", "D", "E"], "E", 4),
    ],
)
def test_labels_become_letters(name: str, labels: list[str], key: str, index: int) -> None:
    texts = [f"choice {label}" for label in labels]
    choices = {"text": texts, "label": labels}
    row = {"id": "an-id", "question": "Which?", "choices": choices, "answerKey": key}
    item = hub_item(KNOWN[name], row)
    assert item == Item("an-id", "Which?", "ABCDE"[index], tuple(texts), index)


def test_an_unreleased_answer_is_reported() -> None:
    choices = {"text": ["x", "y"], "label": ["A", "B"]}
    row = {"id": "a", "question": "?", "choices": choices, "answerKey": ""}
    reason = hub_item(KNOWN["commonsense_qa"], row)
    assert isinstance(reason, str)


def mmlu_pro(**changes: Any) -> dict[str, Any]:
    row = {
        "question_id": 70,
        "question": "Which?",
        "options": ["x", "N/A", "y", "N/A", "N/A"],
        "answer": "C",
        "answer_index": 2,
        "cot_content": "A: Let's think step by step. The answer is (C).",
        "category": "physics",
        "src": "test",
    }
    return row | changes


def test_mmlu_pro_loses_padding_at_the_end_and_the_mark_of_its_rationale() -> None:
    expected = Item(
        "mmlu_pro_val_70",
        "Which?",
        "C",
        ("x", "N/A", "y"),
        2,
        "Let's think step by step. The answer is (C).",
        "physics",
    )
    assert hub_item(KNOWN["mmlu_pro_stem"], mmlu_pro(), shots=True) == expected


def test_mmlu_pro_test_items_have_no_rationale() -> None:
    item = hub_item(KNOWN["mmlu_pro_stem"], mmlu_pro(cot_content=""))
    assert isinstance(item, Item)
    assert (item.id, item.rationale) == ("mmlu_pro_70", None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": ["x", "nan", "y"]}, "one of its choices is empty"),
        ({"options": ["x"], "answer_index": 0}, "its choices are not a list of 2"),
        ({"answer_index": 3}, "answer_index is 3, not one of its 3"),
    ],
)
def test_a_malformed_mmlu_pro_item_is_reported(changes: dict[str, Any], reason: str) -> None:
    found = hub_item(KNOWN["mmlu_pro_stem"], mmlu_pro(**changes))
    assert isinstance(found, str)
    assert reason in found


def test_mmlu_pro_is_cut_to_stem() -> None:
    definition = KNOWN["mmlu_pro_stem"]
    assert len(STEM) == 6
    assert all(isinstance(hub_item(definition, mmlu_pro(category=c)), Item) for c in STEM)
    assert hub_item(definition, mmlu_pro(category="law")) is None


def test_math500_keeps_its_own_id_and_math_train_its_position() -> None:
    row = {
        "unique_id": "test/precalculus/807.json",
        "problem": "What is $1 + 1$?",
        "solution": r"It is $\boxed{2}$.",
        "answer": "2",
        "subject": "Precalculus",
        "level": 2,
    }
    expected = Item(
        "test/precalculus/807.json", "What is $1 + 1$?", "2", None, None, row["solution"]
    )
    assert hub_item(KNOWN["math500"], row) == expected
    train = {"problem": "?", "solution": r"So $\boxed{\frac{1}{2}}$.", "level": "1", "type": "x"}
    assert hub_item(KNOWN["math500"], train, shots=True) == Item(
        "math_train_4", "?", r"\frac{1}{2}", rationale=train["solution"]
    )
    assert isinstance(hub_item(KNOWN["math500"], train | {"solution": "?"}, shots=True), str)


braced = st.recursive(
    st.text("ab \\$^_", max_size=5),
    lambda inner: st.lists(inner.map(lambda text: f"{{{text}}}"), max_size=3).map("".join),
    max_leaves=8,
)


@given(before=st.text("ab {}$", max_size=10), inside=braced, after=st.text("ab }$", max_size=10))
def test_the_last_box_is_found_whatever_braces_it_holds(
    before: str, inside: str, after: str
) -> None:
    assert last_boxed(rf"{before}\boxed{{0}}, \boxed{{{inside}}}{after}") == inside


@pytest.mark.parametrize("solution", ["", "no box", r"\boxed 2", r"\boxed{2", r"\boxed{{2}"])
def test_a_solution_without_a_closed_box_has_no_answer(solution: str) -> None:
    assert last_boxed(solution) is None


def test_humaneval_keeps_indent_and_check() -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def one():\n",
        "canonical_solution": "    return 1\n",
        "test": "def check(f):\n    assert f() == 1\n",
        "entry_point": "one",
    }
    item = hub_item(KNOWN["humaneval"], row)
    assert isinstance(item, Item)
    assert (item.id, item.question, item.answer) == (
        "HumanEval/0",
        "def one():\n",
        "    return 1\n",
    )
    assert item.code is not None
    assert (item.code.test, item.code.entry_point) == (row["test"], "one")
