"""Read one file row by row: JSON lines, Parquet, Arrow, plain text; gzip and zstd; also at a URL.

A reader yields `(number, value)`, where `value` is the content of the text column (any type) or a
`Malformed` with the reason why the row cannot be read; the caller decides whether that ends the
run. A fault that makes the rest of a file unreadable (a corrupt archive, a missing column) raises
InputError. Memory holds one row, or one batch of rows and some pages of Parquet: never a whole row
group, which is often the whole file.
"""

import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from dataselect.corpus.files import TextFile
from dataselect.corpus.remote_files import RemoteFile
from dataselect.errors import InputError
from dataselect.wording import nearest, quoted

# A longer line means that the file is not text; reading it would fill the memory.
MAX_LINE_BYTES = 1 << 28
BATCH_ROWS = 100
_PARQUET_BUFFER_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COPY_AGAIN = "copy or download the file again"


@dataclass(frozen=True)
class Malformed:
    """A row that cannot be read, with the reason."""

    problem: str


@dataclass(frozen=True)
class Absent:
    """A row without the text column, which later rows of JSON lines may lack."""

    keys: tuple[str, ...]
    """The keys that it has."""


class ByteLimit:
    """Ends the reading of lines after a number of bytes."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.reached = False
        """Whether anything may be unread."""


def read_rows(
    file: TextFile, column: str, limit: ByteLimit | None = None
) -> Generator[tuple[int, object]]:
    """Yield `(number from 1, value of the text column, Absent or Malformed)` for every row.

    With a `limit` (of JSON lines and plain text only) the rows end with the line that reaches it.
    Raises InputError with file and line where the rest of the file cannot be read.
    """
    if file.form == "parquet":
        return _parquet_rows(file.path, column)
    if file.form == "arrow":
        return _arrow_rows(file.path, column)
    if file.form == "json":
        return _json_rows(file, column, limit)
    return _text_rows(file, limit)


def missing_column(where: object, column: str, names: Sequence[str]) -> InputError:
    """The error for a missing text column; it lists the existing columns and suggests one."""
    shown = ", ".join(quoted(name) for name in names[:30]) + (", …" if len(names) > 30 else "")
    fix = f"set text_column to one of them {nearest(column, names)}"
    return InputError(where, f"no column {quoted(column)} (columns: {shown or 'none'})", fix)


def read_part(file: TextFile, column: str, start: int, stop: int) -> Generator[tuple[int, object]]:
    """Yield `(byte position, value)` of the rows that begin in a part of an uncompressed file.

    Of JSON lines and plain text; at least one row where there is any behind `start`, which is above
    0 and may be inside a row. Errors of a first row are not looked for.
    """
    try:
        with file.path.open("rb") as stream:
            stream.seek(start - 1)
            # The rest of the row before, only its line end where `start` is a row's first byte.
            stream.readline()
            position = stream.tell()
            while (line := stream.readline(MAX_LINE_BYTES)) and position < max(stop, start + 1):
                if file.form == "text":
                    yield position, _decoded(line.rstrip(b"\r\n"))
                elif not line.isspace():
                    yield position, _value(_parsed(line), column)
                position = stream.tell()
    except OSError as error:
        raise _unreadable(file.path, error) from error


def _text_rows(file: TextFile, limit: ByteLimit | None) -> Generator[tuple[int, object]]:
    for number, line in _lines(file, limit):
        yield number, _decoded(line.rstrip(b"\r\n"))


def _json_rows(
    file: TextFile, column: str, limit: ByteLimit | None
) -> Generator[tuple[int, object]]:
    seen_object = False
    for number, line in _lines(file, limit):
        if line.isspace():
            continue
        row = _parsed(line)
        if number == 1 and line.strip()[:1] == b"[":
            raise InputError(
                f"{file.path}:1",
                "one JSON array is not read, only one object on each line",
                f"write it anew with: jq -c '.[]' {file.path.name}",
            )
        if isinstance(row, Malformed) and number == 1 and line.strip() == b"{":
            raise InputError(
                f"{file.path}:1",
                "a JSON object over several lines is not read, only one object on each line",
                f"write it anew with: jq -c . {file.path.name}",
            )
        if isinstance(row, dict):
            # Later rows may lack the key, but not the first: a file without the column is a mistake
            # in the manifest.
            if not seen_object and column not in row:
                raise missing_column(f"{file.path}:{number}", column, list(row))
            seen_object = True
        yield number, _value(row, column)


def _value(row: dict[str, Any] | Malformed, column: str) -> object:
    if isinstance(row, Malformed):
        return row
    return row[column] if column in row else Absent(tuple(row))


def _parsed(line: bytes) -> dict[str, Any] | Malformed:
    text = _decoded(line)
    if isinstance(text, Malformed):
        return text
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        if not line.endswith(b"\n"):
            return Malformed("the file ends inside this line, which is not complete JSON")
        return Malformed(f"not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError) as error:
        return Malformed(f"not readable as JSON ({error})")
    if isinstance(row, dict):
        return row
    return Malformed(f"the row is {_json_type(row)}, not an object")


def _json_type(value: object) -> str:
    names = {str: "a string", list: "an array", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _decoded(line: bytes) -> str | Malformed:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Malformed(f"not UTF-8 (byte 0x{line[error.start]:02x} at {error.start + 1})")


def _lines(file: TextFile, limit: ByteLimit | None) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line with its line end), without the byte-order mark."""
    number = 0
    try:
        with _opened(file) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise InputError(
                        f"{file.path}:{number}",
                        f"the line is longer than {MAX_LINE_BYTES >> 20} MiB",
                        "split it, or name only text files",
                    )
                yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if limit is not None:
                    limit.left -= len(line)
                    if limit.left <= 0:
                        limit.reached = True
                        return
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = {".gz": "gzip", ".zst": "zstd"}[file.compression]
        raise InputError(
            f"{file.path}:{number + 1}", f"corrupt {kind} ({error})", _COPY_AGAIN
        ) from error
    except OSError as error:
        raise _unreadable(file.path, error) from error


