"""Several models side by side: a row for each model, a column for each benchmark.

Each headline metric is a table of its own, since metrics have different units; on a single
benchmark the metrics are the columns of one table. What is wider than the terminal goes on in
further tables with the same rows. The same tables are written as Markdown and as JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from dataselect.formats.column_names import better_when
from dataselect.report import markdown
from dataselect.report.console import plain_table
from dataselect.report.output import ELSEWHERE
from dataselect.report.tables.score_frames import (
    HEADLINES,
    MASK_HEADLINES,
    Mean,
    headline,
    metrics_of,
    number_text,
    stamp,
)
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.store import write_atomic
from dataselect.store.files import writing
from dataselect.wording import one_line

STAR = "* the best mean in its column"
_GAP = 3
"""Columns of a terminal between two columns of a table."""


@dataclass(frozen=True)
class MetricTable:
    """A metric of several models on several benchmarks."""

    key: str
    """Its key among the headline metrics."""
    heading: str
    """Its name for people."""
    better: Literal["lower", "higher"]
    """Which values are better."""
    means: Mapping[str, Mapping[str, Mean]]
    """By model and benchmark; a benchmark that a model has no value on is not there."""

    def best(self, benchmark: str) -> set[str]:
        """The models with the best mean on a benchmark, as it is shown; none where all are."""
        shown = {
            model: round(row[benchmark][0], 3)
            for model, row in self.means.items()
            if benchmark in row
        }
        if len(set(shown.values())) < 2:
            return set()
        end = min(shown.values()) if self.better == "lower" else max(shown.values())
        return {model for model, value in shown.items() if value == end}


def metric_tables(
    models: Sequence[str], scores: Sequence[BenchmarkScores], headings: Mapping[str, str]
) -> list[MetricTable]:
    """A table for each metric of `headings` that any model has a value of; names are unique."""
    of_models = [[metrics_of(each, number) for each in scores] for number in range(len(models))]
    made = []
    for key, heading in headings.items():
        means: dict[str, dict[str, Mean]] = {}
        for model, metrics in zip(models, of_models, strict=True):
            found = {
                each.evaluation.benchmark.id: headline(key, each, own)
                for each, own in zip(scores, metrics, strict=True)
            }
            means[model] = {name: mean for name, mean in found.items() if mean is not None}
        if any(means.values()):
            better: Literal["lower", "higher"] = (
                "higher" if better_when(key) == "higher" else "lower"
            )
            made.append(MetricTable(key, heading, better, means))
    return made


def print_matrix(
    models: Sequence[str],
    scores: Sequence[BenchmarkScores],
    headings: Mapping[str, str],
    console: Console,
) -> bool:
    """Print the tables of the metrics; returns whether there is one."""
    tables = metric_tables(models, scores, headings)
    benchmarks = {each.evaluation.benchmark.id: len(each.tables[0]) for each in scores}
    if len(benchmarks) == 1 and tables:
        ((name, items),) = benchmarks.items()
        columns = {each.heading: _cells(each, name) for each in tables}
        _print_columns(f"{name}, {items} items", models, columns, console)
        return True
    for table in tables:
        columns = {
            f"{name}\nn = {items}": _cells(table, name) for name, items in benchmarks.items()
        }
        _print_columns(f"{table.heading} ({table.better} is better)", models, columns, console)
    return bool(tables)


def write_tables(
    models: Sequence[str], scores: Sequence[BenchmarkScores], when: datetime, out: Path
) -> list[Path]:
    """Write `table_DATE.md` and `table_DATE.json` into `out`; returns them."""
    tables = metric_tables(models, scores, {**HEADLINES, **MASK_HEADLINES})
    items = {each.evaluation.benchmark.id: len(each.tables[0]) for each in scores}
    content = {
        "schema": 1,
        "items": items,
        "metrics": {each.key: _as_json(each) for each in tables},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    paths = [out / f"table_{stamp(when)}.md", out / f"table_{stamp(when)}.json"]
    for path, written in zip(paths, (_as_markdown(models, items, tables), text), strict=True):
        with writing(path, ELSEWHERE):
            write_atomic(path, written.encode())
    return paths


def _as_json(table: MetricTable) -> dict[str, object]:
    return {
        "name": table.heading,
        "higher_is_better": table.better == "higher",
        "models": {
            model: {
                name: {"mean": mean, "stderr": error, "items": count}
                for name, (mean, error, count) in row.items()
            }
            for model, row in table.means.items()
        },
    }


def _as_markdown(
    models: Sequence[str], items: Mapping[str, int], tables: Sequence[MetricTable]
) -> str:
    parts = ["# Scores", f"Mean ± standard error over items; {markdown.escape(STAR)}."]
    for table in tables:
        head = ["model", *(f"{markdown.escape(name)}, n = {n}" for name, n in items.items())]
        columns = [_cells(table, name) for name in items]
        rows = [
            [markdown.escape(model), *(column[model].replace("*", "\\*") for column in columns)]
            for model in models
        ]
        parts.append(f"## {markdown.escape(table.heading)} ({table.better} is better)")
        parts.append(markdown.table(head, rows, " " + "r" * len(items)))
    return "\n\n".join(parts) + "\n"


def _cells(table: MetricTable, benchmark: str) -> dict[str, str]:
    """By model, its mean on a benchmark with the standard error; the best has a star."""
    best = table.best(benchmark)
    cells = {}
    for model, row in table.means.items():
        mean = row.get(benchmark)
        if mean is None:
            cells[model] = "–"
            continue
        star = "*" if model in best else ""
        cells[model] = f"{star}{number_text(mean[0])} ±{number_text(mean[1])}"
    return cells


def _print_columns(
    title: str, models: Sequence[str], columns: Mapping[str, Mapping[str, str]], console: Console
) -> None:
    """Print columns of cells by model, in as many tables as the terminal's width asks for."""
    names = {model: one_line(model) for model in models}
    first = max(len("model"), min(max(map(len, names.values())), console.width // 3))
    parts: list[list[str]] = [[]]
    left = console.width - first
    for heading, cells in columns.items():
        lines = [*heading.split("\n"), *cells.values()]
        width = max(map(len, lines)) + _GAP
        if width > left and parts[-1]:
            parts.append([])
            left = console.width - first
        parts[-1].append(heading)
        left -= width
    for number, part in enumerate(parts, start=1):
        of = f", {number} of {len(parts)}" if len(parts) > 1 else ""
        console.print(Text(one_line(f"{title}{of}"), style="bold"))
        table = plain_table()
        table.add_column("model", width=first, overflow="fold")
        for heading in part:
            shown = "\n".join(one_line(line) for line in heading.split("\n"))
            table.add_column(Text(shown), justify="right", overflow="fold")
        for model, name in names.items():
            table.add_row(Text(name), *(Text(columns[heading][model]) for heading in part))
        console.print(table)
        console.print()
