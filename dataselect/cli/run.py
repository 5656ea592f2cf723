"""The commands around a run: `init`, `validate`, `plan` and `run`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    OnOption,
    QuietOption,
    StoreOption,
    TrackOption,
    errors,
    notes,
    print_json,
    progress_console,
    tell,
)
from dataselect.cli.completion import manifests, plans
from dataselect.cli.interrupts import this_command

if TYPE_CHECKING:
    from dataselect.config.manifest import Manifest
    from dataselect.config.plan import Plan

_PARTS = {
    "candidates": "manifests: what to choose among",
    "stages": "plans: how to choose",
    "data": "small made-up texts, which example-local.yaml reads",
    "reports": "where reports go",
}
"""The folders of a new project."""

ManifestFile = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        autocompletion=manifests,
        help="YAML file of candidates, such as candidates.yaml.",
    ),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="PLAN",
        autocompletion=plans,
        help="Plan: a name in stages/, or a file. [the manifest's plan]",
    ),
]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new project.")],
) -> None:
    """Write a new project: manifests, plans, and small texts on which the first one runs."""
    with errors():
        import dataselect as ds

        written = [path.relative_to(folder) for path in ds.init(folder)]
        for part, what in _PARTS.items():
            count = sum(path.parts[0] == part for path in written)
            tell(f"{folder / part}/  {what} ({count} {'file' if count == 1 else 'files'})")
        there = shlex.quote(str(folder))
        tell(f"next: cd {there} && dataselect run candidates/example-local.yaml")
        tell("It takes a minute or two; then change what is marked EDIT in that file.")


def validate(
    manifest: ManifestFile, plan: PlanOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """Check manifest, plan, benchmarks, traces and the first rows of every source."""
    from dataselect.cli.validation import validate as check
    from dataselect.store import open_store

    with errors():
        loaded, chosen = load(manifest, plan)
        for line in check(loaded, chosen, open_store(store)):
            tell(line)


def plan(
    manifest: ManifestFile, plan: PlanOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """Print what a run would train and what it would cost, and spend nothing."""
    from dataselect.report.console import terminal
    from dataselect.report.selection.planned import print_plan

    with errors():
        print_plan(*load(manifest, plan), store, terminal())


def run(
    manifest: ManifestFile,
    plan: PlanOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the report. [reports/NAME]"),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also compare every metric's ranking in Stage 1.")
    ] = False,
    on: OnOption = None,
    as_json: JsonOption = False,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Screen, predict, rank and report; repeat the command to resume."""
    from dataselect.report.console import terminal

    console = terminal()
    with errors(resume=True):
        import dataselect as ds
        from dataselect.report.live import LiveWatch
        from dataselect.report.selection.terminal import print_report

        inputs = load(manifest, plan)
        folder = out or Path("reports") / inputs[0].name
        with LiveWatch(progress_console(quiet, as_json)) as watch, notes(watch.note):
            result = ds.run(
                *inputs,
                store=store,
                out=folder,
                compare_metrics=ablate,
                on=on,
                track=track,
                watch=watch,
                command=this_command(),
            )
        mixture = result.document["mixture"]
        if as_json:
            print_json(result.document)
        else:
            print_report(result.document, console)
            page = f"report: {folder}/report.html (README.md is the same as Markdown)"
            console.print(page, markup=False, highlight=False, soft_wrap=True)
        if mixture is not None and mixture["status"] == "done" and not as_json:
            from dataselect.report.mixture.search import print_search

            print_search(mixture["proposal"], mixture["spent"], console)
            page = folder / mixture["folder"] / "README.md"
            console.print(f"mixture: {page}", markup=False, highlight=False, soft_wrap=True)
    problem = result.mixture_problem
    if problem is not None:
        tell(f"error: no mixture was found: {problem}", err=True)
        tell(f"the selection is reported; to go on: {this_command()}", err=True)
        raise typer.Exit(problem.exit_code)
    if mixture is not None and mixture["status"] == "done":
        unscored = mixture["proposal"]["search"].get("unscored")
        if unscored:
            tell(f"{len(unscored)} trials of the mixture have no scores", err=True)
            raise typer.Exit(3)
    if not result.complete:
        tell(f"some candidates failed; to try them again: {this_command()}", err=True)
        raise typer.Exit(3)


def load(manifest: Path, plan: str | None) -> tuple["Manifest", "Plan"]:
    """The manifest, and the plan of the option, else of the manifest, else the default."""
    from dataselect.api.inputs import load_inputs

    return load_inputs(manifest, plan, "--plan")
