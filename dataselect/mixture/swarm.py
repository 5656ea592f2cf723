"""Runs that were trained on different mixtures of the same sources, read from two CSV tables.

`ratios.csv` has a column `run` and one for each source; `metrics.csv` a column `run` and one for
each metric. Without `run` the runs are named by `run_id` or, as in RegMix's files, `index`: by the
first of these that both tables have. Columns that are no metric by their name (a seed, seconds) are
left out of the metrics with a note, and of the shares where the rows sum to 1 without them. Shares
are of the tokens trained on. They are often rounded, so a row that sums to 1
within a hundredth is scaled to 1; any other is refused. Runs that lack a metric, or are in only one
of the files, are left out and counted. A source that no run used, and a metric that is the same in
every run, are left out as well: the runs say nothing about them.

Metrics may come in several tables, each of other runs: those that all have are used.

`epochs.csv` may say how often each run read each source, in columns like those of `ratios.csv`.

Not covered: which direction of a metric is better (`direction`).
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.formats.column_names import (
    better_when,
    counters,
    is_bookkeeping,
    left_out_note,
    no_metrics,
)
from dataselect.formats.csvfile import Row, plain_number, read_csv
from dataselect.formats.in_memory import Table
from dataselect.formats.shares import check_one_unit
from dataselect.mixture.repetition import repeats, usual_rates
from dataselect.wording import natural, nearest, quoted

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST_RUNS = 8
SUM_TOLERANCE = 0.01
_SAME_EPOCHS = 0.2
"""Shares and epochs are often rounded: rates that differ by less than this are the same."""
_RUN = ("run", "run_id", "index")
"""Columns that may name the runs, the likeliest first."""
_LABELS = ("name", "index")
"""Columns that are no source and no metric; `index` where another names the runs."""


@dataclass(frozen=True)
class Swarm:
    """Runs that were trained on different mixtures of the same sources, and their metrics."""

    runs: tuple[str, ...]
    """Names of the runs."""
    sources: tuple[str, ...]
    """Names of the sources."""
    metrics: tuple[str, ...]
    """Names of the metrics."""
    shares: Array
    """Shares of the tokens, (runs, sources); each row sums to 1."""
    values: Array
    """Metrics in their own units, (runs, metrics)."""
    notes: tuple[str, ...] = field(default=())
    """What was left out or changed when reading, for the user."""
    rates: Array | None = None
    """Epochs over each source's text at a share of 1, (runs, sources); None: not known."""


def read_swarm(ratios: Table, metrics: Table, *more: Table) -> Swarm:
    """The runs that are in both tables. InputError names the file and line of what is wrong.

    `more` are tables of metrics of other runs.
    """
    key = _common_key(ratios, metrics, *more)
    sources, shares_of, notes = _read_shares(ratios, key)
    names, values_of, of_metrics = _read_all_metrics((metrics, *more), key)
    notes += of_metrics
    # Not in the order of the rows, which must not change a random draw.
    common = sorted((run for run in shares_of if run in values_of), key=natural)
    if not common:
        raise InputError(
            metrics, f"it has no run of {ratios.name}", "name runs alike in column 'run'"
        )
    where = metrics.name if not more else "the metrics"
    for name, there, other in (
        (ratios.name, shares_of, values_of),
        (where, values_of, shares_of),
    ):
        alone = [run for run in there if run not in other]
        if alone:
            notes.append(f"{_count(len(alone), 'run')} only in {name} left out: {_few(alone)}")
    complete = [run for run in common if np.isfinite(values_of[run]).all()]
    if len(complete) < len(common):
        left = [run for run in common if run not in set(complete)]
        notes.append(f"{_count(len(left), 'run')} without every metric left out: {_few(left)}")
    shares = np.array([shares_of[run] for run in complete]).reshape(-1, len(sources))
    values = np.array([values_of[run] for run in complete]).reshape(-1, len(names))
    used: Flags = np.atleast_1d((shares > 0).any(axis=0))
    varied: Flags = np.zeros(len(names), dtype=np.bool_)
    if complete:
        varied = np.atleast_1d(np.ptp(values, axis=0) > 1e-9 * np.abs(values).max(axis=0))
        idle = [name for name, keep in zip(sources, used, strict=True) if not keep]
        same = [name for name, keep in zip(names, varied, strict=True) if not keep]
        if idle:
            notes.append(f"{_count(len(idle), 'source')} used by no run, left out: {_few(idle)}")
        if same:
            what = _count(len(same), "metric")
            notes.append(f"{what} the same in every run, left out: {_few(same)}")
    sources = tuple(name for name, keep in zip(sources, used, strict=True) if keep)
    _check_enough(ratios, len(complete), len(sources), notes)
    if not varied.any():
        raise InputError(metrics, "every metric is the same in every run", "give one that varies")
    if len(sources) < 2:
        raise InputError(ratios, "one source has all the weight", "give runs that mix two or more")
    if (np.ptp(shares[:, used], axis=0) == 0).all():
        raise InputError(ratios, "every run has the same mixture", "give runs whose weights differ")
    return Swarm(
        tuple(complete),
        sources,
        tuple(name for name, keep in zip(names, varied, strict=True) if keep),
        shares[:, used],
        values[:, varied],
        tuple(notes),
    )


