"""`dataselect calibrate`: from checkpoints of a proxy and its target to transfer functions."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    QuietOption,
    StoreOption,
    TrackOption,
    errors,
    notes,
    print_json,
    tell,
)
from dataselect.cli.fit import Protocol
from dataselect.cli.interrupts import this_command
from dataselect.cli.options import Device, DeviceOption


def calibrate(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC",
            help="YAML file that names proxy, target and benchmarks, of one run or several.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File of the transfer functions; the pairs go beside it. [NAME.json]",
        ),
    ] = None,
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="How functions are fitted. [as in SPEC]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be paired and scored, and stop.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm-run-unsafe-code",
            help="Run programs that the target writes even where they cannot be isolated.",
        ),
    ] = False,
    track: TrackOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score a proxy's checkpoints, pair them with a target's accuracies, and fit the functions."""
    from dataselect.report.console import terminal

    console = terminal()
    with errors(resume=True):
        import dataselect as ds
        from dataselect.calibration.paired import pair_all
        from dataselect.calibration.runs import load_calibration
        from dataselect.report.live import LiveWatch
        from dataselect.report.tables.calibrations import planned

        loaded = load_calibration(spec)
        if dry_run:
            for line in planned(pair_all(loaded)):
                tell(line)
            return
        with LiveWatch(terminal(stderr=True, quiet=quiet)) as watch, notes(watch.note):
            calibration = ds.calibrate(
                loaded,
                out=out or Path(f"{loaded[0].name}.json"),
                protocol=None if protocol is None else protocol.value,
                store=store,
                device=device.value,
                unsafe=confirm_run_unsafe_code,
                track=track,
                watch=watch,
                command=this_command(),
            )
    if as_json:
        print_json(calibration.document)
    else:
        from dataselect.report.tables.fits import print_fit

        print_fit(calibration.document, console)
        for title, path in calibration.files.items():
            console.print(f"{title}: {path}", markup=False, highlight=False)
    if not calibration.complete:
        tell(f"some checkpoints failed; to try them again: {this_command()}", err=True)
        raise typer.Exit(3)
