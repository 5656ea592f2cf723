"""`dataselect traces show`, `verify`, `export` and `compare`: look at traces, share them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes
from dataselect.cli.options import (
    DEFAULT_TRACES,
    Device,
    DeviceOption,
    FolderOption,
    LimitOption,
)
from dataselect.cli.traces import (
    BenchmarkOption,
    one_benchmark,
    report,
    say_written,
)

if TYPE_CHECKING:
    from dataselect.benchmarks.items import BenchmarkItems
    from dataselect.traces.trace import TraceSet

TraceFile = Annotated[
    str,
    typer.Argument(metavar="B", help="Benchmark with one trace file in --traces, or a file."),
]
OwnBenchmark = Annotated[
    str | None, typer.Option("--benchmark", help="YAML file of a benchmark of your own.")
]
TracesFolder = Annotated[
    Path, typer.Option("--traces", help="Folder of the project's trace files.")
]


@dataclass(frozen=True)
class _Opened:
    """A trace file with the benchmark that it is for, None where that is not at hand."""

    path: Path
    found: "TraceSet"
    benchmark: "BenchmarkItems | None"


def show(
    name: TraceFile,
    item: Annotated[
        str | None, typer.Option("--item", help="One item, its tokens shaded by weight.")
    ] = None,
    benchmark: OwnBenchmark = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Show what a trace file holds, or one trace with shaded tokens."""
    from rich.console import Console

    from dataselect.errors import InputError
    from dataselect.report.tables.trace_view import print_summary, print_trace
    from dataselect.traces.grading import grade_traces
    from dataselect.traces.summary import summarise

    with errors(), notes(report):
        opened = _open(name, traces, benchmark, folder)
        found, asked = opened.found, opened.benchmark
        if item is not None and item not in found.traces:
            left_out = {each.item: each.reason for each in found.exclusions}
            why = f": {left_out[item]}" if item in left_out else ""
            raise InputError(
                opened.path, f"it has no trace for item '{item}'{why}", "name another item"
            )
        correct: dict[str, bool | None] = {}
        if asked is not None:
            try:
                correct = grade_traces(found, asked, None if item is None else {item})
            except InputError as error:
                report(f"answers are not graded: {error}")
        console = Console()
        if item is None:
            print_summary(console, summarise(found, asked, correct or None), found.header)
            return
        known = {each.id: each for each in (*asked.items, *asked.shots)} if asked else {}
        print_trace(console, found.traces[item], known.get(item), correct.get(item))


def verify(
    name: TraceFile,
    benchmark: OwnBenchmark = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Check a trace file: form, hash, letters, fit to its benchmark."""
    from dataselect.errors import InputError
    from dataselect.traces.summary import verify as problems_of

    with errors(), notes(report):
        opened = _open(name, traces, benchmark, folder)
        problems = problems_of(opened.found, opened.benchmark)
        for problem in problems:
            typer.echo(_plain(problem))
        if problems:
            raise InputError(
                opened.path,
                f"{len(problems)} things speak against using it",
                "record the traces again",
            )
        asked = opened.benchmark
        against = "" if asked is None else f", and fits {asked.revision or asked.id}"
        typer.echo(f"{opened.path}: sound{against}; hash {opened.found.hash}")


def export(
    name: TraceFile,
    out: Annotated[Path, typer.Option("--out", help="File to share, .jsonl or .jsonl.gz.")],
    benchmark: OwnBenchmark = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Check traces and write them as one file to share."""
    from dataselect.errors import InputError
    from dataselect.store.files import sha256_of
    from dataselect.traces.summary import verify as problems_of
    from dataselect.traces.trace import write_traces

    with errors(), notes(report):
        opened = _open(name, traces, benchmark, folder)
        if not out.name.endswith((".jsonl", ".jsonl.gz")):
            raise InputError("--out", f"{out.name} is no trace file's name", "end it in .jsonl.gz")
        found, asked = opened.found, opened.benchmark
        for problem in problems_of(found, asked):
            report(_plain(problem))
        header = found.header
        if header.benchmark_revision is None and asked is not None:
            header = replace(header, benchmark_revision=asked.revision)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_traces(out, header, found.traces.values(), found.exclusions)
        say_written(out, found)
        typer.echo(f"hash of the traces {found.hash}")
        typer.echo(f"sha256 of the file {sha256_of(out)}")


def compare(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE FILE...", help="Trace files of one benchmark.")
    ],
    models: Annotated[
        list[str],
        typer.Option("--model", help="Model to rank: folder, Hub id, ID@REVISION; two or more."),
    ],
    benchmark: BenchmarkOption,
    folder: FolderOption = None,
    limit: LimitOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
) -> None:
    """Say how much the frontier model changes the ranking of models."""
    from rich.console import Console

    from dataselect.benchmarks.named import load_one
    from dataselect.compute import resolve_device
    from dataselect.errors import InputError
    from dataselect.report.tables.scores import print_comparison
    from dataselect.scoring.checkpoint import resolve_model
    from dataselect.scoring.gather import make_evaluation, recorded
    from dataselect.scoring.score_models import score_by_frontier
    from dataselect.store import Store, lock

    with errors(resume=True), notes(report):
        if len(files) < 2 or len(models) < 2:
            raise InputError(
                "traces compare",
                f"it has {len(files)} trace files and {len(models)} models",
                "name two or more of each",
            )
        kept = Store(store)
        with lock(kept.root, "the store"):
            kept.clean()
            chosen = load_one(benchmark, folder, limit, report)
            sets = recorded(files, chosen.benchmark)
            evaluation = make_evaluation(chosen.benchmark, chosen.left_out, sets, report)
            tables = score_by_frontier(
                kept,
                [resolve_model(model, "float32", kept) for model in models],
                evaluation,
                device=resolve_device(device.value),
                report=report,
            )
        print_comparison(tables, Console())


def _open(name: str, traces: Path, benchmark: str | None, folder: Path | None) -> _Opened:
    from dataselect.traces.library import resolve
    from dataselect.traces.trace import read_traces

    path = resolve(name, traces)
    found = read_traces(path)
    return _Opened(path, found, _questions(found, benchmark, folder))


def _plain(text: str) -> str:
    """On one line and without control characters: ids may hold anything."""
    from dataselect.report.numbers import one_line

    return one_line(text)


def _questions(found: "TraceSet", name: str | None, folder: Path | None) -> "BenchmarkItems | None":
    """The benchmark that traces are for, if it can be had; they can be looked at without.

    The Hub is asked only for traces that were made for its items.
    """
    from dataselect.errors import InputError

    header = found.header
    if name is None and folder is None and "@" not in (header.benchmark_revision or ""):
        report("without the questions: name their --folder or --benchmark to grade the answers")
        return None
    try:
        return one_benchmark(name or header.benchmark, folder, None)
    except InputError as error:
        if name is not None:
            raise
        report(f"without the questions: {error}")
        return None
