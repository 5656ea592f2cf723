"""`dataselect calibrate`: from checkpoints of a proxy and its target to transfer functions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import (
    DEFAULT_STORE,
    StoreOption,
    errors,
    notes,
    print_json,
    this_command,
    write_out,
)
from dataselect.cli.fit import Protocol
from dataselect.cli.options import Device, DeviceOption
from dataselect.errors import InputError

if TYPE_CHECKING:
    from dataselect.calibration.calibrate import Measured, Paired


def calibrate(
    spec: Annotated[
        Path,
        typer.Argument(metavar="SPEC", help="YAML file of the proxy, the target and benchmarks."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The transfer functions; the pairs go beside them. [NAME.json]"),
    ] = None,
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="How functions are fitted. [the spec's]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be paired and scored, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = Device.auto,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option(
            "--confirm-run-unsafe-code",
            help="Run programs that the target writes even where they cannot be isolated.",
        ),
    ] = False,
) -> None:
    """Score a proxy's checkpoints, pair them with a target's accuracies, and fit the functions."""
    from rich.console import Console

    from dataselect.calibration.calibrate import measure, pair
    from dataselect.calibration.spec import load_calibration
    from dataselect.compute import resolve_device
    from dataselect.report.live import LiveWatch
    from dataselect.store import Store, lock

    console = Console()
    with errors(resume=True):
        loaded = load_calibration(spec)
        paired = pair(loaded)
        if dry_run:
            lines = [
                *paired.notes(),
                *(f"proxy: {each.label} ({each.commit or each.place})" for each in paired.proxies),
                *(f"target: {each.label} ({each.commit or each.place})" for each in paired.targets),
            ]
            typer.echo("\n".join(lines))
            return
        files = _Files(out or Path(f"{loaded.name}.json"))
        kept = Store(store)
        with (
            lock(kept.root, "the store"),
            LiveWatch(Console(stderr=True)) as watch,
            notes(watch.note),
        ):
            kept.clean()
            where = resolve_device(device.value)
            measured = measure(paired, kept, where, confirm_run_unsafe_code, watch)
        document = _fit(files, paired, measured, protocol)
    if as_json:
        print_json(document)
        return
    from dataselect.report.tables.fits import print_fit

    print_fit(document, console)
    for title, path in files.named().items():
        console.print(f"{title}: {path}", markup=False, highlight=False)


class _Files:
    """What is written: the functions, and beside them the pairs and what these were measured with.

    Raises InputError at once where nothing can be written, not after hours of scoring.
    """

    def __init__(self, functions: Path) -> None:
        self.functions = functions
        self.pairs = functions.with_name(f"{functions.stem}.pairs.csv")
        self.setting = functions.with_name(f"{functions.stem}.setting.json")
        if functions.is_dir():
            raise InputError(functions, "this is a folder", "give a file to --out")
        try:
            functions.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                functions, f"cannot be written: {error.strerror}", "give another --out"
            ) from None

    def named(self) -> dict[str, Path]:
        """The files by what they hold."""
        return {
            "pairs": self.pairs,
            "their setting": self.setting,
            "transfer functions": self.functions,
        }


def _fit(
    files: _Files, paired: "Paired", measured: "Measured", chosen: Protocol | None
) -> dict[str, object]:
    from dataselect.calibration.calibrate import fit
    from dataselect.report.tables.fits import fit_document
    from dataselect.transfer.file import to_json
    from dataselect.transfer.pairs import read_pairs
    from dataselect.transfer.protocols import find_direction

    # Read back from the table, so that `dataselect fit` on it gives the same.
    write_out(files.pairs, measured.table())
    write_out(files.setting, measured.setting_file())
    file = read_pairs(files.pairs)
    protocol = paired.spec.protocol if chosen is None else chosen.value
    direction = find_direction(file.benchmarks, True)
    fits = fit(file, paired, measured, protocol, this_command())
    write_out(files.functions, to_json(each.function for each in fits.values()))
    facts = {
        "file": str(files.pairs),
        "protocol": protocol,
        "seed": paired.spec.seed,
        "lower_is_better": True,
        "direction_from": "rBridge",
        "functions_file": str(files.functions),
        "proxy": paired.proxy.name,
        "target": paired.target_name,
        "checkpoints": list(measured.checkpoints),
    }
    return fit_document(
        file,
        fits,
        direction.correlations,
        facts,
        [*measured.notes, *file.notes, *direction.notes],
    )
