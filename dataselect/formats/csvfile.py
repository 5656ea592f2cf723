"""Strict CSV files of text and numbers, with file and line in every error.

Spreadsheets write these files, so a byte-order mark, spaces around a cell, blank lines and the many
spellings of a missing value are accepted. A row whose length differs from the header's, or text in
place of a number, is an error: it is usually a mistake.

Not covered: what columns mean, and which are required.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from dataselect.errors import InputError
from dataselect.formats.in_memory import Frame, Table
from dataselect.formats.similar_files import CSV_FILES, unreadable
from dataselect.wording import quoted

_NO_NAME = {"nan", "n/a", "<na>"}
_NO_NUMBER = {"", "nan", "na", "n/a", "none", "null", "-"}
_LARGEST, _SMALLEST = 1e70, 1e-70
"""Squares and fourth powers of larger and smaller numbers overflow or vanish; no score is such."""


@dataclass(frozen=True)
class Row:
    """One row of a CSV file."""

    where: str
    """File and line, for errors."""
    line: int
    """Line of the file, from 1."""
    cells: Mapping[str, str]
    """Cells by column, without surrounding spaces."""

    def text(self, column: str) -> str:
        """The cell in `column`. Raises InputError when it is empty, or says that nothing is there.

        `none` or `null` can be a name; what other programs write for a missing cell cannot.
        """
        cell = self.cells[column]
        if not cell or cell.casefold() in _NO_NAME:
            says = f" (it says {quoted(cell)})" if cell else ""
            fix = "add it, or remove the row"
            raise InputError(self.where, f"the row has no {column}{says}", fix)
        return cell

    def number(self, column: str, *, dust: bool = False) -> float:
        """The finite number in `column`; NaN for a missing value or a missing column.

        Raises InputError for any other text, for more than 1e70 and for less than 1e-70, except 0.
        With `dust` so little is 0, as in a share. A caller that needs a number must refuse NaN
        itself.
        """
        text = self.cells.get(column, "")
        if text.casefold() in _NO_NUMBER:
            return math.nan
        value = plain_number(text)
        if not math.isfinite(value):
            raise InputError(
                self.where,
                f"column {quoted(column)} says {quoted(text)}, which is not a finite number",
                "fix it, or leave it empty where there is no value",
            )
        tiny = 0 < abs(value) < _SMALLEST
        if tiny and dust:
            return 0.0
        if tiny or abs(value) > _LARGEST:
            size = "small" if tiny else "large"
            raise InputError(
                self.where,
                f"column {quoted(column)} says {quoted(text)}, which is too {size} to be a score",
                "fix it, or write all of the column in another unit",
            )
        return value


def plain_number(text: str) -> float:
    """The number that `text` says in plain digits; NaN where it says none, or an infinite one.

    Python also reads 2_5 as 25, and digits of other scripts: nobody who writes a table or an
    option means that.
    """
    try:
        value = float(text) if "_" not in text and text.isascii() else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def read_csv(
    path: Table, fix: str = "check the path", *, any_case: bool = False
) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a CSV file or frame; `fix` is the advice for a file that is missing.

    Columns may be unnamed, but two must not share a name. With `any_case` names are in lower case.
    Raises InputError.
    """
    table: list[tuple[int, list[str]]] = []
    try:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            columns = tuple(name.strip() for name in _whole(path, reader, next(reader, [])))
            if any_case:
                columns = tuple(name.lower() for name in columns)
            _check_separator(path, columns)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"{path}:{reader.line_num}"
                if len(cells) != len(columns):
                    raise InputError(
                        where, f"{len(cells)} cells under {len(columns)} columns", "fix the row"
                    )
                whole = _whole(path, reader, cells)
                table.append((reader.line_num, [cell.strip() for cell in whole]))
    except OSError as error:
        raise unreadable(path, error, CSV_FILES, fix) from None
    except UnicodeDecodeError:
        raise InputError(path, "is not UTF-8 text", "save it as UTF-8") from None
    except csv.Error as error:
        where = f"{path}:{reader.line_num}"
        raise InputError(where, f"is not CSV: {error}", "write it with a CSV writer") from None
    for name, count in Counter(columns).items():
        if name and count > 1:
            raise InputError(f"{path}:1", f"column {quoted(name)} comes twice", "rename one")
    return _without_empty_end(columns, table), [
        Row(f"{path}:{line}", line, dict(zip(columns, cells, strict=True))) for line, cells in table
    ]


def _whole(path: Table, reader: Any, cells: list[str]) -> list[str]:
    """The cells of a row. Raises InputError for a NUL in them, which only a damaged file has."""
    if any("\0" in cell for cell in cells):
        raise InputError(f"{path}:{reader.line_num}", "it holds a NUL byte", "get the file again")
    return cells


def _without_empty_end(
    columns: tuple[str, ...], table: Sequence[tuple[int, Sequence[str]]]
) -> tuple[str, ...]:
    """The columns without those at the end that a spreadsheet left: no name, and no cell."""
    kept = len(columns)
    while kept and not columns[kept - 1] and not any(cells[kept - 1] for _, cells in table):
        kept -= 1
    return columns[:kept]


def _check_separator(path: Table, columns: Sequence[str]) -> None:
    """Raise InputError for a table whose cells are separated by something else than commas."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and separator in columns[0]:
            problem = f"its cells are separated by {name}"
            raise InputError(f"{path}:1", problem, "save it with commas, and points in numbers")


def _opened(table: Table) -> TextIO:
    if isinstance(table, Frame):
        return io.StringIO(table.csv_text(), newline="")
    return table.open(encoding="utf-8-sig", newline="")
