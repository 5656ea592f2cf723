"""`dataselect mix MANIFEST`: search for the weights of a manifest's sources."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dataselect.cli.common import DEFAULT_STORE, StoreOption, errors, notes, this_command
from dataselect.cli.run import ManifestFile, PlanOption, load


class SearchByDefault(TyperGroup):
    """`mix candidates.yaml` means `mix search candidates.yaml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A word that ends like a YAML file is no command."""
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
            "--pareto", min=0, help="Also find so many trade-offs between benchmarks. [the plan's]"
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
) -> None:
    """Search for weights of a manifest's sources; start it several times, and they share it."""
    with errors(resume=True):
        from rich.console import Console

        from dataselect.compute import default_compute, resolve_device
        from dataselect.config.mixture import Mix
        from dataselect.mixture_search.prepare import check
        from dataselect.mixture_search.search import search as find
        from dataselect.report.live import LiveWatch
        from dataselect.report.mixture.search import print_search, write_search
        from dataselect.store import Store, lock

        loaded, chosen = load(manifest, plan)
        if trials is not None:
            chosen = chosen.model_copy(update={"mix": _with_trials(chosen.mix, trials)})
        if pareto is not None:
            changed = (chosen.mix or Mix()).model_copy(update={"pareto": pareto})
            chosen = chosen.model_copy(update={"mix": changed})
        check(loaded, chosen)
        console, kept = Console(), Store(store)
        device = resolve_device(chosen.compute.device)
        folder = out or Path("reports") / loaded.name / "mixture"
        with lock(kept.root, "the store", shared=True):
            compute = default_compute(chosen.compute.jobs, chosen.compute.threads, device)
            with compute, LiveWatch(console) as watch, notes(watch.note):
                found = find(loaded, chosen, kept, compute, device, watch, storage=storage)
        # A database's URL may hold a password, and the results are to be passed on.
        command = this_command().replace(shlex.quote(storage), "URL") if storage else this_command()
        document = write_search(found, loaded, chosen, folder, command)
        print_search(document, console)
        console.print(f"files: {folder}", markup=False, highlight=False)


def _with_trials(mix: Any, trials: int) -> Any:
    """The search with another number of trials, checked as if the plan had said so."""
    from dataselect.config.mixture import FEWEST_DESIGNED, Mix
    from dataselect.errors import InputError

    if trials < FEWEST_DESIGNED:
        raise InputError(
            "--trials", f"{trials} are too few for a model", f"give {FEWEST_DESIGNED} or more"
        )
    changed = (mix or Mix()).model_copy(update={"trials": trials})
    if changed.replicates >= changed.designed:
        raise InputError(
            "--trials",
            f"{trials} leave none for mixtures beside {changed.replicates} of the prior",
            "give more, or lower 'replicates'",
        )
    return changed
