"""`dataselect mix MANIFEST`: search for the weights of a manifest's sources."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dataselect.cli.command import Commands
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
from dataselect.cli.interrupts import this_command
from dataselect.cli.run import ManifestFile, PlanOption, load


class SearchByDefault(Commands):
    """`mix candidates.yaml` means `mix search candidates.yaml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Insert `search` if the first argument is a file or folder, or ends as a YAML file."""
        if args and args[0] not in self.commands and _is_path(args[0]):
            args = ["search", *args]
        return super().resolve_command(ctx, args)


def _is_path(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) or "/" in text or Path(text).exists()


def search(
    manifest: ManifestFile,
    plan: PlanOption = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", metavar="N", help="Proxies to train. [the plan's, or 40]"),
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
        typer.Option(
            "--storage", metavar="URL", help="URL of an Optuna storage. [a journal in the store]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the results. [reports/NAME/mixture]"),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    on: OnOption = None,
    as_json: JsonOption = False,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search for weights of a manifest's sources; processes started together share the search."""
    with errors(resume=True):
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.live import LiveWatch
        from dataselect.report.mixture.search import print_search

        inputs = load(manifest, plan)
        console = terminal()
        folder = out or Path("reports") / inputs[0].name / "mixture"
        # The results record the command, and the URL of a database may hold a password.
        command = this_command().replace(shlex.quote(storage), "URL") if storage else this_command()
        with LiveWatch(progress_console(quiet, as_json)) as watch, notes(watch.note):
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
        if as_json:
            print_json({**result.document, "spent": result.spent})
        else:
            print_search(result.document, result.spent, console)
            page = f"report: {folder}/README.md (weights as files for trainers are beside it)"
            console.print(page, markup=False, highlight=False, soft_wrap=True)
    if result.found.unscored:
        tell(f"{len(result.found.unscored)} trials have no scores; see the notes", err=True)
        raise typer.Exit(3)
