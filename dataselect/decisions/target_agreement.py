"""How well rankings by proxies agree with targets whose accuracy is known.

This is the only way to know what a ranking is worth in a given setting: rank candidates whose
target accuracy is known, and count the pairs that come out in the right order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataselect.decisions.agreement import Agreement, decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.errors import InputError
from dataselect.formats.column_names import better_when, no_metrics
from dataselect.formats.score_table import read_id_rows
from dataselect.wording import quoted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TargetAgreement:
    """Agreement of each metric's ranking with known target accuracies."""

    target: Mapping[str, float]
    """Mean accuracy over benchmarks in 0..1, by candidate with a score and a known target."""
    by_metric: Mapping[str, Agreement]
    """Agreement of the ranking by each metric, over the candidates of `target`."""

    @property
    def pairs(self) -> int:
        """Pairs of candidates compared."""
        return next(iter(self.by_metric.values())).pairs


def read_target_table(path: Path) -> dict[str, dict[str, float]]:
    """Accuracies in 0..1 by candidate and benchmark, from a CSV file.

    The file has a column `id` and one column of accuracies in 0..1 for each benchmark. Raises
    InputError with the line at fault.
    """
    columns, rows = read_id_rows(path, "benchmark", "check the path in 'evidence'")
    others = [name for name in columns if name != "id"]
    wrong = [*no_metrics(others), *(name for name in others if better_when(name) == "lower")]
    if wrong:
        problem = f"column {quoted(wrong[0])} is no accuracy by its name"
        raise InputError(f"{path}:1", problem, "leave it out, or rename one that is an accuracy")
    accuracies: dict[str, dict[str, float]] = {}
    for row in rows:
        name = row.text("id")
        if name in accuracies:
            raise InputError(row.where, f"{name!r} comes twice", "keep one of the rows")
        values = {column: row.number(column) for column in others}
        if not all(0 <= value <= 1 for value in values.values()):
            raise InputError(row.where, "an accuracy is not a number from 0 to 1", "fix the row")
        accuracies[name] = values
    return accuracies


def mean_accuracy(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Each candidate's mean over benchmarks, from accuracies by candidate and benchmark."""
    return {name: sum(values.values()) / len(values) for name, values in table.items()}


def read_target_accuracy(path: Path) -> dict[str, float]:
    """Each candidate's accuracy in 0..1, averaged over benchmarks, from a CSV file.

    As `read_target_table`.
    """
    return mean_accuracy(read_target_table(path))


def target_agreement(
    target: Mapping[str, float],
    by_metric: Mapping[str, "pd.Series"],
    bootstrap: Bootstrap,
) -> TargetAgreement | None:
    """Compare each metric's aggregate (lower is better) with the known target accuracies.

    None if fewer than three candidates have a known accuracy, or all have the same.
    """
    import pandas as pd

    first = next(iter(by_metric.values()))
    known = [name for name in first.index if name in target]
    if len(known) < 3 or len({target[name] for name in known}) == 1:
        return None
    truth = pd.Series({name: target[name] for name in known})
    return TargetAgreement(
        dict(truth),
        {
            metric: decision_accuracy(scores[known], truth, bootstrap=bootstrap)
            for metric, scores in by_metric.items()
        },
    )
