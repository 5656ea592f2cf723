"""Whether the rows of a table say that they were measured alike.

A table may have columns that say how its numbers were measured: `num_fewshot`, `limit`, `filter`.
Rows that differ there hold numbers of different things, which must not be compared.

Not covered: what a table does not say.
"""

import math
from collections import Counter
from collections.abc import Sequence

from dataselect.errors import InputError
from dataselect.formats.column_names import conditions
from dataselect.formats.csvfile import Row, plain_number
from dataselect.wording import quoted


def check_rows_alike(columns: Sequence[str], rows: Sequence[Row], of: str) -> list[str]:
    """Notes on rows that leave out what others say. Raises InputError where two rows differ.

    `of` is what all rows are about, such as a benchmark.
    """
    notes = []
    for column, name in conditions(columns).items():
        known: dict[str, Row] = {}
        for row in rows:
            if text := row.cells[column]:
                known.setdefault(_meaning(text), row)
        if len(known) > 1:
            one, other = list(known.values())[:2]
            raise InputError(
                other.where,
                f"its {name} for {of} is {quoted(other.cells[column])}, and that of line {one.line}"
                f" {quoted(one.cells[column])}",
                "leave one kind of rows out, or measure again alike",
            )
        empty = sum(not row.cells[column] for row in rows)
        if known and empty:
            notes.append(f"{of}: {empty} of {len(rows)} rows do not say their {name}: not compared")
    return notes


def differing(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Notes on columns that say that the rows were not all measured alike."""
    notes = []
    for column in conditions(columns):
        counts = Counter(_meaning(row.cells[column]) or "nothing" for row in rows)
        if len(counts) > 1:
            shown = ", ".join(f"{text} in {count}" for text, count in counts.most_common(4))
            notes.append(f"the rows differ in {quoted(column)} ({shown}): not measured alike")
    return notes


def _meaning(text: str) -> str:
    """The text, the same for 5 and 5.0."""
    number = plain_number(text)
    return text.casefold() if math.isnan(number) else f"{number:g}"