@contextmanager
def _opened(file: TextFile) -> Iterator[BinaryIO]:
    with file.path.open("rb", buffering=1 << 20) as raw:
        if file.compression == ".gz":
            with gzip.open(raw) as plain:
                yield cast(BinaryIO, plain)
        elif file.compression == ".zst":
            with _zstd_stream(raw) as plain:
                yield plain
        else:
            yield raw


@contextmanager
def _zstd_stream(raw: BinaryIO) -> Iterator[BinaryIO]:
    """The decompressed bytes, frame after frame. A file cut short or spoilt raises EOFError."""
    from dataselect.formats.zstd import zstd

    # Public crawls are often written with `--long=31`, which needs a window of 2 GiB.
    window: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 31}
    if not cast(io.BufferedReader, raw).peek(1):
        yield raw  # an empty file is one without frames
        return
    with zstd.open(raw, options=window) as plain:
        try:
            yield cast(BinaryIO, plain)
        except zstd.ZstdError as error:
            raise EOFError(str(error)) from error


def _parquet_rows(path: Path | RemoteFile, column: str) -> Generator[tuple[int, object]]:
    number = 0
    with arrow_errors(path, "Parquet"), parquet_file(path, column) as parquet:
        for group in range(parquet.num_row_groups):
            for value in group_values(parquet, group, column):
                number += 1
                yield number, value


@contextmanager
def parquet_file(path: Path | RemoteFile, column: str) -> Iterator[Any]:
    """An open `pyarrow.parquet.ParquetFile` that has the column. Raises InputError without it."""
    import pyarrow.parquet as pq

    # Either default would load a row group's column whole before its first row.
    with ExitStack() as stack:
        file = stack.enter_context(path.open()) if isinstance(path, RemoteFile) else path
        parquet = stack.enter_context(
            pq.ParquetFile(file, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
        )
        names = parquet.schema_arrow.names
        if column not in names:
            raise missing_column(path, column, names)
        yield parquet


def group_values(parquet: Any, group: int, column: str) -> Iterator[object]:
    """The values of the column in one row group."""
    for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=[column]):
        yield from values(batch.column(0))


def _arrow_rows(path: Path | RemoteFile, column: str) -> Generator[tuple[int, object]]:
    number = 0
    with arrow_errors(path, "Arrow"), arrow_batches(path, column) as batches:
        for batch in batches:
            for start in range(0, len(batch), BATCH_ROWS):
                for value in values(batch.slice(start, BATCH_ROWS)):
                    number += 1
                    yield number, value


@contextmanager
def arrow_batches(path: Path | RemoteFile, column: str) -> Iterator[Iterator[Any]]:
    """The text column of an Arrow file or stream, mapped if it is here, by batches."""
    import pyarrow as pa

    with ExitStack() as stack:
        if isinstance(path, RemoteFile):
            mapped = stack.enter_context(pa.PythonFile(stack.enter_context(path.open()), "r"))
        else:
            mapped = stack.enter_context(pa.memory_map(str(path)))
        try:
            # `datasets` writes streams; files have an index at their end besides.
            reader = pa.ipc.open_stream(mapped)
        except pa.ArrowInvalid:
            mapped.seek(0)
            opened = pa.ipc.open_file(mapped)
            names, count = opened.schema.names, opened.num_record_batches
            batches = (opened.get_batch(i) for i in range(count))
        else:
            names, batches = reader.schema.names, iter(reader)
        if column not in names:
            raise missing_column(path, column, names)
        yield (batch.column(column) for batch in batches)


@contextmanager
def arrow_errors(path: Path | RemoteFile, kind: str) -> Iterator[None]:
    """Errors of pyarrow on a file of a `kind` ("Parquet", "Arrow") as InputError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # An end inside a batch is an OSError too, but none of the file system.
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(path, error) from error
        reason = " ".join(str(error).split())[:200]
        raise InputError(path, f"corrupt or not {kind} ({reason})", _COPY_AGAIN) from error


def values(column: Any) -> list[object]:
    """The values of an Arrow array, Malformed where a text is not UTF-8."""
    try:
        # All at once takes half as long as one by one.
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_scalar(value) for value in column]


def _scalar(value: Any) -> object:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return Malformed("not UTF-8")


def _unreadable(path: Path | RemoteFile, error: OSError) -> InputError:
    return InputError(
        path, f"cannot be read ({error.strerror or error})", "check that it exists and is readable"
    )
