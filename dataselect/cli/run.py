"""The commands around a run: `init`, `validate`, `plan` and `run`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes, this_command

if TYPE_CHECKING:
    from dataselect.config.manifest import Manifest
    from dataselect.config.plan import Plan
    from dataselect.errors import DataselectError

DEFAULT_PLAN = "quickstart"

ManifestFile = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="What to choose among, such as candidates.yaml.")
]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", help="How to choose: a name in stages/, or a file. [manifest's plan]"),
]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new project.")],
) -> None:
    """Write candidates/, stages/ and reports/ with examples to start from."""
    from dataselect.config.project import write_project

    with errors():
        for path in write_project(folder):
            typer.echo(path)
        there = shlex.quote(str(folder))
        typer.echo(f"next: cd {there} && dataselect run candidates/quickstart.yaml")


def validate(manifest: ManifestFile, plan: PlanOption = None) -> None:
    """Check manifest, plan, benchmarks, traces and the first rows of every source."""
    from dataselect.cli.validation import validate as check

    with errors():
        loaded, chosen = load(manifest, plan)
        for line in check(loaded, chosen):
            typer.echo(line)


def plan(
    manifest: ManifestFile, plan: PlanOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """Print what a run would train and what it would cost, and spend nothing."""
    from rich.console import Console

    from dataselect.report.selection.planned import print_plan

    with errors():
        print_plan(*load(manifest, plan), store, Console())


def run(
    manifest: ManifestFile,
    plan: PlanOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report. [reports/NAME]")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also compare every metric's ranking in Stage 1.")
    ] = False,
) -> None:
    """Screen, predict, rank and report; run again with the same command, it goes on."""
    with errors(resume=True):
        loaded, chosen = load(manifest, plan)
        report = out or Path("reports") / loaded.name
        complete, problem = _run(loaded, chosen, report, store, ablate)
    if problem is not None:
        typer.echo(f"error: no mixture was found: {problem}", err=True)
        typer.echo(f"the selection is reported; to go on: {this_command()}", err=True)
        raise typer.Exit(problem.exit_code)
    if not complete:
        typer.echo(f"some candidates failed; to try them again: {this_command()}", err=True)
        raise typer.Exit(3)


def _run(
    manifest: "Manifest", plan: "Plan", out: Path, root: Path, ablate: bool
) -> "tuple[bool, DataselectError | None]":
    """Whether all candidates came through, and what ended the search for a mixture if it failed."""
    from rich.console import Console

    from dataselect.compute import default_compute, resolve_device
    from dataselect.pipeline import run as run_pipeline
    from dataselect.report.live import LiveWatch
    from dataselect.report.selection.files import write_report
    from dataselect.report.selection.terminal import print_report
    from dataselect.store import Store, lock

    console = Console()
    store = Store(root)
    device = resolve_device(plan.compute.device)
    with lock(store.root, "the store"), lock(out, "the report folder"):
        store.clean()
        compute = default_compute(plan.compute.jobs, plan.compute.threads, device)
        with compute, LiveWatch(console) as watch, notes(watch.note):
            selection = run_pipeline(
                manifest,
                plan,
                store,
                compute,
                device,
                watch,
                ablated=ablate,
                decided=lambda selection: write_report(selection, out),
            )
            document = write_report(selection, out)
    print_report(document, console)
    console.print(f"report: {out}/README.md", markup=False, highlight=False)
    if selection.mixture is not None:
        from dataselect.report.mixture.search import print_search

        print_search(document["mixture"]["proposal"], console)
        folder = out / document["mixture"]["folder"]
        console.print(f"mixture: {folder}/README.md", markup=False, highlight=False)
    return selection.complete, selection.mixture_problem


def load(manifest: Path, plan: str | None) -> tuple["Manifest", "Plan"]:
    """The manifest in a file and the plan that is meant: by the option, the manifest, or none."""
    from dataselect.config.manifest import load_manifest
    from dataselect.config.plan import Plan, load_plan

    loaded = load_manifest(manifest)
    if plan is not None:
        return loaded, load_plan(plan, Path(), "--plan")
    if isinstance(loaded.plan, dict):
        return loaded, loaded.document_at(Plan, "plan")
    return loaded, load_plan(loaded.plan or DEFAULT_PLAN, loaded.base, loaded.where("plan"))
