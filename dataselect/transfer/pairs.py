"""The table that a transfer function is fitted on: a proxy's score and a target's accuracy, paired.

A CSV file with the columns benchmark, metric and accuracy; tokens, group, chance and label_nll are
optional. A row is one checkpoint of the proxy and the target's at equal tokens; a group is one
dataset, whose rows are checkpoints of a run or seeds of one. Other columns are not read.

Accuracies are in percent or in 0..1, the same for all rows of a file: one value above 1 means
percent. The unit is reported, with a note where the values could mean the other. Rows without a
score or an accuracy were not measured; they are left out and counted.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.formats.csvfile import Row, read_csv
from dataselect.formats.in_memory import Table
from dataselect.formats.row_conditions import check_rows_alike
from dataselect.formats.shares import mixed_units

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_NEEDED = ("benchmark", "metric", "accuracy")
_OPTIONAL = ("tokens", "group", "chance", "label_nll")
_NUMBERS = ("metric", "accuracy", "tokens", "chance", "label_nll")
_WIDEST = 1e6
"""Ratio of tokens above which they are likely in two units, such as billions and ones."""


@dataclass(frozen=True)
class Pairs:
    """The n pairs of one benchmark."""

    benchmark: str
    """Benchmark id."""
    metric: Array
    """The proxy's scores, shape (n,)."""
    accuracy: Array
    """The target's accuracies in 0..1, shape (n,)."""
    tokens: Array
    """Training tokens, shape (n,); nan where unknown."""
    groups: tuple[str, ...]
    """The dataset of each pair; empty text if not given."""
    chance: float | None
    """Accuracy of guessing in 0..1; None if not given."""
    label_nll: Array | None = None
    """Another score of the proxy, its NLL of the benchmark's label, shape (n,); None if not given
    for each pair."""

    def __len__(self) -> int:
        return len(self.metric)

    def take(self, rows: Index) -> "Pairs":
        """These rows alone, in the order given."""
        return Pairs(
            self.benchmark,
            self.metric[rows],
            self.accuracy[rows],
            self.tokens[rows],
            tuple(self.groups[i] for i in rows),
            self.chance,
            None if self.label_nll is None else self.label_nll[rows],
        )


@dataclass(frozen=True)
class PairsFile:
    """The pairs of all benchmarks of a file."""

    benchmarks: Mapping[str, Pairs]
    """By benchmark id."""
    unit: str
    """Unit of the accuracies in the file: "fraction" or "percent"."""
    notes: tuple[str, ...]
    """Rows left out, and doubts about units."""


@dataclass(frozen=True)
class _Pair:
    where: str
    benchmark: str
    group: str
    metric: float
    accuracy: float
    tokens: float
    chance: float
    label_nll: float


def read_pairs(path: Table) -> PairsFile:
    """Read a table of pairs from a file or a frame.

    Raises InputError with file and line for a missing column, a value that is not a number, an
    accuracy outside 0..100, two chance levels of one benchmark, a pair that comes twice, accuracies
    of one benchmark in two units, and rows that say that they were measured differently.
    """
    columns, lines = _lines(path)
    rows = [_pair(line) for line in lines]
    measured = [row for row in rows if not math.isnan(row.metric + row.accuracy)]
    if not measured:
        raise InputError(path, "it holds no pair", "write a row per pair of checkpoints")
    notes = []
    if len(measured) < len(rows):
        left_out = len(rows) - len(measured)
        notes.append(f"rows left out because score or accuracy is empty: {left_out}")
    for name in dict.fromkeys(row.benchmark for row in measured):
        same = [line for line in lines if line.cells["benchmark"] == name]
        notes += check_rows_alike(columns, same, name)
        _check_repeats([row for row in measured if row.benchmark == name])
    scale, unit, doubts = _unit(measured)
    chance_scale, chance_doubts = _chance_scale(measured, scale)
    by_benchmark: dict[str, list[_Pair]] = {}
    for row in sorted(measured, key=_place):
        by_benchmark.setdefault(row.benchmark, []).append(row)
    by_benchmark = {row.benchmark: by_benchmark[row.benchmark] for row in measured}
    benchmarks = {
        name: _pairs(name, of_one, scale, chance_scale) for name, of_one in by_benchmark.items()
    }
    notes += [note for pairs in benchmarks.values() for note in _token_doubts(pairs)]
    return PairsFile(benchmarks, unit, (*notes, *doubts, *chance_doubts))


def _token_doubts(pairs: Pairs) -> list[str]:
    """A note where some of a benchmark's pairs lack their tokens, which changes what is fitted."""
    unknown = int(np.isnan(pairs.tokens).sum())
    if not 0 < unknown < len(pairs.tokens):
        return _order_doubts(pairs)
    which = f"{pairs.benchmark}: {unknown} of {len(pairs.tokens)} pairs have no tokens"
    return [
        f"{which}, so their scores are not averaged with those of neighbouring checkpoints, and "
        "tokens alone are not compared"
    ]


