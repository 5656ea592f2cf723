import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.errors import InputError
from dataselect.traces.trace import (
    Trace,
    TraceHeader,
    TraceSet,
    read_traces,
    runs_of,
    write_traces,
)

HEADER = TraceHeader("stories", "frontier-1", "Question: {question}", "a test", {"how": "by hand"})
GOOD = [
    Trace("q2", "She has 3.\u2028Né — 日", runs_of([0.5] * 10 + [0.25] * 7), "3"),
    Trace("q1", "Two", ((2, 0.5), (1, None))),
]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "traces.jsonl"
    write_traces(path, HEADER, GOOD)
    return path


@pytest.mark.parametrize("name", ["traces.jsonl", "traces.jsonl.gz"])
def test_written_traces_are_read_back(tmp_path: Path, name: str) -> None:
    write_traces(tmp_path / name, HEADER, GOOD)
    read = read_traces(tmp_path / name)
    assert read.header == HEADER
    assert dict(read.traces) == {trace.item: trace for trace in GOOD}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_the_same_traces_give_the_same_bytes_in_any_order(tmp_path: Path, name: str) -> None:
    write_traces(tmp_path / name, HEADER, GOOD)
    write_traces(tmp_path / f"b{name}", HEADER, GOOD[::-1])
    assert (tmp_path / name).read_bytes() == (tmp_path / f"b{name}").read_bytes()


def test_the_hash_covers_the_traces_and_not_the_header() -> None:
    by_id = {trace.item: trace for trace in GOOD}
    one = TraceSet(HEADER, by_id)
    other = TraceSet(TraceHeader("x", "y", "z", "later"), dict(reversed(by_id.items())))
    changed = TraceSet(HEADER, by_id | {"q1": Trace("q1", "Two", ((3, 0.5),))})
    assert one.hash == other.hash
    assert one.hash != changed.hash


def test_the_hash_of_traces_without_marks_is_that_of_before_there_were_any() -> None:
    before = "c64d58a2c1b1a8d91f16084a29fc6360b38abff0533cb0196f51555391ce688e"
    by_id = {trace.item: trace for trace in GOOD}
    assert TraceSet(HEADER, by_id).hash == before
    marked = replace(by_id["q1"], marked="<span>Two</span>")
    assert TraceSet(HEADER, by_id | {"q1": marked}).hash != before


def test_marked_traces_are_read_back_and_need_no_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    marked = Trace("q1", "Two it is", ((9, None),), None, "<span>Two</span> it is")
    write_traces(path, HEADER, [marked])
    assert dict(read_traces(path).traces) == {"q1": marked}
    assert marked.spans == ((0, 3),)
    assert GOOD[0].spans is None
    certain = replace(marked, runs=((9, 1.0),))
    write_traces(path, HEADER, [certain])
    with pytest.raises(InputError, match="the frontier model's server gave none"):
        read_traces(path)


def test_letter_probabilities_unroll_the_runs() -> None:
    probs = GOOD[1].letter_probs
    assert probs.shape == (3,)
    assert probs[:2].tolist() == [0.5, 0.5]
    assert np.isnan(probs[2])


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1))
def test_runs_keep_probabilities_to_six_digits(probs: list[float]) -> None:
    trace = Trace("q", "x" * len(probs), runs_of(probs))
    assert trace.letter_probs == pytest.approx(probs, rel=1e-5, nan_ok=True)
    assert all(
        first[1] != second[1] for first, second in zip(trace.runs, trace.runs[1:], strict=False)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": [[16, 0.5]]}, "cover 16 letters and its text has 17"),
        ({"runs": [[17, 1.5]]}, "1.5, not within 0..1"),
        ({"runs": [[17, -0.1]]}, "not within 0..1"),
        ({"runs": [[17, float("nan")]]}, "not within 0..1"),
        ({"runs": [[17, True]]}, "not within 0..1"),
        ({"runs": [[0, 0.5], [17, 0.5]]}, "a run has 0 letters"),
        ({"runs": [17, 0.5]}, "not [letters, probability]"),
        ({"runs": None}, "no runs"),
        ({"text": " \n"}, "no text"),
        ({"text": "x" * ((1 << 21) + 1)}, "2,097,153 letters, which is more than 2,097,152"),
        ({"text": "\ud800" * 17}, "surrogate"),
        ({"item": 3}, "no item id"),
        ({"item": "q1"}, "two traces"),
        ({"answer": 3}, "answer is not text"),
        ({"marked": 3}, "marked text is not text"),
        ({"marked": "She <span>has</span> 4."}, "marked text is another text"),
    ],
)
def test_a_malformed_trace_is_refused_with_its_line(
    good: Path, change: dict[str, Any], message: str
) -> None:
    header, q1, q2 = lines_of(good)
    with pytest.raises(InputError) as caught:
        read_traces(write_lines(good, [header, q1, q2 | change]))
    assert message in str(caught.value)
    assert f"{good}:3" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"schema": 2}, "schema 2"), ({"model": None}, "no 'model'"), ({"notes": 1}, "'notes'")],
)
def test_a_malformed_header_is_refused(good: Path, change: dict[str, Any], message: str) -> None:
    header, *traces = lines_of(good)
    with pytest.raises(InputError, match=message):
        read_traces(write_lines(good, [header | change, *traces]))


def test_probabilities_that_are_all_one_are_refused(good: Path) -> None:
    header, *_ = lines_of(good)
    certain = [
        {"item": "q1", "text": "abc", "runs": [[2, 1.0], [1, 0.9999999]]},
        {"item": "q2", "text": "abc", "runs": [[3, None]]},
    ]
    with pytest.raises(InputError, match="server gave none"):
        read_traces(write_lines(good, [header, *certain]))


def test_a_truncated_line_is_refused_with_its_number(good: Path) -> None:
    good.write_text(good.read_text()[:-20])
    with pytest.raises(InputError, match=r":3: the line is not JSON"):
        read_traces(good)


def test_a_line_that_is_not_utf8_is_refused_with_its_number(good: Path) -> None:
    good.write_bytes(good.read_bytes() + b"\xff\n")
    with pytest.raises(InputError, match=r":4: the line is not UTF-8"):
        read_traces(good)


@pytest.mark.parametrize("cut", [-9, 20])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "traces.jsonl.gz"
    write_traces(path, HEADER, GOOD)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="damaged"):
        read_traces(path)


def test_flipped_bits_in_an_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl.gz"
    write_traces(path, HEADER, GOOD)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError):
        read_traces(path)


def test_a_name_ending_in_gz_without_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl.gz"
    path.write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        read_traces(path)


@pytest.mark.parametrize(("content", "message"), [("", "empty"), (None, "cannot be read")])
def test_an_empty_or_missing_file_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "traces.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_traces(path)


def test_a_header_alone_is_refused(good: Path) -> None:
    with pytest.raises(InputError, match="no trace"):
        read_traces(write_lines(good, lines_of(good)[:1]))


def test_the_archive_holds_no_time(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl.gz"
    write_traces(path, HEADER, GOOD)
    assert path.read_bytes()[4:8] == b"\0\0\0\0"
    assert gzip.decompress(path.read_bytes()).startswith(b'{"benchmark"')
