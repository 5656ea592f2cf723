"""A target's accuracies by token count, and reading them from a CSV file.

`lm_eval` reads them from results of lm-evaluation-harness. Values are as in the file, in 0..1 or in
percent; `transfer.pairs` determines the unit when it reads the pairs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataselect.calibration.conditions import Conditions
from dataselect.errors import InputError
from dataselect.formats.csvfile import Row, read_csv
from dataselect.formats.row_conditions import check_rows_alike
from dataselect.units import format_count, parse_count
from dataselect.wording import nearest, quoted

_COLUMNS = ("tokens", "benchmark", "accuracy")


@dataclass(frozen=True)
class Accuracies:
    """Known accuracies of a target."""

    name: str
    """Name of the target, or of the file that its accuracies are from."""
    values: Mapping[str, Mapping[int, float]]
    """Accuracy by benchmark and token count, in the file's unit."""
    origins: Mapping[tuple[str, int], str]
    """File (and line) of the accuracy, by benchmark and token count."""
    notes: tuple[str, ...] = ()
    """What was chosen when reading."""
    measures: Mapping[str, str] = field(default_factory=dict)
    """By benchmark, which result of a harness the accuracy is, in words; empty for a table."""
    conditions: Mapping[str, Sequence[Conditions]] = field(default_factory=dict, compare=False)
    """By benchmark, what each file's accuracy was measured with; empty for a table."""


def read_accuracies(path: Path, benchmarks: Iterable[str]) -> Accuracies:
    """Accuracies of these benchmarks from a CSV file with a row for each benchmark and checkpoint.

    Raises InputError with the line at fault, when a benchmark has no accuracy at all, and when
    columns such as `num_fewshot` say that rows of a benchmark were measured differently.
    """
    columns, rows = read_csv(path)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{path}:1", f"no column {', '.join(missing)}", f"it needs {', '.join(_COLUMNS)}"
        )
    values: dict[str, dict[int, float]] = {name: {} for name in benchmarks}
    origins: dict[tuple[str, int], str] = {}
    others: set[str] = set()
    unmeasured: dict[str, int] = {}
    used: dict[str, list[Row]] = {name: [] for name in values}
    for row in rows:
        name, tokens = row.text("benchmark"), _tokens(row.text("tokens"), row.where)
        accuracy = row.number("accuracy")
        if name not in values:
            others.add(name)
            continue
        if math.isnan(accuracy):
            unmeasured[name] = unmeasured.get(name, 0) + 1
            continue
        if not 0 <= accuracy <= 100:
            raise InputError(
                row.where,
                f"accuracy {accuracy:g} is neither a share nor a percentage",
                "give 0 to 1 or 0 to 100",
            )
        if tokens in values[name]:
            before = origins[name, tokens].rpartition(":")[2]
            raise InputError(
                row.where,
                f"{name} at {format_count(tokens)} tokens comes twice (before in line {before})",
                "keep one of the rows",
            )
        used[name].append(row)
        values[name][tokens] = accuracy
        origins[name, tokens] = f"{path.name}:{row.line}"
    for name, known in values.items():
        if not known:
            fix = nearest(name, others) or f"the file has {', '.join(sorted(others)) or 'none'}"
            raise InputError(path, f"it has no accuracy of benchmark {quoted(name)}", fix)
    notes = [
        f"{path.name}: {name} has no accuracy in {count} of its rows, which are left out"
        for name, count in unmeasured.items()
    ]
    notes += [note for name in values for note in check_rows_alike(columns, used[name], name)]
    return Accuracies(path.name, values, origins, tuple(notes))


def _tokens(text: str, where: str) -> int:
    try:
        return parse_count(text)
    except ValueError as error:
        problem, _, fix = str(error).partition("; ")
        raise InputError(where, f"tokens: {problem}", fix) from None
