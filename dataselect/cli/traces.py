"""`dataselect traces pull`, `build` and `weigh`: get or make reasoning traces."""

from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, QuietOption, TrackOption, errors, notes, tell
from dataselect.cli.completion import benchmarks as benchmark_names
from dataselect.cli.options import (
    DEFAULT_TRACES,
    BenchmarkOption,
    Device,
    DeviceOption,
    FolderOption,
    KeyVariable,
    LimitOption,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataselect.benchmarks.items import BenchmarkItems
    from dataselect.report.tables.trace_build import ShownBuild
    from dataselect.scoring.served_frontier import ServedOptions
    from dataselect.traces.recording.endpoint import Endpoint
    from dataselect.traces.trace import TraceSet

OutFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Trace file. [traces/BENCHMARK.MODEL.jsonl.gz]"),
]
MaxUsd = Annotated[
    float | None,
    typer.Option("--max-usd", metavar="USD", help="Stop before spending more than this."),
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", metavar="N", min=1, help="Parallel requests.")
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=1,
        help="Seconds until a request counts as unanswered.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the estimated cost and send no request.")
]
StatusStore = Annotated[
    str,
    typer.Option("--store", help="Store in which `dataselect status` finds this, and no traces."),
]
_KNOWN = "gsm8k,math500,arc_challenge,mmlu_pro_stem,commonsense_qa,humaneval"


class FormName(StrEnum):
    """How the frontier model is asked to answer."""

    json = "json"
    plain = "plain"


class PartName(StrEnum):
    """What of a frontier model's answer becomes the trace."""

    answer = "answer"
    thinking = "thinking"


def pull(
    benchmarks: Annotated[
        str,
        typer.Option(
            "--benchmarks",
            metavar="NAMES",
            autocompletion=benchmark_names,
            help="Known benchmarks, with commas. [the six of the paper]",
            show_default=False,
        ),
    ] = _KNOWN,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DIR", help="Local copy of the release, or its id on the Hub."
        ),
    ] = None,
    folder: FolderOption = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the trace files.")
    ] = DEFAULT_TRACES,
) -> None:
    """Get the traces that the paper's authors released (GPT-4o, free)."""
    from dataselect.benchmarks.named import load_benchmarks, split_names
    from dataselect.traces.library import trace_path
    from dataselect.traces.released import RELEASED, import_released
    from dataselect.traces.trace import write_traces

    with errors(), notes(report):
        for each in load_benchmarks(split_names(benchmarks), folder, None, report):
            benchmark = each.benchmark
            traces = import_released(source or RELEASED, benchmark)
            path = trace_path(out, benchmark.id, traces.header.model)
            out.mkdir(parents=True, exist_ok=True)
            write_traces(path, traces.header, traces.traces.values(), traces.exclusions)
            say_written(path, traces)


