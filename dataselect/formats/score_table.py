"""Read scores from a CSV file: an `id` column, a column for each metric, a row for each run.

For people who trained elsewhere and have a spreadsheet. Further columns may be labels that say
which of several runs of a candidate a row is, such as its seed. A missing value is left to whoever
uses the table.

Not covered: what the numbers mean; whether higher is better is for the caller to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dataselect.errors import InputError
from dataselect.formats.csvfile import Row, read_csv
from dataselect.formats.in_memory import Table
from dataselect.wording import quoted


@dataclass(frozen=True)
class ScoreTable:
    """Rows of a file: `id`, the label columns that it has, and its metrics, NaN where missing."""

    path: Table
    rows: pd.DataFrame
    labels: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        """Candidates in the order of the file, each once."""
        return list(dict.fromkeys(self.rows["id"]))


def read_id_rows(
    path: Table, each: str, fix: str = "check the path"
) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a file with a column `id` and at least one more, one for `each`."""
    columns, rows = read_csv(path, fix)
    if "id" not in columns or len(columns) < 2:
        raise InputError(f"{path}:1", f"it needs a column 'id' and one for each {each}", "add them")
    return columns, rows


def read_score_table(path: Table, labels: Sequence[str] = ()) -> ScoreTable:
    """Read a file or frame of scores; `labels` are columns, if it has them, that tell a candidate's
    rows apart, and all others are metrics.

    Raises InputError with the line of what is wrong.
    """
    columns, records = read_id_rows(path, "metric")
    found = tuple(name for name in labels if name in columns)
    metrics = tuple(name for name in columns if name not in ("id", *found))
    if not metrics:
        raise InputError(f"{path}:1", "it has no metric", "add a column of scores")
    if "" in metrics:
        raise InputError(f"{path}:1", "a column has no name", "name it, or remove it")
    seen: dict[tuple[str, ...], int] = {}
    rows: list[dict[str, str | float]] = []
    for row in records:
        names = tuple(row.text(name) for name in ("id", *found))
        if names in seen:
            which = "".join(f", {k} {quoted(n)}" for k, n in zip(found, names[1:], strict=True))
            spare = [label for label in labels if label not in found]
            more = f", or add a column {quoted(spare[0])}" if spare else ""
            raise InputError(
                row.where,
                f"{quoted(names[0])}{which} comes twice (before in line {seen[names]})",
                f"keep one of the rows{more}",
            )
        seen[names] = row.line
        values = {name: row.number(name) for name in metrics}
        rows.append({**dict(zip(("id", *found), names, strict=True)), **values})
    if not rows:
        raise InputError(path, "it has no row", "add one for each candidate")
    return ScoreTable(path, pd.DataFrame(rows), found, metrics)
