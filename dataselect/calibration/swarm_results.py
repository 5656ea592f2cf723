"""Results files of a swarm's runs as a table of metrics: a row for each run, a column for a task.

A folder holds the files of all runs, each below a folder with its run's name
(`run-001/**/results_*.json`, or `*metrics.json` of OLMES). Every task counts that at least half of
the runs have, but not the members of a group that has metrics itself. Of a task's metrics one is
taken, the same for all runs: an accuracy as in a calibration, or where lower is better bits per
byte or a perplexity. Runs that were evaluated differently are refused.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataselect.calibration.conditions import check_alike
from dataselect.calibration.results_file import METRICS, Results, accuracy_of, read_results
from dataselect.errors import InputError
from dataselect.wording import natural, quoted

_LOSSES = (
    "bits_per_byte,none",
    "bits_per_byte",
    "bits_per_byte_corr",
    "byte_perplexity,none",
    "word_perplexity,none",
    "perplexity,none",
)
"""Metrics that are better when lower, the likeliest first."""
_SHOWN = 5


@dataclass(frozen=True)
class SwarmResults:
    """Metrics of runs."""

    values: Mapping[str, Mapping[str, float]]
    """By run and task."""
    tasks: tuple[str, ...]
    """Tasks that are read, in order."""
    notes: tuple[str, ...]
    """What was chosen, and what the files do not say."""


def read_swarm_results(folder: Path, runs: Iterable[str], lower_is_better: bool) -> SwarmResults:
    """The metrics of the runs whose results lie in a folder.

    Raises InputError for a file that cannot be read, one run's files that contradict each other,
    runs that were evaluated differently, and a folder without results of any run.
    """
    files, notes = _find(folder, set(runs))
    metric_of, rare = _metrics(folder, files, lower_is_better)
    if rare:
        notes.append(f"tasks that fewer than half of the runs have, left out: {_few(rare)}")
    values: dict[str, dict[str, float]] = {run: {} for run in files}
    same: dict[str, list[str]] = {}
    by_metric: dict[str, list[str]] = {}
    for task, metric in metric_of.items():
        having: list[Results] = []
        for run, results in files.items():
            there = [file for file in results if _value(file, task, metric) is not None]
            if there:
                values[run][task] = _only_value(run, there, task, metric)
            having += there
        for note in check_alike(task, [f.measured_with((task,), metric) for f in having]):
            same.setdefault(note.removeprefix(f"{task}: "), []).append(task)
        by_metric.setdefault(metric, []).append(task)
    notes += [f"{quoted(metric)} of {_few(tasks)}" for metric, tasks in by_metric.items()]
    notes += [f"{_few(tasks)}: {note}" for note, tasks in same.items()]
    return SwarmResults(values, tuple(metric_of), tuple(notes))


def _metrics(
    folder: Path, files: Mapping[str, Sequence[Results]], lower_is_better: bool
) -> tuple[dict[str, str], list[str]]:
    """The metric of each task that counts, and the tasks that too few runs have."""
    usual = _LOSSES if lower_is_better else METRICS
    having: dict[str, Counter[str]] = {}
    for results in files.values():
        members = {task for file in results for task in file.in_groups}
        for task in {task for file in results for task in file.tasks} - members:
            present = {name for file in results for name in file.metrics(task)}
            having.setdefault(task, Counter()).update(m for m in usual if m in present)
    metric_of, rare = {}, []
    for task, counts in sorted(having.items()):
        most = max(counts.values(), default=0)
        if 2 * most >= len(files):
            metric_of[task] = next(metric for metric in usual if counts[metric] == most)
        elif most:
            rare.append(task)
    if not metric_of:
        what = "that is better when lower" if lower_is_better else "that is an accuracy"
        other = "leave out --lower-is-better" if lower_is_better else "give --lower-is-better"
        raise InputError(
            folder,
            f"half of its {len(files)} runs have no task with a metric {what} "
            f"(tasks: {_few(sorted(having))})",
            f"{other}, or a table of metrics",
        )
    return metric_of, rare


def _only_value(run: str, files: Sequence[Results], task: str, metric: str) -> float:
    """The value that all these files of a run have. Raises InputError where they differ."""
    first = _value(files[0], task, metric)
    assert first is not None, "files without it are left out before"
    for file in files[1:]:
        other = _value(file, task, metric)
        if other != first:
            raise InputError(
                file.path,
                f"it says {other:g} for {task} of {run}, and {files[0].path.name} says {first:g}",
                "leave one of the files out",
            )
    return first


def _value(file: Results, task: str, metric: str) -> float | None:
    if metric in METRICS:
        return accuracy_of(file, (task,), metric)
    return file.metrics(task).get(metric)


def _find(folder: Path, runs: set[str]) -> tuple[dict[str, list[Results]], list[str]]:
    """The files by run, and a note on those of no run."""
    paths = sorted({*folder.rglob("results_*.json"), *folder.rglob("*metrics.json")})
    found: dict[str, list[Results]] = {}
    strangers: dict[str, None] = {}
    for path in paths:
        place = path.relative_to(folder).parts[:-1]
        run = next((name for name in place if name in runs), None)
        if run is None:
            strangers[place[0] if place else path.name] = None
        else:
            found.setdefault(run, []).append(read_results(path, folder))
    if not found:
        there = f"; it has {_few(list(strangers))}" if strangers else ""
        raise InputError(
            folder,
            f"it has no results of a run of the swarm{there}",
            "put results_*.json or *metrics.json into a folder with the run's name",
        )
    notes = [f"{folder.name}: of no run, left out: {_few(list(strangers))}"] if strangers else []
    return {run: found[run] for run in sorted(found, key=natural)}, notes


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
