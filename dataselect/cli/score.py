"""`dataselect score`: a model on benchmarks, with rBridge and the paper's baselines."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import (
    DEFAULT_STORE,
    QuietOption,
    StoreOption,
    TrackOption,
    errors,
    notes,
    tell,
)
from dataselect.cli.completion import benchmarks as benchmark_names
from dataselect.cli.interrupts import this_command
from dataselect.cli.options import Device, DeviceOption, FolderOption, LimitOption

BenchmarksOption = Annotated[
    str,
    typer.Option(
        "--benchmarks",
        metavar="NAMES",
        autocompletion=benchmark_names,
        help="Known benchmarks and YAML files of your own, with commas, as gsm8k,mine.yaml; "
        "'list' prints those that are known.",
    ),
]


class Weights(StrEnum):
    """Over what the token weights of a trace are scaled, or that its marks are the weights."""

    trace = "trace"
    benchmark = "benchmark"
    none = "none"
    span = "span"


class PrecisionName(StrEnum):
    """The dtype that models compute with."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def score(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="Folder, Hub id, or ID@REVISION; one or more. A text is scored by counting its "
            "words: ngram:FILE, ngram:FOLDER, ngram:MANIFEST.yaml, ngram:MANIFEST.yaml#ID.",
        ),
    ] = None,
    benchmarks: BenchmarksOption = "",
    folder: FolderOption = None,
    traces: Annotated[
        list[Path] | None,
        typer.Option(
            "--traces",
            metavar="PATH",
            help="Trace file, or folder of them; repeat for several frontier models, whose scores "
            "are averaged. [traces/, else the paper's released traces]",
        ),
    ] = None,
    only_correct: Annotated[
        bool, typer.Option("--only-correct", help="Leave out traces that end in a wrong answer.")
    ] = False,
    weights: Annotated[
        Weights,
        typer.Option(
            "--weights",
            help="Over what token weights are scaled, or span: the traces' marks; for ablation.",
        ),
    ] = Weights.trace,
    accuracy: Annotated[
        bool,
        typer.Option(
            "--accuracy", help="Also generate full answers and grade them: accuracy, pass@1."
        ),
    ] = False,
    isft: Annotated[
        bool,
        typer.Option(
            "--isft",
            help="Also fine-tune each model on each benchmark's training set, then grade its "
            "answers.",
        ),
    ] = False,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks",
            help="Also score marked parts of the traces: their <span> marks, numbers, operators, "
            "content words.",
        ),
    ] = False,
    limit: LimitOption = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="MODEL",
            help="Folder or Hub id of the tokenizer that texts are counted in. [the first model's]",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens",
            metavar="COUNT",
            help="Tokens of each text to count, as 10M. [all of a local text]",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the results.")
    ] = Path("scores"),
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="Dtype that models compute with.")
    ] = PrecisionName.float32,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm-run-unsafe-code",
            help="Run generated programs even where they cannot be isolated.",
        ),
    ] = False,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score models on benchmarks: rBridge, R^phi and the paper's baselines, item by item."""
    from dataselect.report.console import terminal

    if benchmarks.strip() == "list":
        from dataselect.benchmarks.catalogue import catalogue
        from dataselect.report.tables.benchmark_list import print_benchmarks

        print_benchmarks(catalogue(), terminal())
        return

    console = terminal()
    with errors(resume=True):
        import dataselect as ds
        from dataselect.errors import InputError
        from dataselect.report.live import LiveWatch
        from dataselect.report.output import check_folder
        from dataselect.report.tables.scores import print_scores

        if not models:
            raise InputError("MODEL", "no model is named", "write dataselect score MODEL ...")
        check_folder(out)  # before scoring, which takes long
        with LiveWatch(terminal(stderr=True, quiet=quiet)) as watch, notes(watch.note):
            scores = ds.score(
                models,
                benchmarks,
                folder=folder,
                traces=traces or (),
                only_correct=only_correct,
                weights=weights.value,
                accuracy=accuracy,
                isft=isft,
                masks=masks,
                limit=limit,
                tokenizer=tokenizer,
                tokens=tokens,
                store=store,
                device=device.value,
                precision=precision.value,
                unsafe=confirm_run_unsafe_code,
                track=track,
                watch=watch,
                command=this_command(),
            )
        folders = scores.write(out)
        print_scores(scores.models, scores.benchmarks, console, scores.failed, scores.names)
        for written in folders:
            console.print(f"results: {written}/", markup=False, highlight=False)
        console.print(f"table for agree: {out}/scores_DATE.csv", markup=False, highlight=False)
        console.print(f"models side by side: {out}/table_DATE.md", markup=False, highlight=False)
    if not scores.complete:
        tell(f"some models failed; to try them again: {this_command()}", err=True)
        raise typer.Exit(3)
