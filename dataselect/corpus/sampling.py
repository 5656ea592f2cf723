"""A look at a source before anything is spent: can it be read, and how many rows have text?

Files from all parts of the list are opened, and rows from all parts of each are read, since the
first rows are often the good ones. The cost is bounded: at most 16 MiB of text of a source. Of
compressed files, and inside a Parquet row group, only the beginning can be had at that price;
nulls of Parquet are known from its metadata. Of a Hub dataset the first 100 rows are read.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dataselect.config.manifest import Source
from dataselect.corpus.files import TextFile, local_files, origin
from dataselect.corpus.hub import hub_rows
from dataselect.corpus.readers import (
    BATCH_ROWS,
    ByteLimit,
    arrow_batches,
    arrow_errors,
    group_values,
    parquet_file,
    read_part,
    read_rows,
    values,
)
from dataselect.corpus.remote_files import RemoteFile
from dataselect.corpus.rows import (
    RowCounts,
    checked_text,
    nothing_usable,
    open_rows,
    usable_texts,
)
from dataselect.corpus.unusable import check_share, describe_share, why_unusable

HUB_ROWS = 100
SAMPLE_FILES = 64
SAMPLE_BYTES = 16 << 20
WINDOWS = 8
"""Parts of a file that rows are read from, where it is too long to be read as a whole."""
_SMALL_VALUE_BYTES = 16
"""What a value that is no text counts."""

Row = tuple[str, int, object]
"""Place, number in it, and value of the text column."""


@dataclass
class Coverage:
    """How much of a source was read."""

    whole: bool = True
    """Whether all of it."""


def peek(source: Source, base: Path) -> str:
    """Check cheaply that a source can be read and has text; returns a remark on what has none.

    Raises InputError for what cannot be read, and where more rows than the source allows have no
    usable text.
    """
    kind = origin(source, base)
    if kind == "desk":
        next(open_rows(source, base, seed=0))
        return ""
    coverage, plain_text, exact = Coverage(), False, None
    if kind == "hub":
        rows = _hub_sample(source, coverage)
    else:
        files = local_files(source, base)
        plain_text = files[0].form == "text"
        exact = _null_counts(files, source.text_column)
        rows = _sample(files, source.text_column, coverage)
    counts = RowCounts()
    reasons: Counter[str] = Counter()
    first: dict[str, str] = {}
    with closing(rows):
        for _ in usable_texts(source, _noted(rows, source.text_column, reasons, first), counts):
            pass
    if coverage.whole and not counts.used:
        raise nothing_usable(source, counts)
    of = "rows" if coverage.whole else "rows sampled"
    if exact is not None and exact.non_text * counts.read > counts.non_text * exact.read:
        # Nulls that the sample missed.
        counts, of, reasons = exact, "rows", Counter({"null": exact.non_text})
    reason = ""
    if reasons:
        most, count = reasons.most_common(1)[0]
        reason = f"{count:,} × {most}" + (f", first at {first[most]}" if most in first else "")
    # Empty rows come in runs, and the beginning of a dataset alone may be such a run.
    lenient = plain_text or (kind == "hub" and not coverage.whole)
    check_share(source, counts, plain_text=lenient, of=of, reason=reason)
    remark = describe_share(counts, plain_text=plain_text, of=of)
    return f"{remark}: {reason}" if remark else ""


def _noted(
    rows: Iterator[Row], column: str, reasons: Counter[str], first: dict[str, str]
) -> Iterator[Row]:
    """The rows, with what those without usable text hold counted, and where that is seen first."""
    for place, number, value in rows:
        text = checked_text(value)
        if not isinstance(text, str) or not text or text.isspace():
            why = why_unusable(value, column)
            reasons[why] += 1
            first.setdefault(why, f"{place}:{number}")
        yield place, number, value


def _hub_sample(source: Source, coverage: Coverage) -> Generator[Row]:
    # Streaming, so that nothing large is downloaded for a check.
    reader = hub_rows(source, seed=0, streaming=True)
    read = 0
    with closing(reader):
        for number, value in islice(reader, HUB_ROWS):
            read += 1
            coverage.whole = read < HUB_ROWS
            yield f"{source.id}: {source.path}", number, value


def _sample(files: Sequence[TextFile], column: str, coverage: Coverage) -> Generator[Row]:
    chosen = _spread(len(files), SAMPLE_FILES)
    coverage.whole = len(chosen) == len(files)
    for i in chosen:
        yield from sample_file(files[i], column, SAMPLE_BYTES // len(chosen), coverage)


def sample_file(file: TextFile, column: str, budget: int, coverage: Coverage) -> Generator[Row]:
    """Rows of all parts of a file, of about `budget` bytes; all rows where it is no longer."""
    if file.form == "parquet":
        rows = _parquet_sample(file, column, budget, coverage)
    elif file.form == "arrow":
        rows = _arrow_sample(file.path, column, budget, coverage)
    else:
        rows = _line_sample(file, column, budget, coverage)
    with closing(rows):
        yield from rows


def _line_sample(file: TextFile, column: str, budget: int, coverage: Coverage) -> Generator[Row]:
    path, size = str(file.path), 0
    with suppress(FileNotFoundError):
        size = file.bytes
    parts = not file.compression and size > budget
    limit = ByteLimit(budget // WINDOWS if parts else budget)
    for number, value in read_rows(file, column, limit):
        yield path, number, value
    coverage.whole = coverage.whole and not limit.reached
    if not parts:
        return
    window = budget // WINDOWS
    for start in np.linspace(0, size - window, WINDOWS).astype(int).tolist()[1:]:
        for position, value in read_part(file, column, start, start + window):
            yield f"{path}, byte", position, value


def _parquet_sample(file: TextFile, column: str, budget: int, coverage: Coverage) -> Generator[Row]:
    path = file.path
    with arrow_errors(path, "Parquet"), parquet_file(path, column) as parquet:
        rows = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        groups = _spread(len(rows), WINDOWS)
        if file.bytes <= budget:
            groups = list(range(len(rows)))
        coverage.whole = coverage.whole and len(groups) == len(rows)
        for group in groups:
            number, left = sum(rows[:group]), budget // len(groups)
            for value in group_values(parquet, group, column):
                number += 1
                yield str(path), number, value
                left -= _bytes(value)
                if left <= 0:
                    coverage.whole = False
                    break


def _arrow_sample(
    path: Path | RemoteFile, column: str, budget: int, coverage: Coverage
) -> Generator[Row]:
    with arrow_errors(path, "Arrow"), arrow_batches(path, column) as batches:
        if isinstance(path, RemoteFile):
            arrays = _first(batches, budget, coverage)
        else:
            # Maps only: nothing is read from the disk before values are asked for.
            arrays = list(batches)
        chosen = list(range(len(arrays)))
        if sum(each.nbytes for each in arrays) > budget:
            chosen = _spread(len(arrays), SAMPLE_FILES)
        coverage.whole = coverage.whole and len(chosen) == len(arrays)
        for i in chosen:
            number, left = sum(map(len, arrays[:i])), budget // len(chosen)
            for start in range(0, len(arrays[i]), BATCH_ROWS):
                part = values(arrays[i].slice(start, BATCH_ROWS))
                for value in part:
                    number += 1
                    yield str(path), number, value
                left -= sum(map(_bytes, part))
                if left <= 0 and start + BATCH_ROWS < len(arrays[i]):
                    coverage.whole = False
                    break


def _first(batches: Iterator[Any], budget: int, coverage: Coverage) -> list[Any]:
    """The first batches, of about `budget` bytes: those behind them must be fetched to be seen."""
    arrays: list[Any] = []
    for batch in batches:
        if sum(each.nbytes for each in arrays) > budget:
            coverage.whole = False
            break
        arrays.append(batch)
    return arrays


def _null_counts(files: Sequence[TextFile], column: str) -> RowCounts | None:
    """Rows and nulls of sampled Parquet files by their metadata; None for other files."""
    if files[0].form != "parquet":
        return None
    counts = RowCounts()
    for i in _spread(len(files), SAMPLE_FILES):
        path = files[i].path
        with arrow_errors(path, "Parquet"), parquet_file(path, column) as parquet:
            metadata = parquet.metadata
            for group in range(metadata.num_row_groups):
                row_group = metadata.row_group(group)
                for j in range(row_group.num_columns):
                    chunk = row_group.column(j)
                    statistics = chunk.statistics
                    if (
                        chunk.path_in_schema == column
                        and statistics is not None
                        and statistics.has_null_count
                    ):
                        counts.read += row_group.num_rows
                        counts.non_text += statistics.null_count
    counts.used = counts.read - counts.non_text
    return counts if counts.read else None


def _spread(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, spread evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({int(i) for i in np.linspace(0, count - 1, most).round()})


def _bytes(value: object) -> int:
    return len(value) if isinstance(value, str) else _SMALL_VALUE_BYTES
