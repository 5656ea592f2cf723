"""`dataselect status`: what runs, how far it is, and what to do where it has died."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, JsonOption, StoreOption, errors, print_json, tell
from dataselect.cli.completion import reports

if TYPE_CHECKING:
    from rich.console import Console

_LOOK_SECONDS = 2.0


def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            autocompletion=reports,
            help="Name of a run, folder of its report, or the beginning of its id. [all runs]",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds until the run ends.")
    ] = False,
) -> None:
    """Show runs from any shell that sees the store: progress, time left, cost, failures."""
    from dataselect.errors import InputError
    from dataselect.report.console import terminal
    from dataselect.report.run_status import print_run, print_runs
    from dataselect.stages.run_status import find_run, list_runs, status_of
    from dataselect.store import open_store

    console = terminal()
    with errors(), _of_this_version():
        root = open_store(store).root  # of a store at a URL the folder in front of it
        if watch and (json or run is None):
            problem = "it shows one run" if run is None else "it is for people"
            raise InputError(
                "--watch", problem, "name a run" if run is None else "leave out --json"
            )
        if run is None:
            found = list_runs(root)
            if json:
                print_json({"runs": [each.as_json() for each in found]})
            elif not found:
                tell(f"no run is recorded in the store {root}")
            else:
                print_runs(found, console)
            return
        known = find_run(root, run)
        if json:
            print_json(status_of(known).as_json())
            return
        if watch:
            _watch(known.folder, console)
            return
        print_run(status_of(known), console)


@contextmanager
def _of_this_version() -> Iterator[None]:
    """Tell a record that says other things than a run writes as such."""
    from dataselect.errors import InputError
    from dataselect.stages.run_status import ODD, ODD_FIX

    try:
        yield
    except ODD as error:
        problem = f"a run's record is none of this version ({type(error).__name__}: {error})"
        raise InputError("runs", problem, ODD_FIX) from None


def _watch(folder: Path, console: "Console") -> None:
    """Show a run again and again, until it has ended or died."""
    from dataselect.report.run_status import print_run
    from dataselect.stages.run_status import status_of
    from dataselect.store.run_record import read_run

    while (known := read_run(folder)) is not None:
        found = status_of(known)
        if console.is_terminal:
            console.clear()
        print_run(found, console)
        if found.state not in ("running", "paused"):
            return
        time.sleep(_LOOK_SECONDS)
