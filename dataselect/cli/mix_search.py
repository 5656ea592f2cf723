"""`dataselect mix MANIFEST`: search for the weights of a manifest's sources."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dataselect.cli.common import (
    DEFAULT_STORE,
    OnOption,
    QuietOption,
    StoreOption,
    TrackOption,
    errors,
    notes,
    this_command,
    watched,
)
from dataselect.cli.run import ManifestFile, PlanOption, load


class SearchByDefault(TyperGroup):
    """`mix candidates.yaml` means `mix search candidates.yaml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Insert `search` if the first argument is a YAML file."""
        if args and args[0].endswith((".yaml", ".yml")):
            args = ["search", *args]
        return super().resolve_command(ctx, args)


def search(
    manifest: ManifestFile,
    plan: PlanOption = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="Proxies to train. [the plan's, or 40]")
    ] = None,
    pareto: Annotated[
        int | None,
        typer.Option(
            "--pareto",
            min=0,
            help="Also find this many trade-offs between benchmarks. [the plan's]",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="URL of an Optuna storage. [a journal in the store]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results. [reports/NAME/mixture]")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    on: OnOption = None,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search for weights of a manifest's sources; processes started together share the search."""
    with errors(resume=True):
        from rich.console import Console

        import dataselect as ds
        from dataselect.report.mixture.search import print_search

        inputs = load(manifest, plan)
        console = Console()
        folder = out or Path("reports") / inputs[0].name / "mixture"
        # The results record the command, and the URL of a database may hold a password.
        command = this_command().replace(shlex.quote(storage), "URL") if storage else this_command()
        with watched(console, quiet) as watch, notes(watch.note):
            result = ds.search_mixture(
                *inputs,
                trials=trials,
                pareto=pareto,
                storage=storage,
                store=store,
                out=folder,
                on=on,
                track=track,
                watch=watch,
                command=command,
            )
        print_search(result.document, console)
        console.print(f"files: {folder}", markup=False, highlight=False)
    if result.found.unscored:
        typer.echo(f"{len(result.found.unscored)} trials have no scores; see the notes", err=True)
        raise typer.Exit(3)
