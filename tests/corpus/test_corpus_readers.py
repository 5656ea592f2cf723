"""Rows of local files, and one line with file and line number for each way they can be broken."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.corpus import readers
from dataselect.corpus.files import TextFile
from dataselect.corpus.forms import Compression, Form
from dataselect.corpus.readers import Absent, Malformed, read_rows
from dataselect.errors import InputError
from dataselect.formats.zstd import zstd


def local(path: Path, form: Form = "json", compression: Compression = "") -> TextFile:
    return TextFile(path, path.name, form, compression)


def rows(file: TextFile, column: str = "text") -> list[tuple[int, object]]:
    return list(read_rows(file, column))


def refusal(file: TextFile, column: str = "text") -> str:
    with pytest.raises(InputError) as caught:
        rows(file, column)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lines(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def packed(data: bytes, compression: Compression) -> bytes:
    if compression == ".gz":
        return gzip.compress(data)
    if compression == ".zst":
        # Without the size in the header, as a stream is written.
        out = io.BytesIO()
        with zstd.open(out, "wb") as writer:
            writer.write(data)
        return out.getvalue()
    return data


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_json_rows_are_numbered_by_line(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(packed(lines("one", "two\u2028 zwei") + b"\n" + lines("drei"), compression))
    expected = [(1, "one"), (2, "two\u2028 zwei"), (4, "drei")]
    assert rows(local(path, compression=compression)) == expected


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_joined_archives_are_read_to_the_end(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "a"
    path.write_bytes(packed(lines("one"), compression) + packed(lines("two"), compression))
    assert rows(local(path, compression=compression)) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("compression", [".gz", ".zst"])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.9, 0.999])
def test_truncated_archive_is_corrupt_and_never_a_short_one(
    tmp_path: Path, compression: Compression, left: float
) -> None:
    path = tmp_path / "a"
    whole = packed(b"".join(lines(f"text {i * 7919}") for i in range(20_000)), compression)
    path.write_bytes(whole[: int(len(whole) * left)])
    message = refusal(local(path, compression=compression))
    kind = {".gz": "gzip", ".zst": "zstd"}[compression]
    assert f"{path}:" in message
    assert f"corrupt {kind}" in message


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_what_is_no_archive_is_corrupt(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "a"
    path.write_bytes(lines("plain"))
    assert f"{path}:1: corrupt" in refusal(local(path, compression=compression))


def test_flipped_byte_in_gzip_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "a"
    whole = bytearray(gzip.compress(lines(*map(str, range(3000)))))
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    assert "corrupt gzip" in refusal(local(path, compression=".gz"))


def test_zstd_with_skippable_frame_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    skippable = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    path.write_bytes(skippable + packed(lines("one"), ".zst") + skippable)
    assert rows(local(path, compression=".zst")) == [(1, "one")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=40), st.integers(1, 200))
def test_zstd_gives_the_same_lines_as_plain(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], frame: int
) -> None:
    path = tmp_path_factory.mktemp("z") / "a"
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    pieces = [data[i : i + frame] for i in range(0, len(data), frame)]
    path.write_bytes(b"".join(packed(piece, ".zst") for piece in pieces))
    got = [value for _, value in rows(local(path, compression=".zst"))]
    assert got == texts


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "cut', "the file ends inside this line"),
        (b'{"text": nope}\n', "not JSON"),
        (b'{"text": "\xff"}\n', "not UTF-8 (byte 0xff at 11)"),
        (b"[1]\n", "the row is an array, not an object"),
        (b"null\n", "the row is null"),
        (b"7\n", "the row is a number"),
        (b"[" * 100_000 + b"\n", "not"),
        (b'{"text": ' + b"9" * 5000 + b"}\n", "not readable as JSON"),
    ],
)
def test_unreadable_line_is_malformed_and_reading_goes_on(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    path = tmp_path / "a.jsonl"
    after = lines("after") if line.endswith(b"\n") else b""
    path.write_bytes(lines("before") + line + after)
    got = rows(local(path))
    assert got[0] == (1, "before")
    number, value = got[1]
    assert number == 2
    assert isinstance(value, Malformed)
    assert problem in value.problem
    assert [text for _, text in got[2:]] == ["after"] * bool(after)


def test_first_row_without_the_column_lists_columns_and_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "Text": "x"}\n')
    message = refusal(local(path))
    assert f"{path}:1: no column 'text' (columns: 'id', 'Text')" in message
    assert "did you mean 'Text'?" in message


def test_later_row_without_the_column_says_which_keys_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n{"id": 1}\n')
    assert rows(local(path)) == [(1, "x"), (2, Absent(("id",)))]


@pytest.mark.parametrize(
    ("content", "part"),
    [('[\n{"text": "a"}\n]\n', "JSON array"), ('{\n"text": "a"\n}\n', "over several lines")],
)
def test_json_that_is_not_by_lines_names_the_command_that_fixes_it(
    tmp_path: Path, content: str, part: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    message = refusal(local(path))
    assert part in message
    assert "jq -c" in message


def test_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_LINE_BYTES", 1 << 20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("x") + b"\0" * (3 << 20))
    assert f"{path}:2: the line is longer than 1 MiB" in refusal(local(path))


def test_byte_order_mark_and_windows_line_ends_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b'\xef\xbb\xbf{"text": "x"}\r\n{"text": "y"}\r\n')
    assert rows(local(path)) == [(1, "x"), (2, "y")]
    assert rows(local(path, "text"))[1] == (2, '{"text": "y"}')


def test_missing_file_says_so(tmp_path: Path) -> None:
    assert "No such file" in refusal(local(tmp_path / "gone.jsonl"))
    assert "No such file" in refusal(local(tmp_path / "gone.zst", compression=".zst"))
    assert "No such file" in refusal(local(tmp_path / "gone.parquet", "parquet"))


def test_every_line_of_plain_text_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("eins\n\nzwei\x85drei".encode() + b"\n\xff\n")
    got = rows(local(path, "text"))
    assert got[:3] == [(1, "eins"), (2, ""), (3, "zwei\x85drei")]
    assert isinstance(got[3][1], Malformed)


def test_parquet_is_read_across_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"text {i}" if i % 5 else None for i in range(50)]
    table = pa.table({"id": list(range(50)), "text": pa.array(texts, pa.large_string())})
    pq.write_table(table, path, row_group_size=7)
    assert rows(local(path, "parquet")) == list(enumerate(texts, start=1))


def test_parquet_reads_one_batch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(100)]}), path, row_group_size=50)
    sizes: list[int] = []
    iter_batches = pq.ParquetFile.iter_batches

    def recorded(self: pq.ParquetFile, *args: object, **keys: object) -> object:
        for batch in iter_batches(self, *args, **keys):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(readers, "BATCH_ROWS", 20)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", recorded)
    reader = read_rows(local(path, "parquet"), "text")
    assert next(reader) == (1, "0")
    assert sizes == [20]
    assert len(list(reader)) == 99
    assert max(sizes) == 20


def test_parquet_bytes_that_are_not_utf8_are_malformed_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    array = pa.array([b"good", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": array}), path)
    got = rows(local(path, "parquet"))
    assert got[0] == (1, "good")
    assert isinstance(got[1][1], Malformed)


def test_parquet_without_the_column_lists_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["a"], "texts": ["b"]}), path)
    message = refusal(local(path, "parquet"))
    assert "(columns: 'content', 'texts')" in message
    assert "did you mean 'texts'?" in message


@pytest.mark.parametrize("kept", [0, 3, 200])
def test_damaged_parquet_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(500)]}), path)
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: " in refusal(local(path, "parquet"))


def test_parquet_never_holds_a_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = np.random.default_rng(0)
    texts = [noise.bytes(1_000).hex() for _ in range(10_000)]
    # Plain and of noise, so that nothing makes the 20 MB smaller.
    pq.write_table(pa.table({"text": texts}), path, row_group_size=10**6, use_dictionary=False)
    assert pq.ParquetFile(path).num_row_groups == 1
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() for _ in read_rows(local(path, "parquet"), "text")]
    assert len(held) == 10_000
    assert max(held) - before < path.stat().st_size / 4
