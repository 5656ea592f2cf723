"""`dataselect score`: a model on benchmarks, with rBridge and the paper's baselines."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes
from dataselect.traces.library import TRACES_FOLDER

if TYPE_CHECKING:
    from dataselect.benchmarks.items import BenchmarkItems, Exclusion
    from dataselect.scoring.evaluate import Evaluation
    from dataselect.scoring.gather import Loaded

BenchmarksOption = Annotated[
    str,
    typer.Option(
        "--benchmarks",
        help="Known benchmarks and YAML files of your own, with commas: gsm8k, math500, "
        "arc_challenge, mmlu_pro_stem, commonsense_qa, humaneval.",
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder that holds the benchmarks as JSONL files. [the Hub]"),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first so many items of each.")
]


class Weights(StrEnum):
    """What the weights of a trace are scaled over."""

    trace = "trace"
    benchmark = "benchmark"
    none = "none"


class Device(StrEnum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class PrecisionName(StrEnum):
    """The arithmetic of models."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


DEFAULT_TRACES = Path(TRACES_FOLDER)
DeviceOption = Annotated[
    Device, typer.Option("--device", help="auto takes a GPU where there is one.")
]


def score(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Folder, Hub id, or ID@REVISION; one or more."),
    ],
    benchmarks: BenchmarksOption,
    folder: FolderOption = None,
    traces: Annotated[
        list[Path] | None,
        typer.Option(
            "--traces",
            help="Trace file, or folder of them; again for several frontier models, whose scores "
            "are averaged. [traces/, else the paper's released traces]",
        ),
    ] = None,
    only_correct: Annotated[
        bool, typer.Option("--only-correct", help="Leave out traces that end in a wrong answer.")
    ] = False,
    weights: Annotated[
        Weights, typer.Option("--weights", help="What weights are scaled over; for ablation.")
    ] = Weights.trace,
    accuracy: Annotated[
        bool,
        typer.Option(
            "--accuracy", help="Also write full answers and grade them: accuracy, pass@1."
        ),
    ] = False,
    isft: Annotated[
        bool,
        typer.Option(
            "--isft",
            help="Also fine-tune each model on each benchmark's training set, and grade its "
            "answers after that.",
        ),
    ] = False,
    limit: LimitOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("scores"),
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="Arithmetic of the model.")
    ] = PrecisionName.float32,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm-run-unsafe-code",
            help="Run generated programs even where they cannot be isolated.",
        ),
    ] = False,
) -> None:
    """Score models on benchmarks: rBridge, R^phi and the paper's baselines, item by item."""
    from rich.console import Console

    from dataselect.compute import resolve_device
    from dataselect.report.tables.scores import print_scores, write_scores
    from dataselect.scoring.checkpoint import resolve_model
    from dataselect.scoring.gather import find_traces, make_evaluation
    from dataselect.scoring.isft import score_finetuned, with_isft
    from dataselect.scoring.score_models import require_items, score_models
    from dataselect.store import Store, lock
    from dataselect.traces.library import trace_benchmark

    console, progress = Console(), Console(stderr=True)

    def report(text: str) -> None:
        progress.print(text, style="dim", markup=False, highlight=False)

    with errors(resume=True), notes(report):
        kept = Store(store)
        with lock(kept.root, "the store"):
            kept.clean()
            evaluations = []
            for loaded in load_benchmarks(benchmarks, folder, limit, report):
                found = find_traces(loaded[0], traces or [], DEFAULT_TRACES, kept, report)
                evaluations.append(
                    make_evaluation(
                        *loaded,
                        found,
                        report,
                        only_correct=only_correct,
                        weights=weights.value,
                        unsafe=confirm_run_unsafe_code,
                    )
                )
            ids = {each.benchmark.id for each in evaluations}
            for path in traces or []:
                if path.is_file() and trace_benchmark(path) not in ids:
                    report(f"{path} is for {trace_benchmark(path)}, which is not scored")
            training_sets = load_training_sets(evaluations, benchmarks, folder) if isft else {}
            resolved = [resolve_model(model, precision.value, kept) for model in models]
            where = resolve_device(device.value)
            scored = score_models(
                kept,
                resolved,
                evaluations,
                ("scores", "baselines", "graded" if accuracy else "answers"),
                device=where,
                precision=precision.value,
                unsafe=confirm_run_unsafe_code,
                report=report,
            )
            require_items(scored)
            if isft:
                finetuned = score_finetuned(
                    kept,
                    resolved,
                    [each.evaluation for each in scored],
                    training_sets,
                    device=where,
                    precision=precision.value,
                    unsafe=confirm_run_unsafe_code,
                    report=report,
                )
                scored = with_isft(scored, finetuned)
        now = datetime.now(UTC)
        facts = {"device": where, "dtype": precision.value, "limit": limit}
        folders = write_scores(resolved, scored, facts, now, out)
        print_scores(resolved, scored, console)
        for written in folders:
            console.print(f"results: {written}/", markup=False, highlight=False)


def load_benchmarks(
    names: str, folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> list["Loaded"]:
    """The benchmarks that are named, with what was left out of each."""
    from dataselect.benchmarks.load import load_benchmark
    from dataselect.benchmarks.own import load_definition
    from dataselect.errors import InputError

    made: dict[str, Loaded] = {}
    for name in filter(None, (each.strip() for each in names.split(","))):
        benchmark, left_out, remarks = load_benchmark(load_definition(name, Path()), folder, limit)
        if benchmark.id in made:
            raise InputError("--benchmarks", f"{benchmark.id} is named twice", "name it once")
        for remark in (*remarks, *said_malformed(benchmark.id, left_out)):
            report(remark)
        made[benchmark.id] = benchmark, left_out
    if not made:
        raise InputError("--benchmarks", "no benchmark is named", "write --benchmarks gsm8k")
    return list(made.values())


def said_malformed(benchmark: str, left_out: Sequence["Exclusion"]) -> list[str]:
    """A line about the rows that were left out on reading, the first of them with their reasons."""
    from dataselect.report.numbers import one_line

    if not left_out:
        return []
    shown = [f"{each.item} ({each.reason})" for each in left_out[:3]]
    rows = "1 malformed item is" if len(left_out) == 1 else f"{len(left_out)} malformed items are"
    more = ", …" if len(left_out) > 3 else ""
    return [one_line(f"{benchmark}: {rows} left out: {', '.join(shown)}{more}")]


def load_training_sets(
    evaluations: Sequence["Evaluation"], names: str, folder: Path | None
) -> dict[str, "BenchmarkItems"]:
    """What models are fine-tuned on for each benchmark. Raises InputError where one has none."""
    from dataselect.benchmarks.own import load_definition
    from dataselect.benchmarks.training_set import load_training_set

    definitions = {
        each.id: each
        for each in (
            load_definition(name.strip(), Path()) for name in names.split(",") if name.strip()
        )
    }
    return {
        benchmark.id: load_training_set(definitions[benchmark.id], benchmark, folder)
        for benchmark in (each.benchmark for each in evaluations)
    }


def load_one(
    name: str, folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> "Loaded":
    """As `load_benchmarks`, where one has to be named."""
    from dataselect.errors import InputError

    loaded = load_benchmarks(name, folder, limit, report)
    if len(loaded) > 1:
        raise InputError("--benchmark", f"it names {len(loaded)} benchmarks", "name one")
    return loaded[0]