@dataclass(frozen=True)
class Mixtures:
    """Mixtures of a model's sources, to be predicted."""

    names: tuple[str, ...]
    """Their names."""
    shares: Array
    """Their shares, (mixtures, sources), in the order of the sources asked for."""
    notes: tuple[str, ...] = ()
    """Rows that were skipped, and what was changed when reading."""


def read_runs(path: Table) -> tuple[tuple[str, ...], Mixtures]:
    """The sources and mixtures of a table of ratios. Raises InputError with the line."""
    sources, shares_of, notes = _read_shares(path)
    shares = np.array(list(shares_of.values())).reshape(-1, len(sources))
    return sources, Mixtures(tuple(shares_of), shares, tuple(notes))


def read_shares(path: Table, sources: Sequence[str]) -> Mixtures:
    """The mixtures in a file.

    A source without a column has a share of 0. A row with a share of an unknown source is skipped
    and counted in the notes; InputError if no other row is left.
    """
    columns, shares_of, notes = _read_shares(path)
    if not shares_of:
        raise InputError(path, "it has no row", "add one for each mixture")
    unknown = [name for name in columns if name not in sources]
    beyond = {
        name: [run for run, row in shares_of.items() if row[columns.index(name)] > 0]
        for name in unknown
    }
    skipped = {run for runs in beyond.values() for run in runs}
    if skipped:
        name = next(name for name, runs in beyond.items() if runs)
        # A source that has its own column is not what the unknown one means.
        fix = nearest(name, [each for each in sources if each not in columns])
        fix = fix or f"the sources are {_few(sources)}"
        problem = f"{quoted(name)} is no source of the model"
        if len(skipped) == len(shares_of):
            raise InputError(f"{path}:1", problem, fix)
        others = [run for run in shares_of if run in skipped]
        notes.append(
            f"{_count(len(skipped), 'mixture')} of {len(shares_of)} in {path.name} skipped"
            f" ({_few(others)}): {problem}; {fix}"
        )
    kept = {run: row for run, row in shares_of.items() if run not in skipped}
    shares = np.zeros((len(kept), len(sources)))
    for i, source in enumerate(sources):
        if source in columns:
            shares[:, i] = [row[columns.index(source)] for row in kept.values()]
    return Mixtures(tuple(kept), shares, tuple(notes))


def read_epochs(path: Table, sources: Sequence[str], runs: Sequence[str], shares: Array) -> Array:
    """Epochs at a share of 1, (runs, sources), from a file of the epochs of these runs.

    A source without a column counts as unlimited text: 0. InputError for a run that is not in the
    file, and for epochs that contradict the shares.
    """
    columns, rows = _read(path, "source")
    unknown = [name for name in columns if name not in sources and not is_bookkeeping(name)]
    row_of: dict[str, Row] = {}
    for row in rows:
        _run(row, row_of)
        row_of[row.cells["run"]] = row
        for name in unknown if row.cells["run"] in runs else ():
            if row.number(name, dust=True) > 0:
                raise InputError(
                    f"{path}:1",
                    f"{quoted(name)} is no source of the runs",
                    nearest(name, sources) or f"the sources are {_few(sources)}",
                )
    missing = [run for run in runs if run not in row_of]
    if missing:
        raise InputError(
            path, f"it has no row of {_few(missing)}", "add how often each source was read"
        )
    rates = np.zeros(shares.shape)
    for i, run in enumerate(runs):
        for j, name in enumerate(sources):
            if name in columns:
                rates[i, j] = _rate(row_of[run], name, float(shares[i, j]))
    return rates


