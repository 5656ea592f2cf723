"""Definitions are complete, and rows with any column names become records of one shape."""

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.benchmarks.columns import Columns, index_of
from dataselect.benchmarks.definition import Definition, RowSource
from dataselect.benchmarks.items import Item, parse_items
from dataselect.benchmarks.known import ALIASES, KNOWN


def sources(definition: Definition) -> list[RowSource]:
    shots = definition.shots
    return [definition.items, *([shots] if isinstance(shots, RowSource) else [])]


@pytest.mark.parametrize("definition", KNOWN.values(), ids=list(KNOWN))
def test_each_of_the_six_can_be_read_from_a_file_and_from_a_pinned_commit(
    definition: Definition,
) -> None:
    for source in sources(definition):
        assert source.file is not None
        assert source.file.file.endswith(".jsonl")
        assert source.hub is not None
        assert re.fullmatch("[0-9a-f]{40}", source.hub.revision or "")
        assert source.hub.columns


@pytest.mark.parametrize("definition", KNOWN.values(), ids=list(KNOWN))
def test_each_of_the_six_defines_prompt_and_answers(definition: Definition) -> None:
    assert "{question}" in definition.prompt
    assert definition.shot_count == 5
    assert definition.task
    assert definition.answers is not None
    assert definition.stop
    head = definition.prompt.partition("{question}")[0].rstrip()
    # A generated answer has to end where the next worked example would begin.
    assert not head or f"\n{head}" in definition.stop


def test_no_two_of_the_six_share_a_file_and_aliases_name_them() -> None:
    files = [s.file.file for d in KNOWN.values() for s in sources(d) if s.file is not None]
    assert len(set(files)) == len(files)
    assert set(ALIASES.values()) <= set(KNOWN)
    assert not set(ALIASES) & set(KNOWN)


texts = st.lists(
    st.text(string.ascii_lowercase, min_size=2, max_size=8), min_size=2, max_size=10, unique=True
)


@given(choices=texts, data=st.data())
def test_a_letter_a_position_and_the_text_mean_the_same_choice(
    choices: list[str], data: st.DataObject
) -> None:
    i = data.draw(st.integers(0, len(choices) - 1))
    forms = (string.ascii_uppercase[i], i, str(i), choices[i], f" {choices[i]} ")
    assert {index_of(form, choices) for form in forms} == {i}


@given(choices=texts, first=st.sampled_from([0, 1]), data=st.data())
def test_labels_of_a_dataset_take_precedence_over_positions(
    choices: list[str], first: int, data: st.DataObject
) -> None:
    i = data.draw(st.integers(0, len(choices) - 1))
    labels = [str(first + n) for n in range(len(choices))]
    assert index_of(labels[i], choices, labels) == i
    assert index_of(first + i, choices, [first + n for n in range(len(choices))]) == i


@pytest.mark.parametrize(
    ("answer", "choices", "expected"),
    [
        ("2", ["1", "2", "3"], 1),
        ("B", ["B", "A"], 0),
        ("C", ["x", "y"], None),
        ("z", ["x", "y"], None),
        (2, ["x", "y"], None),
        (-1, ["x", "y"], None),
        (True, ["x", "y"], None),
        (None, ["x", "y"], None),
    ],
)
def test_ambiguous_and_unknown_choices(answer: Any, choices: list[str], expected: Any) -> None:
    assert index_of(answer, choices) == expected


def parsed(columns: Columns, row: dict[str, Any]) -> Item | str:
    items, exclusions = parse_items("test", "row", [(1, columns.record(0, row))])
    return items[0] if items else exclusions[0].reason


def test_columns_of_other_names_become_an_item() -> None:
    columns = Columns("quiz", question="q", choices="options", answer="gold", category="topic")
    row = {"q": "1 + 1?", "options": ["1", "2"], "gold": "B", "topic": "sums", "rest": 0}
    assert parsed(columns, row) == Item("quiz_0", "1 + 1?", "B", ("1", "2"), 1, category="sums")


def test_a_position_alone_is_an_answer_and_numbers_are_ids() -> None:
    row = {"id": 7, "question": "?", "choices": ["x", "y"], "answer_index": 1}
    assert parsed(Columns("quiz"), row) == Item("7", "?", "B", ("x", "y"), 1)


def test_a_question_without_choices_keeps_its_answer_and_rationale() -> None:
    row = {"id": "a", "question": "?", "answer": 4, "rationale": "2 + 2 = 4", "choices": None}
    assert parsed(Columns("quiz"), row) == Item("a", "?", "4", rationale="2 + 2 = 4")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"question": "?", "choices": ["x", "y"], "answer": "z"},
            "which of its 2 choices its answer 'z' is",
        ),
        ({"question": "?", "choices": "xy", "answer": "x"}, "choices are not a list"),
        ({"question": "?", "choices": ["x", "y"], "answer_index": 5}, "answer_index is 5"),
        ({"question": "?"}, "its answer is missing"),
        ({"answer": "x"}, "its question is missing"),
    ],
)
def test_values_that_cannot_be_interpreted_are_left_to_the_parser(
    row: dict[str, Any], reason: str
) -> None:
    found = parsed(Columns("quiz"), row)
    assert isinstance(found, str)
    assert reason in found