def build(
    benchmark: BenchmarkOption,
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="Name of the frontier model on the server."),
    ],
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="OpenAI-compatible server. [OpenAI's]"),
    ] = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    form: Annotated[
        FormName | None,
        typer.Option(
            "--form",
            help="Answer format: json, as in the paper, or plain text between marks. "
            "[json; plain where JSON mode changes probabilities]",
        ),
    ] = None,
    part: Annotated[
        PartName,
        typer.Option(
            "--part", help="The trace: the answer's reasoning, or a reasoning model's thinking."
        ),
    ] = PartName.answer,
    max_tokens: Annotated[
        int,
        typer.Option("--max-tokens", metavar="N", min=1, help="Most tokens of an answer."),
    ] = 2048,
    max_usd: MaxUsd = None,
    usd_in: Annotated[
        float | None,
        typer.Option(
            "--usd-in",
            metavar="USD",
            help="USD for a million input tokens; --batch halves it.",
        ),
    ] = None,
    usd_out: Annotated[
        float | None,
        typer.Option("--usd-out", metavar="USD", help="USD for a million output tokens."),
    ] = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60,
    repair_latex: Annotated[
        bool,
        typer.Option(
            "--repair-latex", help="Repair and keep answers whose LaTeX has single backslashes."
        ),
    ] = False,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Use the Batch API: half OpenAI's price, within a day."),
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            help="With --batch: wait this many seconds, then exit; run it again for the rest.",
        ),
    ] = None,
    dry_run: DryRun = False,
    folder: FolderOption = None,
    limit: LimitOption = None,
    out: OutFile = None,
    store: StatusStore = DEFAULT_STORE,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Ask an OpenAI-compatible server for traces.

    The same command resumes after any stop and pays for no answer twice.
    """
    with errors(resume=True), notes(_noted(quiet)):
        from dataselect.cli.trace_progress import recorded_build
        from dataselect.errors import InputError
        from dataselect.report.console import terminal
        from dataselect.report.tables.trace_build import OnlyEstimated, ShownBuild
        from dataselect.traces.library import trace_path
        from dataselect.traces.recording.asked import BuildOptions
        from dataselect.traces.recording.batch import Wait, build_batch
        from dataselect.traces.recording.build import build_traces
        from dataselect.traces.recording.endpoint import Endpoint
        from dataselect.traces.recording.spending import Prices

        if (usd_in is None) != (usd_out is None):
            raise InputError("--usd-in", "a price is missing", "give --usd-in and --usd-out")
        prices = None if usd_in is None or usd_out is None else Prices(usd_in, usd_out)
        chosen = one_benchmark(benchmark, folder, limit)
        path = out or trace_path(DEFAULT_TRACES, chosen.id, model)
        if wait is not None and not batch:
            raise InputError("--wait", "it needs --batch", "add --batch")
        endpoint = Endpoint(model, base_url, key_variable, timeout, concurrency=concurrency)
        options = BuildOptions(
            None if form is None else form.value,
            max_tokens,
            max_usd,
            prices,
            repair_latex,
            part.value,
        )
        today = datetime.now(UTC).date().isoformat()
        make = partial(build_batch, wait=Wait(wait)) if batch else build_traces
        shown = ShownBuild(terminal(stderr=True, quiet=quiet and not dry_run), dry_run)
        work = f"asking {model} about {chosen.id}"
        try:
            with shown, recorded_build(shown, store, work, path, dry_run, track) as watch:
                traces = make(chosen, endpoint, path, options, created=today, watch=watch)
        except OnlyEstimated:
            return
        say_written(path, traces)


def weigh(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Reasoning by item: JSONL with id and reasoning (or rationale), or a trace file.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option("--model", metavar="MODEL", help="Causal LM: folder, Hub id, ID@REVISION."),
    ],
    benchmark: BenchmarkOption,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url", metavar="URL", help="Server of the model (vLLM). [a local model]"
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="With --base-url: the model's tokenizer, folder or Hub id. [--model]",
        ),
    ] = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    max_usd: MaxUsd = None,
    usd_in: Annotated[
        float | None,
        typer.Option("--usd-in", metavar="USD", help="USD for a million tokens that are weighed."),
    ] = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60,
    dry_run: DryRun = False,
    folder: FolderOption = None,
    limit: LimitOption = None,
    out: OutFile = None,
    device: DeviceOption = Device.auto,
    store: StatusStore = DEFAULT_STORE,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Weight given reasoning by the token probabilities of an open model, local or on a server.

    With --base-url the same command resumes after any stop and pays for no answer twice.
    """
    with errors(resume=base_url is not None), notes(_noted(quiet)):
        from dataselect.cli.trace_progress import items_shown, recorded_watch
        from dataselect.compute import require_device
        from dataselect.report.console import terminal
        from dataselect.report.live import LiveWatch
        from dataselect.report.tables.trace_build import ShownBuild
        from dataselect.traces.library import trace_path
        from dataselect.traces.recording.texts import read_reasoning
        from dataselect.traces.trace import write_traces

        texts = read_reasoning(file)
        chosen = one_benchmark(benchmark, folder, limit)
        if base_url is not None:
            from dataselect.scoring.served_frontier import ServedOptions
            from dataselect.traces.recording.endpoint import Endpoint
            from dataselect.traces.recording.spending import Prices

            path = out or trace_path(DEFAULT_TRACES, chosen.id, model)
            prices = None if usd_in is None else Prices(usd_in, usd_in)
            endpoint = Endpoint(model, base_url, key_variable, timeout, concurrency=concurrency)
            options = ServedOptions(tokenizer, prices, max_usd)
            shown = ShownBuild(terminal(stderr=True, quiet=quiet and not dry_run), dry_run)
            _weigh_by_server(chosen, texts, endpoint, path, options, dry_run, shown, store, track)
            return
        from dataselect.scoring.local_frontier import LocalFrontier

        frontier = LocalFrontier(model, require_device(device.value))
        path = out or trace_path(DEFAULT_TRACES, chosen.id, frontier.name)
        work = f"weighing {chosen.id} with {frontier.name}"
        with (
            LiveWatch(terminal(stderr=True, quiet=quiet)) as display,
            recorded_watch(display, store, work, path, track) as into,
            items_shown(into, work, len(chosen.items)),
        ):
            traces = frontier.weigh(chosen, texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(path, traces.header, traces.traces.values(), traces.exclusions)
        say_written(path, traces)


def _weigh_by_server(
    benchmark: "BenchmarkItems",
    texts: "Mapping[str, str]",
    endpoint: "Endpoint",
    out: Path,
    options: "ServedOptions",
    dry_run: bool,
    shown: "ShownBuild",
    store: str,
    track: list[str] | None,
) -> None:
    from dataselect.cli.trace_progress import recorded_build
    from dataselect.report.tables.trace_build import OnlyEstimated
    from dataselect.scoring.served_frontier import weigh_by_server

    out.parent.mkdir(parents=True, exist_ok=True)
    today = datetime.now(UTC).date().isoformat()
    try:
        work = f"weighing {benchmark.id} with {endpoint.model}"
        with shown, recorded_build(shown, store, work, out, dry_run, track) as watch:
            traces = weigh_by_server(
                benchmark, texts, endpoint, out, options, created=today, watch=watch
            )
    except OnlyEstimated:
        return
    say_written(out, traces)


def _noted(quiet: bool) -> "Callable[[str], None]":
    """What shows notes."""
    return (lambda _: None) if quiet else report


def report(text: str) -> None:
    """Print a note for the user on standard error."""
    tell(text, err=True, dim=True)


def say_written(path: Path, traces: "TraceSet") -> None:
    """Print one line about a trace file that was written."""
    count = len(traces.exclusions)
    without = f", {count} {'item' if count == 1 else 'items'} left out" if count else ""
    tell(f"{path}: {len(traces.traces)} traces of {traces.header.model}{without}")


def one_benchmark(name: str, folder: Path | None, limit: int | None) -> "BenchmarkItems":
    """The benchmark of this name; notes about it go to standard error."""
    from dataselect.benchmarks.named import load_one

    return load_one(name, folder, limit, report).benchmark
