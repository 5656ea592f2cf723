"""`dataselect traces`: get reasoning traces, make them, look at them, share them."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes
from dataselect.cli.score import (
    DEFAULT_TRACES,
    Device,
    DeviceOption,
    FolderOption,
    LimitOption,
    load_benchmarks,
)

if TYPE_CHECKING:
    from dataselect.benchmarks.items import BenchmarkItems
    from dataselect.traces.trace import TraceSet

traces_app = typer.Typer(
    name="traces",
    help="Get a frontier model's reasoning traces, make them, look at them, share them.",
    no_args_is_help=True,
)

BenchmarkOption = Annotated[
    str, typer.Option("--benchmark", help="A known benchmark, or the YAML file of your own.")
]
TracesFolder = Annotated[
    Path, typer.Option("--traces", help="Folder of the project's trace files.")
]
TraceFile = Annotated[
    str,
    typer.Argument(metavar="B", help="Benchmark with one trace file in --traces, or a file."),
]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="Trace file. [traces/BENCHMARK.MODEL.jsonl.gz]")
]
_KNOWN = "gsm8k,math500,arc_challenge,mmlu_pro_stem,commonsense_qa,humaneval"


class FormName(StrEnum):
    """How the frontier model is asked to answer."""

    json = "json"
    plain = "plain"


@traces_app.command()
def pull(
    benchmarks: Annotated[
        str, typer.Option("--benchmarks", help="Known benchmarks, with commas.")
    ] = _KNOWN,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Local copy of the release, or its id on the Hub."),
    ] = None,
    folder: FolderOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the trace files.")] = DEFAULT_TRACES,
) -> None:
    """Get the traces that the authors of the paper released (GPT-4o; free)."""
    from dataselect.traces.library import trace_path
    from dataselect.traces.released import RELEASED, import_released
    from dataselect.traces.trace import write_traces

    with errors(), notes(_report):
        for benchmark, _ in load_benchmarks(benchmarks, folder, None, _report):
            found = import_released(source or RELEASED, benchmark)
            path = trace_path(out, benchmark.id, found.header.model)
            out.mkdir(parents=True, exist_ok=True)
            write_traces(path, found.header, found.traces.values(), found.exclusions)
            _say_written(path, found)


@traces_app.command()
def build(
    benchmark: BenchmarkOption,
    model: Annotated[str, typer.Option("--model", help="The frontier model's name there.")],
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="OpenAI-compatible server. [OpenAI's]")
    ] = None,
    key_variable: Annotated[
        str, typer.Option("--key-variable", help="Environment variable that holds the key.")
    ] = "OPENAI_API_KEY",
    form: Annotated[
        FormName,
        typer.Option("--form", help="json, the paper's, or plain text between marks."),
    ] = FormName.json,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="An answer's longest length.")
    ] = 2048,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", help="Stop before more than this is spent.")
    ] = None,
    usd_in: Annotated[
        float | None, typer.Option("--usd-in", help="Price of a million input tokens.")
    ] = None,
    usd_out: Annotated[
        float | None, typer.Option("--usd-out", help="Price of a million output tokens.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Requests under way at a time.")
    ] = 8,
    repair_latex: Annotated[
        bool,
        typer.Option(
            "--repair-latex", help="Keep answers whose LaTeX has single backslashes, repaired."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimated cost and ask nothing.")
    ] = False,
    folder: FolderOption = None,
    limit: LimitOption = None,
    out: OutFile = None,
) -> None:
    """Ask an OpenAI-compatible server for traces; the same command goes on after any stop."""
    from rich.console import Console

    from dataselect.errors import InputError
    from dataselect.report.building import OnlyEstimated, ShownBuild
    from dataselect.traces.asked import BuildOptions
    from dataselect.traces.build import build_traces
    from dataselect.traces.endpoint import Endpoint
    from dataselect.traces.library import trace_path
    from dataselect.traces.spending import Prices

    with errors(resume=True), notes(_report):
        if (usd_in is None) != (usd_out is None):
            raise InputError("--usd-in", "a price is missing", "give --usd-in and --usd-out")
        prices = None if usd_in is None or usd_out is None else Prices(usd_in, usd_out)
        chosen = _benchmark(benchmark, folder, limit)
        path = out or trace_path(DEFAULT_TRACES, chosen.id, model)
        try:
            with ShownBuild(Console(stderr=True), dry_run) as watch:
                made = build_traces(
                    chosen,
                    Endpoint(model, base_url, key_variable, concurrency=concurrency),
                    path,
                    BuildOptions(form.value, max_tokens, max_usd, prices, repair_latex),
                    created=datetime.now(UTC).date().isoformat(),
                    watch=watch,
                )
        except OnlyEstimated:
            return
        _say_written(path, made)


@traces_app.command()
def weigh(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Reasoning by item: JSONL with id and reasoning (or rationale), or a trace file.",
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Causal LM: folder, Hub id, ID@REVISION.")],
    benchmark: BenchmarkOption,
    folder: FolderOption = None,
    limit: LimitOption = None,
    out: OutFile = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Give letter probabilities to reasoning that came without, by a local open model."""
    from dataselect.compute import resolve_device
    from dataselect.traces.library import trace_path
    from dataselect.traces.local import LocalFrontier
    from dataselect.traces.texts import read_reasoning
    from dataselect.traces.trace import write_traces

    with errors(), notes(_report):
        texts = read_reasoning(file)
        chosen = _benchmark(benchmark, folder, limit)
        frontier = LocalFrontier(model, resolve_device(device.value))
        made = frontier.weigh(chosen, texts)
        path = out or trace_path(DEFAULT_TRACES, chosen.id, frontier.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(path, made.header, made.traces.values(), made.exclusions)
        _say_written(path, made)


@traces_app.command()
def show(
    name: TraceFile,
    item: Annotated[
        str | None, typer.Option("--item", help="One item, its tokens shaded by weight.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="YAML file of a benchmark of your own.")
    ] = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Show traces: lengths, share correct, weights, exclusions; or one trace, shaded."""
    from rich.console import Console

    from dataselect.benchmarks.answers import grade_answers
    from dataselect.errors import InputError
    from dataselect.report.trace_view import print_summary, print_trace
    from dataselect.traces.library import resolve
    from dataselect.traces.summary import summarise
    from dataselect.traces.trace import read_traces

    with errors(), notes(_report):
        path = resolve(name, traces)
        found = read_traces(path)
        asked = _questions(found, benchmark, folder)
        known = {each.id: each for each in (*asked.items, *asked.shots)} if asked else {}
        if item is not None and item not in found.traces:
            left_out = {each.item: each.reason for each in found.exclusions}
            why = f": {left_out[item]}" if item in left_out else ""
            raise InputError(path, f"it has no trace for item '{item}'{why}", "name another item")
        chosen = [item] if item is not None else list(found.traces)
        correct: dict[str, bool | None] = {}
        if asked is not None:
            graded = [each for each in chosen if each in known]
            grades = grade_answers(
                [known[each] for each in graded],
                asked.answer_kind,
                [found.traces[each].answer for each in graded],
            )
            correct = dict(zip(graded, grades, strict=True))
        console = Console()
        if item is not None:
            print_trace(console, found.traces[item], known.get(item), correct.get(item))
        else:
            print_summary(console, summarise(found, asked, correct or None), found.header)


@traces_app.command()
def export(
    name: TraceFile,
    out: Annotated[Path, typer.Option("--out", help="File to share, .jsonl or .jsonl.gz.")],
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="YAML file of a benchmark of your own.")
    ] = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Check traces against their benchmark and write them as one file to share."""
    from dataclasses import replace

    from dataselect.errors import InputError
    from dataselect.store.files import sha256_of
    from dataselect.traces.library import resolve
    from dataselect.traces.summary import verify as problems_of
    from dataselect.traces.trace import read_traces, write_traces

    with errors(), notes(_report):
        path = resolve(name, traces)
        if not out.name.endswith((".jsonl", ".jsonl.gz")):
            raise InputError("--out", f"{out.name} is no trace file's name", "end it in .jsonl.gz")
        found = read_traces(path)
        asked = _questions(found, benchmark, folder)
        for problem in problems_of(found, asked):
            _report(problem)
        header = found.header
        if header.benchmark_revision is None and asked is not None:
            header = replace(header, benchmark_revision=asked.revision)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_traces(out, header, found.traces.values(), found.exclusions)
        _say_written(out, found)
        typer.echo(f"hash of the traces {found.hash}")
        typer.echo(f"sha256 of the file {sha256_of(out)}")


@traces_app.command()
def verify(
    name: TraceFile,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="YAML file of a benchmark of your own.")
    ] = None,
    folder: FolderOption = None,
    traces: TracesFolder = DEFAULT_TRACES,
) -> None:
    """Check a trace file: its form, its hash, its letters, and that it fits its benchmark."""
    from dataselect.errors import InputError
    from dataselect.traces.library import resolve
    from dataselect.traces.summary import verify as problems_of
    from dataselect.traces.trace import read_traces

    with errors(), notes(_report):
        path = resolve(name, traces)
        found = read_traces(path)
        asked = _questions(found, benchmark, folder)
        problems = problems_of(found, asked)
        for problem in problems:
            typer.echo(problem)
        if problems:
            raise InputError(
                path, f"{len(problems)} things speak against using it", "record the traces again"
            )
        against = "" if asked is None else f", and fits {asked.revision or asked.id}"
        typer.echo(f"{path}: sound{against}; hash {found.hash}")


@traces_app.command()
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
    """Say how much the choice of the frontier model changes the ranking of models."""
    from rich.console import Console

    from dataselect.compute import resolve_device
    from dataselect.errors import InputError
    from dataselect.report.scores import print_comparison
    from dataselect.score import score_by_frontier
    from dataselect.scoring.checkpoint import resolve_model
    from dataselect.scoring.gather import make_evaluation, recorded
    from dataselect.store import Store, lock

    with errors(resume=True), notes(_report):
        if len(files) < 2 or len(models) < 2:
            raise InputError(
                "traces compare",
                f"it has {len(files)} trace files and {len(models)} models",
                "name two or more of each",
            )
        kept = Store(store)
        with lock(kept.root, "the store"):
            kept.clean()
            ((chosen, left_out),) = load_benchmarks(benchmark, folder, limit, _report)
            sets = recorded(files, chosen)
            evaluation = make_evaluation(chosen, left_out, sets, _report)
            tables = score_by_frontier(
                kept,
                [resolve_model(model, "float32") for model in models],
                evaluation,
                device=resolve_device(device.value),
                report=_report,
            )
        print_comparison(tables, Console())


def _report(text: str) -> None:
    typer.secho(text, dim=True, err=True)


def _say_written(path: Path, found: "TraceSet") -> None:
    without = f", {len(found.exclusions)} items left out" if found.exclusions else ""
    typer.echo(f"{path}: {len(found.traces)} traces of {found.header.model}{without}")


def _benchmark(name: str, folder: Path | None, limit: int | None) -> "BenchmarkItems":
    ((benchmark, _),) = load_benchmarks(name, folder, limit, _report)
    return benchmark


def _questions(found: "TraceSet", name: str | None, folder: Path | None) -> "BenchmarkItems | None":
    """The benchmark that traces are for, if it can be had; they can be looked at without.

    The Hub is asked only for traces that were made for its items.
    """
    from dataselect.errors import InputError

    header = found.header
    if name is None and folder is None and "@" not in (header.benchmark_revision or ""):
        _report("without the questions: name their --folder or --benchmark to grade the answers")
        return None
    try:
        return _benchmark(name or header.benchmark, folder, None)
    except InputError as error:
        _report(f"without the questions: {error}")
        return None
