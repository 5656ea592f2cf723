"""The `dataselect` command: reads its arguments, hands them on, and turns errors into exit codes.

Exit codes: 0 done, 2 bad input, 3 incomplete (run the same command again), 4 locked by another
run, 130 interrupted. Everything heavy is imported inside the commands, so that `--help` and a
typing error answer at once.
"""

import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect import __version__
from dataselect.errors import DataselectError

if TYPE_CHECKING:
    from dataselect.manifest import Manifest
    from dataselect.plan import Plan

DEFAULT_PLAN = "quickstart"

app = typer.Typer(
    name="dataselect",
    help="Decide which data to pretrain on next: rank candidates with tiny proxy models scored "
    "on a frontier model's reasoning traces (rBridge).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ManifestFile = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="What to choose among, such as candidates.yaml.")
]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", help="How to choose: a name in stages/, or a file. [manifest's plan]"),
]
StoreOption = Annotated[
    Path, typer.Option("--store", help="Folder that keeps everything computed, for resuming.")
]


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except KeyboardInterrupt:  # before a command had begun
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dataselect {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new project.")],
) -> None:
    """Write candidates/, stages/ and reports/ with examples to start from."""
    from dataselect.project import write_project

    with _errors():
        for path in write_project(folder):
            typer.echo(path)
        there = shlex.quote(str(folder))
        typer.echo(f"next: cd {there} && dataselect run candidates/quickstart.yaml")


@app.command()
def validate(manifest: ManifestFile, plan: PlanOption = None) -> None:
    """Check manifest, plan, benchmarks, traces and the first rows of every source."""
    from dataselect.validation import validate as check

    with _errors():
        loaded, chosen = _load(manifest, plan)
        for line in check(loaded, chosen):
            typer.echo(line)


@app.command("plan")
def plan_(
    manifest: ManifestFile,
    plan: PlanOption = None,
    store: StoreOption = Path(".dataselect"),
) -> None:
    """Print what a run would train and what it would cost, and spend nothing."""
    from rich.console import Console

    from dataselect.report.planned import print_plan

    with _errors():
        print_plan(*_load(manifest, plan), store, Console())


@app.command()
def run(
    manifest: ManifestFile,
    plan: PlanOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report. [reports/NAME]")
    ] = None,
    store: StoreOption = Path(".dataselect"),
) -> None:
    """Screen, predict, rank and report; run again with the same command, it goes on."""
    with _errors(resume=True):
        loaded, chosen = _load(manifest, plan)
        complete = _run(loaded, chosen, out or Path("reports") / loaded.name, store)
    if not complete:
        typer.echo(f"some candidates failed; to try them again: {_this_command()}", err=True)
        raise typer.Exit(3)


def _run(manifest: "Manifest", plan: "Plan", out: Path, root: Path) -> bool:
    from rich.console import Console

    from dataselect.compute import default_compute, resolve_device
    from dataselect.pipeline import run as run_pipeline
    from dataselect.report.files import write_report
    from dataselect.report.live import LiveWatch
    from dataselect.report.terminal import print_report
    from dataselect.store import Store, lock

    console = Console()
    store = Store(root)
    device = resolve_device(plan.compute.device)
    with lock(store.root, "the store"), lock(out, "the report folder"):
        store.clean()
        compute = default_compute(plan.compute.jobs, plan.compute.threads, device)
        with compute, LiveWatch(console) as watch:
            logging.getLogger("dataselect").addHandler(_NoteHandler(watch.note))
            selection = run_pipeline(manifest, plan, store, compute, device, watch)
        document = write_report(selection, out)
    print_report(document, console)
    console.print(f"report: {out}/README.md", markup=False, highlight=False)
    return selection.complete


class _NoteHandler(logging.Handler):
    """Shows the package's warnings among the live progress."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(record.getMessage())


def _load(manifest: Path, plan: str | None) -> tuple["Manifest", "Plan"]:
    from dataselect.manifest import load_manifest
    from dataselect.plan import Plan, load_plan

    loaded = load_manifest(manifest)
    if plan is not None:
        return loaded, load_plan(plan, Path(), "--plan")
    if isinstance(loaded.plan, dict):
        return loaded, loaded.document_at(Plan, "plan")
    return loaded, load_plan(loaded.plan or DEFAULT_PLAN, loaded.base, loaded.where("plan"))


@contextmanager
def _errors(resume: bool = False) -> Iterator[None]:
    """Turn what a user can act on into one line on standard error and an exit code."""
    try:
        yield
    except DataselectError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        going_on = f"; to go on: {_this_command()}" if resume else ""
        typer.echo(f"\ninterrupted{going_on}", err=True)
        raise typer.Exit(130) from None


def _this_command() -> str:
    return shlex.join(["dataselect", *sys.argv[1:]])