def with_epochs(swarm: Swarm, path: Table) -> Swarm:
    """The swarm with the epochs of its runs, and notes on them."""
    rates = read_epochs(path, swarm.sources, swarm.runs, swarm.shares)
    notes = list(swarm.notes)
    if not repeats(swarm.shares, rates):
        notes.append("no run reads a source more than once, so epochs change nothing")
    else:
        away = rates * swarm.shares - usual_rates(swarm.shares, rates) * swarm.shares
        if np.abs(away).max() > _SAME_EPOCHS:
            notes.append(
                "runs of the same weight read a source differently often; predictions are at the "
                "mean of the runs' epochs"
            )
    return replace(swarm, rates=rates, notes=tuple(notes))


def _rate(row: Row, source: str, share: float) -> float:
    epochs = row.number(source, dust=True)
    if not epochs >= 0:
        what = "negative" if epochs < 0 else "no number"
        problem = f"the epochs of {quoted(source)} are {what}"
    elif epochs > 0 and share == 0:
        problem = f"{quoted(source)} is read {epochs:g} times and has weight 0"
    else:
        return epochs / share if share > 0 else 0.0
    raise InputError(row.where, problem, "write how often the run read the source's text")


def _check_enough(path: Table, runs: int, sources: int, notes: list[str]) -> None:
    needed = max(FEWEST_RUNS, sources + 2)
    if runs < needed:
        raise InputError(
            path,
            f"{_count(runs, 'complete run')} for {sources} sources",
            f"give {needed} or more (better {3 * sources}), or merge sources",
        )
    if runs < 3 * sources:
        notes.append(
            f"{runs} runs for {sources} sources are few; {3 * sources} or more predict better"
        )


def _read_shares(
    path: Table, key: str | None = None
) -> tuple[tuple[str, ...], dict[str, Array], list[str]]:
    sources, rows = _read(path, "source", key)
    notes: list[str] = []
    sources, left_out = _sources_of(sources, rows)
    if left_out:
        notes.append(f"{path.name}: no source, left out: {_few(left_out)}")
    found: dict[str, Array] = {}
    largest = 0.0
    for row in rows:
        shares = np.array([row.number(name, dust=True) for name in sources])
        for name, share in zip(sources, shares, strict=True):
            if not share >= 0:
                what = "negative" if share < 0 else "empty"
                raise InputError(
                    row.where,
                    f"the weight of {quoted(name)} is {what}",
                    "write a share from 0 to 1",
                )
        total = shares.sum()
        if abs(total - 1) > SUM_TOLERANCE:
            percent = abs(total - 100) <= 100 * SUM_TOLERANCE
            raise InputError(
                row.where,
                f"the weights sum to {total:.4g}, not 1",
                "divide percentages by 100" if percent else "write shares of the tokens trained on",
            )
        largest = max(largest, abs(total - 1))
        found[_run(row, found)] = shares / total
    if largest > 1e-6:
        notes.append(f"weights scaled to sum to 1; they were off by up to {largest:.2g}")
    return sources, found, notes