def _order_doubts(pairs: Pairs) -> list[str]:
    """Notes where tokens do not order a run's checkpoints, or are in two units."""
    if np.isnan(pairs.tokens).any():
        return []
    notes = []
    points = list(zip(pairs.groups, pairs.tokens.tolist(), strict=True))
    unnamed = [tokens for group, tokens in points if not group]
    if again := len(unnamed) - len(set(unnamed)):
        notes.append(
            f"{pairs.benchmark}: {again} of {len(points)} pairs have the tokens of another pair of"
            " their run, so scores of that run are not averaged; give each dataset its own 'group'"
        )
    seeds = sum(count > 1 and bool(point[0]) for point, count in Counter(points).items())
    if seeds:
        notes.append(
            f"{pairs.benchmark}: {seeds} checkpoints have several pairs, averaged as their seeds"
        )
    if pairs.tokens.max() > _WIDEST * pairs.tokens.min():
        notes.append(
            f"{pairs.benchmark}: tokens are from {pairs.tokens.min():g} to {pairs.tokens.max():g}:"
            " are they all in one unit?"
        )
    return notes


def _place(row: _Pair) -> tuple[object, ...]:
    """Where a row belongs whatever the order of the file: by run, tokens and score."""
    tokens = -1.0 if math.isnan(row.tokens) else row.tokens
    return row.group, tokens, row.metric, row.accuracy


def _check_repeats(rows: Sequence[_Pair]) -> None:
    """Raise InputError for a row that is another again: it would count as more evidence."""
    seen: dict[tuple[str, float, float, float], _Pair] = {}
    for row in rows:
        key = (row.group, row.tokens, row.metric, row.accuracy)
        if math.isnan(row.tokens):  # coarse scores may be equal by chance
            continue
        if key in seen:
            before = seen[key].where.rpartition(":")[2]
            raise InputError(
                row.where,
                f"the pair of {row.benchmark} comes twice (before in line {before})",
                "keep one of the rows",
            )
        seen[key] = row


def _lines(path: Table) -> tuple[tuple[str, ...], list[Row]]:
    columns, rows = read_csv(path, "check its name", any_case=True)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise InputError(
            f"{path}:1",
            f"no column {', '.join(missing)}",
            f"the columns are {', '.join(_NEEDED)}; optional {', '.join(_OPTIONAL)}",
        )
    return columns, rows


def _pair(row: Row) -> _Pair:
    numbers = {name: row.number(name) for name in _NUMBERS}
    if numbers["tokens"] <= 0:
        raise InputError(row.where, "tokens are not above 0", "give the tokens trained on")
    return _Pair(row.where, row.text("benchmark"), row.cells.get("group", ""), **numbers)


def _unit(rows: Sequence[_Pair]) -> tuple[float, str, list[str]]:
    for row in rows:
        if not 0 <= row.accuracy <= 100:
            raise InputError(
                row.where,
                f"accuracy {row.accuracy:g} is neither a share nor a percentage",
                "give 0 to 1 or 0 to 100",
            )
    for name in dict.fromkeys(row.benchmark for row in rows):
        mixed = [row for row in rows if row.benchmark == name]
        if problem := mixed_units([row.accuracy for row in mixed]):
            raise InputError(
                next(row.where for row in mixed if 0 < row.accuracy <= 1),
                f"accuracies of {name} seem to mix percentages and shares: {problem}",
                "write all as shares (if all are percentages, divide them by 100)",
            )
    highest: dict[str, float] = {}
    for row in rows:
        highest[row.benchmark] = max(highest.get(row.benchmark, 0.0), row.accuracy)
    if max(highest.values()) <= 1:
        return 1.0, "fraction", []
    small = [name for name, value in highest.items() if 0 < value <= 1]
    doubts = []
    if small:
        doubts.append(
            f"accuracies were taken as percent, but those of {', '.join(small)} are all at most 1: "
            "if they are fractions, give all in one unit"
        )
    elif max(highest.values()) < 2:
        doubts.append("accuracies were taken as percent because some are above 1, but all are < 2")
    return 100.0, "percent", doubts


def _chance_scale(rows: Sequence[_Pair], scale: float) -> tuple[float, list[str]]:
    highest = max((row.chance for row in rows if not math.isnan(row.chance)), default=0.0)
    chance_scale = 100.0 if highest > 1 else 1.0
    if chance_scale == scale or not highest:
        return chance_scale, []
    units = {1.0: "fractions", 100.0: "percent"}
    note = f"chance was taken as {units[chance_scale]}, though accuracies are {units[scale]}"
    return chance_scale, [note]


def _pairs(name: str, rows: Sequence[_Pair], scale: float, chance_scale: float) -> Pairs:
    chance: float | None = None
    for row in rows:
        if math.isnan(row.chance):
            continue
        value = row.chance / chance_scale
        if not 0 <= value < 1:
            raise InputError(row.where, "chance is not within 0..1", "fix it")
        if chance is not None and value != chance:
            raise InputError(row.where, f"{name} has two chance levels", "give one for a benchmark")
        chance = value
    label = np.array([row.label_nll for row in rows])
    return Pairs(
        name,
        np.array([row.metric for row in rows]),
        np.array([row.accuracy for row in rows]) / scale,
        np.array([row.tokens for row in rows]),
        tuple(row.group for row in rows),
        chance,
        None if np.isnan(label).any() else label,
    )
