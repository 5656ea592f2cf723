"""Read scores from a CSV file: an `id` column, a column for each metric, a row for each run.

For people who trained elsewhere and have a spreadsheet. Further columns may say which of several
runs of a candidate a row is, such as its seed. A cell that is empty, or says that there is no
number, is a missing value and left to whoever uses the table; anything else that is not a number is
an error with file and line, since it is more often a mistake than meant.

Not covered: what the numbers mean; whether higher is better is for the caller to know.
"""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dataselect.errors import InputError
from dataselect.wording import quoted

_NO_NUMBER = {"", "nan", "na", "n/a", "none", "null", "-"}
Row = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class ScoreTable:
    """Rows of a file: `id`, the label columns that it has, and its metrics, NaN where missing."""

    path: Path
    rows: pd.DataFrame
    labels: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        """Candidates in the order of the file, each once."""
        return list(dict.fromkeys(self.rows["id"]))


def read_csv_rows(path: Path, mend: str) -> tuple[list[str], list[Row]]:
    """Columns and rows of a CSV file, rows with the number of their last line; blank lines go.

    Raises InputError, with `mend`, for a file that cannot be read, and for a column named twice.
    A row with too few fields has None for them, one with too many the rest as a list under None.
    """
    try:
        # Spreadsheets begin a UTF-8 file with a mark of their own.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"cannot be read ({error})", mend) from error
    for name, count in Counter(columns).items():
        if count > 1:
            raise InputError(f"{path}:1", f"column {quoted(name)} comes twice", "rename one")
    return columns, rows


def read_id_rows(path: Path, each: str, mend: str) -> tuple[list[str], list[Row]]:
    """As `read_csv_rows`, of a file with a column `id`, filled everywhere, and one for `each`."""
    columns, rows = read_csv_rows(path, mend)
    if "id" not in columns or len(columns) < 2:
        raise InputError(f"{path}:1", f"it needs a column 'id' and one for each {each}", "add them")
    for line, row in rows:
        row["id"] = (row["id"] or "").strip()
        if not row["id"]:
            raise InputError(f"{path}:{line}", "the row has no id", "add it, or remove the row")
    return columns, rows


def read_score_table(path: Path, labels: Sequence[str] = ()) -> ScoreTable:
    """Read a file of scores; `labels` are columns, if it has them, that tell a candidate's rows
    apart, and all others are metrics.

    Raises InputError with the line of what is wrong.
    """
    columns, records = read_id_rows(path, "metric", "check the path")
    found = tuple(name for name in labels if name in columns)
    metrics = tuple(name for name in columns if name not in ("id", *found))
    if not metrics:
        raise InputError(f"{path}:1", "it has no metric", "add a column of scores")
    if "" in metrics:
        raise InputError(f"{path}:1", "a column has no name", "name it, or remove it")
    seen: dict[tuple[str, ...], int] = {}
    rows: list[dict[str, str | float]] = []
    for line, row in records:
        where = f"{path}:{line}"
        if None in row or None in row.values():
            raise InputError(
                where, f"the row has not {len(columns)} fields as the first line", "mend the row"
            )
        key = ("id", *found)
        names = tuple(row[name].strip() for name in key)
        for label, name in zip(key, names, strict=True):
            if not name:
                raise InputError(where, f"the row has no {label}", "add it, or remove the row")
        if names in seen:
            which = "".join(f", {k} {quoted(n)}" for k, n in zip(found, names[1:], strict=True))
            spare = [label for label in labels if label not in found]
            more = f", or add a column {quoted(spare[0])}" if spare else ""
            raise InputError(
                where,
                f"{quoted(names[0])}{which} comes twice (before in line {seen[names]})",
                f"keep one of the rows{more}",
            )
        seen[names] = line
        values = {name: _number(row[name], name, where) for name in metrics}
        rows.append({**dict(zip(key, names, strict=True)), **values})
    if not rows:
        raise InputError(path, "it has no row", "add one for each candidate")
    return ScoreTable(path, pd.DataFrame(rows), found, metrics)


def _number(text: str, column: str, where: str) -> float:
    if text.strip().casefold() in _NO_NUMBER:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(
            where,
            f"column {quoted(column)} says {quoted(text)}, which is not a finite number",
            "mend it, leave it empty where there is no value, or remove the column",
        )
    return value