def _sources_of(
    columns: tuple[str, ...], rows: Sequence[Row]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which columns are sources, and which are bookkeeping.

    A source may be called anything, so a column is bookkeeping only if its name says so and the
    others sum to 1 in every row.
    """
    doubtful = tuple(no_metrics(columns))
    sure = tuple(name for name in columns if name not in doubtful)
    if not doubtful or not sure or not rows:
        return columns, ()
    totals = (sum(plain_number(row.cells[name]) for name in sure) for row in rows)
    if all(abs(total - 1) <= SUM_TOLERANCE for total in totals):
        return sure, doubtful
    return columns, ()


def _read_all_metrics(
    tables: Sequence[Table], key: str | None
) -> tuple[tuple[str, ...], dict[str, Array], list[str]]:
    """Metrics that all tables have, in the order of the first, by run."""
    if len(tables) == 1:
        return _read_metrics(tables[0], key)
    read = [_read_metrics(table, key) for table in tables]
    notes = [note for _, _, of_table in read for note in of_table]
    names = tuple(name for name in read[0][0] if all(name in each for each, _, _ in read))
    if not names:
        raise InputError(
            f"{tables[1]}:1",
            f"it has no metric of {tables[0].name} ({_few(read[0][0])})",
            "give tables with the same metrics",
        )
    others = dict.fromkeys(name for each, _, _ in read for name in each if name not in names)
    if others:
        what = _count(len(others), "metric")
        notes.append(f"{what} not in all tables of metrics, left out: {_few(list(others))}")
    found: dict[str, Array] = {}
    for table, (columns, values_of, _) in zip(tables, read, strict=True):
        kept = [columns.index(name) for name in names]
        for run, row in values_of.items():
            if run in found:
                fix = "keep one of its rows"
                raise InputError(table, f"run {quoted(run)} is in another table too", fix)
            found[run] = row[kept]
    return names, found, notes


def _read_metrics(
    path: Table, key: str | None = None
) -> tuple[tuple[str, ...], dict[str, Array], list[str]]:
    columns, rows = _read(path, "metric", key)
    if "objective" in columns:
        raise InputError(
            f"{path}:1", "'objective' is reserved for the combined metrics", "rename it"
        )
    left_out = no_metrics(columns)
    metrics = tuple(name for name in columns if name not in left_out)
    if not metrics:
        raise InputError(
            f"{path}:1",
            f"it has no metric by its names ({_few(left_out)})",
            "add a column for each metric, or rename one that is a metric",
        )
    found: dict[str, Array] = {}
    for row in rows:
        found[_run(row, found)] = np.array([row.number(name) for name in metrics])
    values = np.array(list(found.values())).reshape(-1, len(metrics))
    for name, column in zip(metrics, values.T, strict=True):
        if better_when(name) != "lower":
            check_one_unit(path, name, column[np.isfinite(column)].tolist())
    numbering = counters(dict(zip(metrics, values.T.tolist(), strict=True)))
    left_out += numbering
    kept = [k for k, name in enumerate(metrics) if name not in numbering]
    metrics = tuple(metrics[k] for k in kept)
    found = {run: row[kept] for run, row in found.items()}
    notes = [left_out_note(path, left_out)] if left_out else []
    return metrics, found, [*notes, *_repeated(metrics, found)]


def _repeated(metrics: Sequence[str], found: Mapping[str, Array]) -> list[str]:
    """Notes on metrics that have the values of another in every run: both count in a mean."""
    first: dict[tuple[float, ...], str] = {}
    notes = []
    for k, name in enumerate(metrics):
        values = tuple(float(row[k]) for row in found.values())
        other = first.setdefault(values, name)
        if other != name and len(set(values)) > 1:
            notes.append(f"{quoted(name)} has the same values as {quoted(other)}: both count")
    return notes


def _common_key(*tables: Table) -> str | None:
    """The first column that may name runs and is in all tables; None where there is none."""
    there = [set(read_csv(table)[0]) for table in tables]
    return next((name for name in _RUN if all(name in columns for columns in there)), None)


def _read(path: Table, each: str, key: str | None = None) -> tuple[tuple[str, ...], list[Row]]:
    """Columns except run and labels, and the rows, each with its run in the cell `run`.

    `key` is the column that names the runs; by default the first that may.
    """
    columns, rows = read_csv(path)
    key = key or next((name for name in _RUN if name in columns), None)
    # Of two columns that name runs, the other is no source and no metric either.
    names = tuple(name for name in columns if name not in (key, *_LABELS, *_RUN))
    if key is None or not names:
        raise InputError(
            f"{path}:1", f"it needs a column 'run' and one for each {each}", "add them"
        )
    if "" in names:
        raise InputError(f"{path}:1", "a column has no name", "name it, or remove it")
    return names, [Row(row.where, row.line, {**row.cells, "run": row.text(key)}) for row in rows]


def _run(row: Row, found: Container[str]) -> str:
    run = row.cells["run"]
    if run in found:
        raise InputError(row.where, f"run {quoted(run)} comes twice", "keep one row of each run")
    return run


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
