"""Read scores from a CSV file: an `id` column, a column for each metric, a row for each run.

For people who trained elsewhere and have a spreadsheet. Other columns may be labels that tell
several runs of a candidate apart, such as the seed. Columns that are no metric by their name
(`column_names`), or only number the rows, are left out with a note. Missing values are kept as NaN
for the caller.

A seed and a size may be written in several ways: `4M` and `4000000` are one size, and of two rows
that differ in nothing else one is a repeat.

Not covered: what the numbers mean, and whether higher is better.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dataselect.errors import InputError
from dataselect.formats.column_names import counters, left_out_note, no_metrics
from dataselect.formats.csvfile import Row, plain_number, read_csv
from dataselect.formats.in_memory import Table
from dataselect.formats.row_conditions import differing
from dataselect.units import parse_count
from dataselect.wording import quoted


@dataclass(frozen=True)
class ScoreTable:
    """Scores of runs, as read from a file."""

    path: Table
    """Where the scores come from."""
    texts: Mapping[str, Sequence[str]]
    """The columns `id` and labels, by name; a cell for each run, in the order of the file."""
    values: Mapping[str, Sequence[float]]
    """The columns of metrics, by name, likewise; NaN where a value is missing."""
    labels: tuple[str, ...]
    """Label columns in the file."""
    metrics: tuple[str, ...]
    """Metric columns in the file."""
    left_out: tuple[str, ...] = ()
    """Columns in the file that are no metrics."""
    doubts: tuple[str, ...] = ()
    """What the file says against comparing its rows."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns were left out, and the doubts."""
        columns = (left_out_note(self.path, self.left_out),) if self.left_out else ()
        return (*columns, *self.doubts)

    @property
    def ids(self) -> list[str]:
        """Candidates in the order of the file, without repeats."""
        return list(dict.fromkeys(self.texts["id"]))


def read_id_rows(
    path: Table, column_for: str, fix: str = "check the path"
) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a file with a column `id` and at least one more.

    `column_for` says what the others are for, such as "metric". Raises InputError.
    """
    columns, rows = read_csv(path, fix)
    if "id" not in columns or len(columns) < 2:
        problem = f"it needs a column 'id' and one for each {column_for}"
        there = ", ".join(map(quoted, columns[:5])) + (", …" if len(columns) > 5 else "")
        fix = "add one" if "id" in columns else "call the column of the candidates' names 'id'"
        raise InputError(f"{path}:1", f"{problem}, and has {there}", fix)
    return columns, rows


def read_score_table(
    path: Table, labels: Sequence[str] = (), wanted: Collection[str] = ()
) -> ScoreTable:
    """Read a file or frame of scores.

    `labels` are columns that tell a candidate's rows apart, where the file has them; all others are
    metrics, unless their names say that they are none. Those in `wanted` are metrics in any case.
    Raises InputError with the line of the fault.
    """
    columns, records = read_id_rows(path, "metric")
    present = tuple(name for name in labels if name in columns)
    others = tuple(name for name in columns if name not in ("id", *present))
    if not others:
        raise InputError(f"{path}:1", "it has no metric", "add a column of scores")
    if "" in others:
        raise InputError(f"{path}:1", "a column has no name", "name it, or remove it")
    left_out = [name for name in no_metrics(others) if name not in wanted]
    metrics = tuple(name for name in others if name not in left_out)
    if not metrics:
        shown = ", ".join(map(quoted, left_out[:5]))
        fix = "add a column of scores, or rename one that is a metric"
        raise InputError(f"{path}:1", f"it has no metric by its names ({shown})", fix)
    line_of: dict[tuple[str, ...], int] = {}
    written: dict[tuple[str, str], str] = {}
    texts: dict[str, list[str]] = {name: [] for name in ("id", *present)}
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for row in records:
        names = [row.text("id")]
        for label in present:
            # The first way to write a size or seed stands for all ways.
            text = row.text(label)
            names.append(written.setdefault((label, _meaning(label, text)), text))
        if tuple(names) in line_of:
            which = "".join(f", {k} {quoted(row.text(k))}" for k in present)
            spare = [label for label in labels if label not in present]
            more = f", or add a column {quoted(spare[0])}" if spare else ""
            raise InputError(
                row.where,
                f"{quoted(names[0])}{which} comes twice (before in line {line_of[tuple(names)]})",
                f"keep one of the rows{more}",
            )
        line_of[tuple(names)] = row.line
        for column, name in zip(texts.values(), names, strict=True):
            column.append(name)
        for metric in metrics:
            values[metric].append(row.number(metric))
    if not records:
        raise InputError(path, "it has no row", "add one for each candidate")
    numbering = [name for name in counters(values) if name not in wanted]
    left_out += numbering
    values = {name: column for name, column in values.items() if name not in numbering}
    doubts = tuple(f"{path.name}: {note}" for note in differing(others, records))
    return ScoreTable(path, texts, values, present, tuple(values), tuple(left_out), doubts)


def _meaning(label: str, text: str) -> str:
    """The text that equal sizes, and equal seeds, have in common."""
    if label == "size":
        try:
            return str(parse_count(text))
        except ValueError:
            return text
    number = plain_number(text) if label == "seed" else math.nan
    return str(int(number)) if number.is_integer() else text
