"""`dataselect traces compare`: how much the choice of frontier model changes a ranking."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes
from dataselect.cli.completion import benchmarks as benchmark_names
from dataselect.cli.completion import manifests, plans
from dataselect.cli.options import Device, DeviceOption, FolderOption, LimitOption
from dataselect.cli.traces import report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataselect.benchmarks.items import BenchmarkItems
    from dataselect.traces.summary import Summary
    from dataselect.traces.trace import TraceSet


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Trace files of one benchmark; with --run of all benchmarks of Stage 1, which are "
            "compared with the plan's own.",
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Model to rank: folder, Hub id, ID@REVISION; repeat for two or more.",
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmarks",
            metavar="NAME",
            autocompletion=benchmark_names,
            help="With --model: a known benchmark, or the YAML file of your own.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="MANIFEST",
            autocompletion=manifests,
            help="Rank the candidates of a run that was made, by the Stage 1 proxies in --store.",
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="PLAN",
            autocompletion=plans,
            help="With --run: its plan. [the manifest's plan]",
        ),
    ] = None,
    only_correct: Annotated[
        bool, typer.Option("--only-correct", help="Leave out traces that end in a wrong answer.")
    ] = False,
    folder: FolderOption = None,
    limit: LimitOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
) -> None:
    """Print how much the choice of frontier model changes the ranking of models."""
    from dataselect.errors import InputError

    with errors(resume=True):
        if run is not None:
            for option, given in (
                ("--model", models),
                ("--benchmarks", benchmark),
                ("--folder", folder),
                ("--limit", limit),
            ):
                if given:
                    raise InputError(option, "--run has its own", f"leave out {option} or --run")
            _of_run(files, run, plan, only_correct, store)
            return
        if plan is not None:
            raise InputError("--plan", "it needs --run", "add --run MANIFEST")
        if len(files) < 2 or len(models or ()) < 2:
            raise InputError(
                "traces compare",
                f"got {len(files)} trace files and {len(models or ())} models",
                "name two or more of each, or a run with --run",
            )
        if benchmark is None:
            raise InputError("--benchmarks", "it is missing", "name the benchmark of the traces")
        _of_models(files, models or [], benchmark, only_correct, folder, limit, store, device)


def _of_models(
    files: "Sequence[Path]",
    models: "Sequence[str]",
    benchmark: str,
    only_correct: bool,
    folder: Path | None,
    limit: int | None,
    store: str,
    device: Device,
) -> None:
    from dataselect.benchmarks.named import load_one
    from dataselect.compute import require_device
    from dataselect.decisions.frontier_agreement import compare_frontiers
    from dataselect.report.console import terminal
    from dataselect.report.tables.frontier_comparison import (
        counts,
        print_comparison,
        print_traces,
    )
    from dataselect.scoring.checkpoint import resolve_model
    from dataselect.scoring.gather import make_evaluation, recorded
    from dataselect.scoring.score_models import score_by_frontier
    from dataselect.store import in_use, open_store

    artifacts = open_store(store, lambda work, holder: report(f"{work}: waits for {holder}"))
    with notes(report), in_use(artifacts):
        chosen = load_one(benchmark, folder, limit, report)
        sets = recorded(files, chosen.benchmark)
        evaluation = make_evaluation(
            chosen.benchmark, chosen.left_out, sets, report, only_correct=only_correct
        )
        tables = score_by_frontier(
            artifacts,
            [resolve_model(model, "float32", artifacts) for model in models],
            evaluation,
            device=require_device(device.value),
            report=report,
        )
    name = chosen.benchmark.id
    found = compare_frontiers({model: {name: table} for model, table in tables.items()})
    console = terminal()
    shown = zip(tables, sets, strict=True)
    print_traces({m: {name: _summary(each, chosen.benchmark)} for m, each in shown}, console)
    print_comparison(found, counts({name: next(iter(tables.values()))}), console)


def _of_run(
    files: "Sequence[Path]", manifest: Path, plan: str | None, only_correct: bool, store: str
) -> None:
    from dataselect.api.inputs import load_inputs
    from dataselect.compute.engines import LOCAL
    from dataselect.decisions.frontier_agreement import compare_frontiers, seed_agreement
    from dataselect.report.console import terminal
    from dataselect.report.live import LiveWatch
    from dataselect.report.tables.frontier_comparison import (
        counts,
        print_comparison,
        print_traces,
    )
    from dataselect.stages.by_frontier import score_stage_by_frontier, trace_sets
    from dataselect.stages.engine import driver_device, job_device, open_compute, with_engine
    from dataselect.stages.prepare import prepare
    from dataselect.stages.runtime import Runtime
    from dataselect.stages.watch import shown_waits
    from dataselect.store import in_use, open_store

    loaded, chosen = load_inputs(manifest, plan, "--plan")
    chosen = with_engine(chosen, LOCAL)
    device, here = job_device(chosen), driver_device(chosen)
    with LiveWatch(terminal(stderr=True)) as watch, notes(watch.note):
        artifacts = open_store(store, shown_waits(watch))
        with in_use(artifacts), open_compute(chosen, artifacts.root) as compute:
            runtime = Runtime(artifacts, compute, device, watch, here)
            experiment = prepare(loaded, chosen, runtime)
            sets = trace_sets(experiment, files)
            scores = score_stage_by_frontier(experiment, sets, only_correct=only_correct)
        for note in scores.notes:
            watch.note(note)
    method = chosen.screen.aggregate
    agreement = {name: seed_agreement(runs, method) for name, runs in scores.runs.items()}
    console = terminal()
    print_traces(
        {
            model: {
                name: _summary(traces, experiment.evaluations[name].benchmark)
                for name, traces in by_benchmark.items()
            }
            for model, by_benchmark in sets.items()
        },
        console,
    )
    print_comparison(
        compare_frontiers(scores.tables, method=method),
        counts(next(iter(scores.tables.values()))),
        console,
        {name: share for name, share in agreement.items() if share is not None},
    )


def _summary(traces: "TraceSet", benchmark: "BenchmarkItems") -> "Summary":
    """The statistics of traces; programs are not run for it, so answers of code have no grade."""
    from dataselect.traces.grading import grade_traces
    from dataselect.traces.summary import summarise

    grades: Mapping[str, bool | None] | None = None
    if benchmark.answer_kind != "code":
        grades = grade_traces(traces, benchmark)
    return summarise(traces, benchmark, grades)
