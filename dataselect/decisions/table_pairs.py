"""Which columns of two score tables are compared, and over which candidates.

A proxy metric is compared with the target column of the same name; else, if either table has only
one column, that column is compared with each of the other's. Scores by counting words are compared
with the column of their benchmark, or with all. Candidates that only one table has are
left out. Notes list what is left out.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.formats.column_names import better_when, counting_column
from dataselect.formats.score_table import ScoreTable
from dataselect.formats.shares import check_one_unit
from dataselect.units import parse_count
from dataselect.wording import quoted

Array = NDArray[np.float64]

FEWEST = 3
"""Fewest candidates that are compared."""


def paired_columns(
    proxy: ScoreTable, target: ScoreTable, notes: list[str]
) -> list[tuple[str, str]]:
    """Pairs of a proxy metric and a target column, in the order of the files.

    Unpaired columns are added to `notes`. Raises InputError when no columns match.
    """
    pairs: list[tuple[str, str]] = []
    own = [metric for metric in proxy.metrics if counting_column(metric) is None]
    for metric in proxy.metrics:
        counted = counting_column(metric)
        benchmark = None if counted is None else counted.benchmark
        if metric in target.metrics:
            pairs.append((metric, metric))
        elif benchmark is not None and benchmark in target.metrics:
            pairs.append((metric, benchmark))
        elif counted is not None or len(target.metrics) == 1 or len(own) == 1:
            pairs += [(metric, column) for column in target.metrics]
    if not pairs:
        raise InputError(
            target.path,
            f"none of its columns ({names_of(target.metrics)}) has the name of a proxy metric"
            f" ({names_of(proxy.metrics)})",
            "name one column with --only or --target-only, or rename those that belong together",
        )
    if any(metric == column for metric, column in pairs):
        for column in target.metrics:
            if others := [
                metric for metric, to in pairs if to == column != metric and metric in own
            ]:
                notes.append(f"compared with {quoted(column)}, not their own: {names_of(others)}")
    for table, used in ((proxy, {m for m, _ in pairs}), (target, {c for _, c in pairs})):
        if left := [name for name in table.metrics if name not in used]:
            notes.append(f"{table.path.name}: not compared, without a partner: {names_of(left)}")
    return pairs


def shared_candidates(proxy: ScoreTable, target: ScoreTable, notes: list[str]) -> list[str]:
    """Candidates of both tables, by name, so that the order of rows changes no random draw.

    Others are added to `notes`. Raises InputError when fewer than three are shared.
    """
    for table, other in ((proxy, target), (target, proxy)):
        elsewhere = set(other.ids)
        if left := [name for name in table.ids if name not in elsewhere]:
            notes.append(f"{candidates_of(left)} only in {table.path.name} left out")
    in_target = set(target.ids)
    shared = sorted(name for name in proxy.ids if name in in_target)
    if len(shared) < FEWEST:
        raise InputError(
            proxy.path,
            f"{len(shared)} of its {len(proxy.ids)} candidates are in {target.path.name}",
            f"give at least {FEWEST} with the same id in both",
        )
    return shared


def sizes_of(table: ScoreTable) -> list[str]:
    """Rising sizes of a table, in the order of the file if they are not numbers; empty without."""
    if "size" not in table.labels:
        return []
    sizes = list(dict.fromkeys(table.texts["size"]))
    try:
        return sorted(sizes, key=parse_count)
    except ValueError:
        return sizes


def by_seed(table: ScoreTable, column: str, size: str | None, ids: Sequence[str]) -> Array:
    """Values as candidates x seeds (one column without seeds), NaN where a value is missing.

    Candidates are those of `ids`, in that order; seeds are sorted as text.
    """
    names, values = table.texts["id"], table.values[column]
    sizes = table.texts["size"] if size is not None else [None] * len(names)
    runs = [run for run, own in enumerate(sizes) if own == size]
    seeds = table.texts.get("seed", [""] * len(names))
    row_of = {name: row for row, name in enumerate(ids)}
    column_of = {seed: each for each, seed in enumerate(sorted({seeds[run] for run in runs}))}
    found = np.full((len(ids), len(column_of)), np.nan)
    for run in runs:
        if names[run] in row_of:
            found[row_of[names[run]], column_of[seeds[run]]] = values[run]
    return found


def check_units(table: ScoreTable, columns: Collection[str]) -> None:
    """Raise InputError for a column with percentages in some rows and shares in others."""
    for name in table.metrics:
        if name in columns and better_when(name) != "lower":
            known = [value for value in table.values[name] if not math.isnan(value)]
            check_one_unit(table.path, name, known)


def candidates_of(names: Sequence[str]) -> str:
    """How many candidates, and the first of their names."""
    return f"{len(names)} candidate" + ("s" if len(names) > 1 else "") + f" ({names_of(names)})"


def names_of(names: Sequence[str]) -> str:
    """The first five names, quoted."""
    return ", ".join(map(quoted, names[:5])) + (", …" if len(names) > 5 else "")
