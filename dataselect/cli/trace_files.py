"""`dataselect traces show`, `verify` and `export`: inspect and share traces."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import errors, notes, tell
from dataselect.cli.completion import benchmarks as benchmark_names
from dataselect.cli.completion import traces as trace_names
from dataselect.cli.options import DEFAULT_TRACES, FolderOption
from dataselect.cli.traces import one_benchmark, report, say_written

if TYPE_CHECKING:
    from dataselect.benchmarks.items import BenchmarkItems
    from dataselect.traces.trace import TraceSet

TraceFile = Annotated[
    str,
    typer.Argument(
        metavar="TRACES",
        autocompletion=trace_names,
        help="A trace file, or a benchmark with one trace file in --traces.",
    ),
]
OwnBenchmark = Annotated[
    str | None,
    typer.Option(
        "--benchmarks",
        metavar="NAME",
        autocompletion=benchmark_names,
        help="YAML file of a benchmark of your own.",
    ),
]
TracesFolder = Annotated[
    Path,
    typer.Option("--traces", metavar="DIR", help="Folder of the project's trace files."),
]


@dataclass(frozen=True)
class _Opened:
    """A trace file that was read, with its benchmark."""

    path: Path
    """The trace file."""

    traces: "TraceSet"
    """Its content."""

    benchmark: "BenchmarkItems | None"
    """The benchmark that the traces are for; None if it is not available."""


def show(
    name: TraceFile,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="ID", help="One item, its tokens shaded by weight."),
    ] = None,
    benchmark: OwnBenchmark = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Show what a trace file holds, or one trace with shaded tokens."""
    from dataselect.errors import InputError
    from dataselect.report.console import terminal
    from dataselect.report.tables.trace_view import print_summary, print_trace
    from dataselect.traces.grading import grade_traces
    from dataselect.traces.summary import summarise

    with errors(), notes(report):
        opened = _open(name, traces, benchmark, folder)
        trace_set, questions = opened.traces, opened.benchmark
        if item is not None and item not in trace_set.traces:
            left_out = {each.item: each.reason for each in trace_set.exclusions}
            why = f": {left_out[item]}" if item in left_out else ""
            raise InputError(
                opened.path, f"it has no trace for item '{item}'{why}", "name another item"
            )
        correct: dict[str, bool | None] = {}
        if questions is not None:
            try:
                correct = grade_traces(trace_set, questions, None if item is None else {item})
            except InputError as error:
                report(f"answers are not graded: {error}")
        console = terminal()
        if item is None:
            print_summary(
                console, summarise(trace_set, questions, correct or None), trace_set.header
            )
            return
        by_id = (
            {each.id: each for each in (*questions.items, *questions.shots)} if questions else {}
        )
        print_trace(console, trace_set.traces[item], by_id.get(item), correct.get(item))


def verify(
    name: TraceFile,
    benchmark: OwnBenchmark = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Check a trace file: format, hash, letters, and that it fits its benchmark."""
    from dataselect.errors import InputError
    from dataselect.traces.summary import verify as problems_of

    with errors(), notes(report):
        opened = _open(name, traces, benchmark, folder)
        problems = problems_of(opened.traces, opened.benchmark)
        for problem in problems:
            tell(problem)
        if problems:
            raise InputError(
                opened.path,
                f"it has {len(problems)} problem{'' if len(problems) == 1 else 's'}",
                "record the traces again",
            )
        questions = opened.benchmark
        fits = "" if questions is None else f", and fits {questions.revision or questions.id}"
        tell(f"{opened.path}: sound{fits}; hash {opened.traces.hash}")


def export(
    name: TraceFile,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="File to share, .jsonl or .jsonl.gz."),
    ],
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
            raise InputError(
                "--out", f"{out.name} is not the name of a trace file", "end it in .jsonl.gz"
            )
        trace_set, questions = opened.traces, opened.benchmark
        for problem in problems_of(trace_set, questions):
            report(problem)
        header = trace_set.header
        if header.benchmark_revision is None and questions is not None:
            header = replace(header, benchmark_revision=questions.revision)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_traces(out, header, trace_set.traces.values(), trace_set.exclusions)
        say_written(out, trace_set)
        tell(f"hash of the traces {trace_set.hash}")
        tell(f"sha256 of the file {sha256_of(out)}")


def _open(name: str, traces: Path, benchmark: str | None, folder: Path | None) -> _Opened:
    from dataselect.traces.library import resolve
    from dataselect.traces.trace import read_traces

    path = resolve(name, traces)
    trace_set = read_traces(path)
    return _Opened(path, trace_set, _questions(trace_set, benchmark, folder))


def _questions(
    traces: "TraceSet", name: str | None, folder: Path | None
) -> "BenchmarkItems | None":
    """The benchmark that the traces are for; None if it is not available.

    It is loaded from the Hub only if the traces were made for the Hub's items.
    """
    from dataselect.errors import InputError

    header = traces.header
    if name is None and folder is None and "@" not in (header.benchmark_revision or ""):
        report("without the questions: name their --folder or --benchmarks to grade the answers")
        return None
    try:
        return one_benchmark(name or header.benchmark, folder, None)
    except InputError as error:
        if name is not None:
            raise
        report(f"without the questions: {error}")
        return None
