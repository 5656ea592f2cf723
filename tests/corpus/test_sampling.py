"""What a look at a source finds before anything is spent: rows without text, wherever they are."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus import sampling
from dataselect.corpus.files import local_files
from dataselect.corpus.sampling import Coverage, peek, sample_file
from dataselect.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

GOOD = {"text": "some words of text"}


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def source(path: str = "d", **keys: Any) -> Source:
    return Source(id="src", path=path, **keys)


def refusal(base: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        peek(source(**keys), base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"content": "x", "id": 1}, "no 'text' (keys: 'content', 'id')"),
        ({"text": ["a", "b"]}, "a list"),
        ({"text": None}, "null"),
        ({"text": " \n"}, "an empty text"),
        ({"text": {"body": "x"}}, "an object"),
        ({"text": 7}, "a number"),
    ],
)
def test_rows_without_text_behind_good_ones_are_found(
    folder: Path, bad: dict[str, Any], reason: str
) -> None:
    (folder / "d/a.jsonl").write_bytes(lines([GOOD] * 100 + [bad] * 900))
    message = refusal(folder)
    assert "src: d: 900 of 1,000 rows have no usable text (90%; 900 " in message
    assert f"900 × {reason}, first at {folder}/d/a.jsonl:101" in message
    assert message.endswith("or allow it with max_unusable: 0.9")
    allowed = peek(source(max_unusable=0.9), folder)
    assert allowed.startswith("900 of 1,000 rows have no usable text (90%; ")


def test_less_than_is_allowed_is_remarked_on(folder: Path) -> None:
    (folder / "d/a.jsonl").write_bytes(lines([GOOD] * 98 + [{"text": None}, {"text": ""}]))
    remark = peek(source(), folder)
    assert remark.startswith(
        "2 of 100 rows have no usable text (2%; 1 non text, 1 empty): 1 × null"
    )
    assert "max_unusable: 0.02" in refusal(folder, max_unusable=0)
    (folder / "d/a.jsonl").write_bytes(lines([GOOD] * 100))
    assert peek(source(max_unusable=0), folder) == ""


def test_half_of_the_rows_is_not_most_of_them(folder: Path) -> None:
    rows = [GOOD, {"text": None}] * 50
    (folder / "d/a.jsonl").write_bytes(lines(rows))
    assert "(50%; 50 non text)" in peek(source(), folder)
    (folder / "d/a.jsonl").write_bytes(lines([*rows, {"text": None}]))
    assert "51 of 101 rows" in refusal(folder)


def test_empty_lines_of_plain_text_are_no_rows(folder: Path) -> None:
    (folder / "d/a.txt").write_text("a paragraph\n\n\n\n" * 100)
    assert peek(source(max_unusable=0), folder) == ""


def test_later_files_of_a_folder_are_looked_at(folder: Path) -> None:
    for i in range(300):
        rows = [GOOD] if i < 90 else [GOOD, *[{"text": None}] * 4]
        (folder / f"d/{i:03d}.jsonl").write_bytes(lines(rows))
    message = refusal(folder)
    assert "rows sampled have no usable text" in message
    assert "first at" in message


def test_the_middle_and_the_end_of_a_long_file_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 8_000)
    (folder / "d/a.jsonl").write_bytes(lines([GOOD] * 1_000 + [{"body": "x" * 18}] * 9_000))
    message = refusal(folder)
    assert "rows sampled have no usable text" in message
    assert "× no 'text' (keys: 'body'), first at " in message
    assert "a.jsonl, byte:" in message


def test_a_row_that_cannot_be_read_is_found_at_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 8_000)
    whole = lines([GOOD] * 10_000)
    (folder / "d/a.jsonl").write_bytes(whole + b'{"text": "cut')
    message = refusal(folder)
    assert f"a.jsonl, byte:{len(whole)}: the file ends inside this line" in message
    assert "rows sampled have no usable text" in peek(source(bad_rows="skip"), folder)


def test_the_cost_of_a_look_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 80_000)
    (folder / "d/a.jsonl").write_bytes(lines([GOOD] * 100_000))
    (file,) = local_files(source(), folder)
    coverage = Coverage()
    rows = list(sample_file(file, "text", 80_000, coverage))
    size = len(lines([GOOD]))
    assert not coverage.whole
    assert 80_000 / size * 0.9 < len(rows) < 80_000 / size * 1.1
    places = [number for place, number, _ in rows if place.endswith("byte")]
    assert places == sorted(set(places))
    assert all(position % size == 0 for position in places)
    assert places[-1] == size * 99_999


def test_of_a_compressed_file_the_beginning_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lines([GOOD] * 100 + [{"text": None}] * 900)
    (folder / "d/a.jsonl.gz").write_bytes(gzip.compress(data))
    assert "900 of 1,000 rows have" in refusal(folder)
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 1_000)
    assert peek(source(), folder) == ""


@pytest.mark.parametrize("group", [50, 5_000])
def test_parquet_rows_of_all_row_groups_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    texts = ["some words of text"] * 1_000 + [None] * 4_000
    pq.write_table(pa.table({"text": texts}), folder / "d/a.parquet", row_group_size=group)
    assert "4,000 of 5,000 rows have no usable text (80%; 4,000 non text)" in refusal(folder)
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 500)
    # The metadata count nulls, wherever they are.
    assert "4,000 of 5,000 rows have no usable text (80%; 4,000 non text)" in refusal(folder)
    empty = ["some words of text"] * 1_000 + [""] * 4_000
    pq.write_table(pa.table({"text": empty}), folder / "d/a.parquet", row_group_size=50)
    assert "rows sampled have no usable text" in refusal(folder)


def test_a_column_of_another_type_is_no_text(folder: Path) -> None:
    pq.write_table(pa.table({"text": [["a"], ["b"]]}), folder / "d/a.parquet")
    assert "no usable text in 2 rows" in refusal(folder)


def test_arrow_rows_of_all_batches_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"text": ["some words of text"] * 1_000 + [None] * 9_000})
    with pa.ipc.new_stream(str(folder / "d/a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    assert "9,000 of 10,000 rows have" in refusal(folder)
    monkeypatch.setattr(sampling, "SAMPLE_BYTES", 2_000)
    assert "rows sampled have" in refusal(folder)
