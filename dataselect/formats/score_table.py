"""Read scores from a CSV file: an `id` column, a column for each metric, a row for each run.

For people who trained elsewhere and have a spreadsheet. Other columns may be labels that tell
several runs of a candidate apart, such as the seed. Missing values are kept as NaN for the caller.

Not covered: what the numbers mean, and whether higher is better.
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
    """Scores of runs, as read from a file."""

    path: Table
    """Where the scores come from."""
    rows: pd.DataFrame
    """A row per run with the columns `id`, labels (text) and metrics (NaN where missing)."""
    labels: tuple[str, ...]
    """Label columns in the file."""
    metrics: tuple[str, ...]
    """Metric columns in the file."""

    @property
    def ids(self) -> list[str]:
        """Candidates in the order of the file, without repeats."""
        return list(dict.fromkeys(self.rows["id"]))


def read_id_rows(
    path: Table, column_for: str, fix: str = "check the path"
) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a file with a column `id` and at least one more.

    `column_for` says what the others are for, such as "metric". Raises InputError.
    """
    columns, rows = read_csv(path, fix)
    if "id" not in columns or len(columns) < 2:
        problem = f"it needs a column 'id' and one for each {column_for}"
        raise InputError(f"{path}:1", problem, "add them")
    return columns, rows


def read_score_table(path: Table, labels: Sequence[str] = ()) -> ScoreTable:
    """Read a file or frame of scores.

    `labels` are columns that tell a candidate's rows apart, where the file has them; all others are
    metrics. Raises InputError with the line of the fault.
    """
    columns, records = read_id_rows(path, "metric")
    present = tuple(name for name in labels if name in columns)
    metrics = tuple(name for name in columns if name not in ("id", *present))
    if not metrics:
        raise InputError(f"{path}:1", "it has no metric", "add a column of scores")
    if "" in metrics:
        raise InputError(f"{path}:1", "a column has no name", "name it, or remove it")
    line_of: dict[tuple[str, ...], int] = {}
    rows: list[dict[str, str | float]] = []
    for row in records:
        names = tuple(row.text(name) for name in ("id", *present))
        if names in line_of:
            which = "".join(f", {k} {quoted(n)}" for k, n in zip(present, names[1:], strict=True))
            spare = [label for label in labels if label not in present]
            more = f", or add a column {quoted(spare[0])}" if spare else ""
            raise InputError(
                row.where,
                f"{quoted(names[0])}{which} comes twice (before in line {line_of[names]})",
                f"keep one of the rows{more}",
            )
        line_of[names] = row.line
        values = {name: row.number(name) for name in metrics}
        rows.append({**dict(zip(("id", *present), names, strict=True)), **values})
    if not rows:
        raise InputError(path, "it has no row", "add one for each candidate")
    return ScoreTable(path, pd.DataFrame(rows), present, metrics)
