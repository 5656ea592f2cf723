"""Reasoning without probabilities is read from rows and from trace files."""

import json
from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.traces.recording.texts import read_reasoning
from dataselect.traces.trace import Trace, TraceHeader, write_traces


def written(folder: Path, *rows: object) -> Path:
    path = folder / "reasoning.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("key", ["reasoning", "rationale", "text"])
def test_rows_give_their_reasoning_by_id(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {"id": "q1", key: "One."}, {"id": "q2", key: "Two."})
    assert read_reasoning(path) == {"q1": "One.", "q2": "Two."}


def test_a_benchmark_file_gives_its_rationales_and_passes_over_items_without(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path,
        {"id": "q1", "question": "?", "answer": "1", "rationale": "One."},
        {"id": "q2", "question": "?", "answer": "2", "rationale": None},
    )
    assert read_reasoning(path) == {"q1": "One."}


def test_a_trace_file_gives_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    header = TraceHeader("b", "m", "p", "test")
    write_traces(path, header, [Trace("q1", "One.", ((4, 0.5),))])
    assert read_reasoning(path) == {"q1": "One."}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"reasoning": "One."}, "no id"),
        ({"id": "q9"}, "no reasoning"),
        ({"id": "q9", "reasoning": " "}, "no reasoning"),
        ({"id": "q1", "reasoning": "Again."}, "comes twice"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: object, problem: str) -> None:
    path = written(tmp_path, {"id": "q1", "reasoning": "One."}, row)
    with pytest.raises(InputError, match=f"reasoning.jsonl:2: .*{problem}"):
        read_reasoning(path)
