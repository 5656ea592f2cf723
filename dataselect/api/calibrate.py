"""`ds.calibrate` and `dataselect calibrate`: transfer functions from checkpoints of two models."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dataselect.api.arguments import as_folder, as_path, as_store, require_one_of
from dataselect.api.result import Result
from dataselect.api.score import Device
from dataselect.calibration.calibrate import Measured, fit, measure
from dataselect.calibration.paired import in_short, pair_all
from dataselect.calibration.runs import datasets_of, load_calibration
from dataselect.calibration.spec import CalibrationSpec
from dataselect.compute import require_device
from dataselect.errors import InputError
from dataselect.formats.in_memory import frame
from dataselect.report.calibration_files import CalibrationFiles
from dataselect.report.numbers import number
from dataselect.report.output import write_out
from dataselect.report.tables.fits import fit_document, fit_verdict
from dataselect.stages.recording import About, recorded
from dataselect.stages.tracking import tracker_choice
from dataselect.stages.watch import SilentWatch, Watch, shown_waits
from dataselect.stages.watching import watches_of
from dataselect.store import in_use
from dataselect.transfer.file import to_json
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.pairs import read_pairs
from dataselect.transfer.protocols import find_direction
from dataselect.wording import one_line

if TYPE_CHECKING:
    import pandas as pd

Protocol = Literal["robust", "paper"]


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Result):
    """Transfer functions from a proxy's rBridge to a target's accuracy, and how far they err."""

    functions: Mapping[str, TransferFunction]
    """By benchmark; they map a score in nats per token to an accuracy in 0..1."""

    document: dict[str, Any]
    """What `dataselect calibrate --json` prints; errors are in points of accuracy (0..100)."""

    files: Mapping[str, Path]
    """The files written, by content; empty without `out`."""

    measured: Measured
    """The pairs of checkpoints with their scores, and the setting they were measured with."""

    @property
    def complete(self) -> bool:
        """Whether no checkpoint failed."""
        return not self.measured.failed

    @cached_property
    def table(self) -> "pd.DataFrame":
        """A row for each benchmark: points, family, fit and errors, as in `document`."""
        import pandas as pd

        rows = {
            name: {key: value for key, value in row.items() if not isinstance(value, list | dict)}
            for name, row in self.document["benchmarks"].items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("benchmark")

    @cached_property
    def pairs(self) -> "pd.DataFrame":
        """The pairs: `metric` in nats per token, `accuracy` in 0..1, tokens and checkpoints.

        `group` is the dataset; `trace_nll` and `label_nll` are other scores of the same proxy
        checkpoint.
        """
        import pandas as pd

        return pd.read_csv(io.StringIO(self.measured.table()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats: what was paired, what was assumed and what was left out."""
        return tuple(self.document["notes"])

    @property
    def verdict(self) -> str:
        """The cross-validated error of each function, of several datasets that on left-out ones."""
        if (count := len(self.document["datasets"])) > 1:
            return f"Calibrated on {count} datasets. {fit_verdict(self.document)}"
        paper = self.document["protocol"] == "paper"
        errors = [
            f"{number(row['test_mae' if paper else 'cv_mae'], 1)} points of accuracy on"
            f" {one_line(name)} ({row['points']} pairs)"
            for name, row in self.document["benchmarks"].items()
        ]
        names = (self.document[key] for key in ("proxy", "target"))
        proxy, target = map(one_line, names)
        return (
            f"From {proxy} to {target}: mean absolute error in cross-validation"
            f" {', '.join(errors)}."
        )

    def _shown(self) -> "Mapping[str, pd.DataFrame]":
        caption = f"{self.document['protocol']} protocol; errors in points of accuracy"
        return {caption: self.table}


def calibrate(
    spec: str | Path | CalibrationSpec | Sequence[CalibrationSpec],
    *,
    out: str | Path | None = None,
    protocol: Protocol | None = None,
    store: str | Path = ".dataselect",
    device: Device = "auto",
    unsafe: bool = False,
    track: Sequence[str] | None = None,
    watch: Watch | None = None,
    command: str | None = None,
) -> Calibration:
    """Score a proxy's checkpoints, pair them with a target's accuracies, and fit the functions.

        result = ds.calibrate("calibration.yaml", out="transfer.json")
        result.table["cv_mae"]               # points of accuracy, by benchmark

    `spec` is a YAML file (docs/calibration.md) or a loaded one, of one run or of several. With
    `out` the functions are written to that file, and the pairs and their setting beside it; without
    it nothing is written.
    `protocol` is the fitting protocol, "robust" or "paper"; by default the spec's.

    Every score is kept in the folder `store`, so a second call reuses it. `device` "auto" takes a
    GPU if there is one; `unsafe` runs programs that the target writes even where they cannot be
    sandboxed. `track`: trackers that show the numbers too, as for `run`. `watch` receives progress,
    for example `dataselect.report.live.LiveWatch`; `command` is recorded in the functions as the
    command that made them.

    Raises InputError for bad input and for too few checkpoints to pair, both before anything is
    scored.
    """
    require_one_of("--device", device, get_args(Device))
    trackers = tracker_choice(None, track)
    if protocol is not None:
        require_one_of("--protocol", protocol, get_args(Protocol))
    if isinstance(spec, str | Path):
        loaded = load_calibration(as_path("spec", spec, "give the path of a calibration spec"))
    else:
        loaded = (spec,) if isinstance(spec, CalibrationSpec) else tuple(spec)
    first = loaded[0]
    if protocol == "paper" and (first.prior is not None or first.offsets):
        of_spec = "no offsets" if first.prior is None else "no prior"
        fix = "leave them out of the spec, or use the robust protocol"
        raise InputError("--protocol", f"the paper's protocol has {of_spec}", fix)
    paired = pair_all(loaded)
    files = None if out is None else CalibrationFiles(as_folder("--out", out))
    kept, where = as_store("--store", store), require_device(device)
    command = command or f"dataselect.calibrate({first.name!r})"
    about = About(
        kind="calibrate",
        name=first.name,
        command=command,
        manifest="",
        plan="",
        report=None,
        device=where,
        subject=str(first.file.resolve()),
    )
    with in_use(kept), recorded(kept.root, about) as recorder:
        watches, _ = watches_of(recorder, [watch or SilentWatch()], {"spec": first.name}, trackers)
        kept = kept.told_to(shown_waits(watches))
        measured = measure(paired, kept, where, unsafe, watches)
        recorder.close("incomplete" if measured.failed else "done")
    return _fitted(
        files,
        measured,
        first.protocol if protocol is None else protocol,
        command,
    )


def _fitted(
    files: CalibrationFiles | None,
    measured: Measured,
    protocol: Protocol,
    command: str,
) -> Calibration:
    if files is None:
        import pandas as pd

        file = read_pairs(frame("pairs", pd.DataFrame(measured.rows)))
    else:
        # Read back from the file, so that `dataselect fit` on it gives the same functions.
        write_out(files.pairs, measured.table())
        write_out(files.setting, measured.setting_file())
        file = read_pairs(files.pairs)
    direction = find_direction(file.benchmarks, True)
    fits = fit(file, measured, protocol, command)
    runs = measured.runs
    spec = runs[0].spec
    functions = {name: each.function for name, each in fits.items()}
    if files is not None:
        write_out(files.functions, to_json(functions.values()))
    facts = {
        "file": None if files is None else str(files.pairs),
        "protocol": protocol,
        "seed": spec.seed,
        "lower_is_better": True,
        "direction_from": "rBridge",
        "functions_file": None if files is None else str(files.functions),
        "proxy": in_short(list(dict.fromkeys(run.proxy.name for run in runs))),
        "target": in_short(list(dict.fromkeys(run.target_name for run in runs))),
        "datasets": datasets_of([run.spec for run in runs]),
        "offsets": spec.offsets,
        "checkpoints": list(measured.checkpoints),
        "failed": dict(measured.failed),
    }
    notes = [*measured.notes, *file.notes, *direction.notes]
    document = fit_document(file, fits, direction.correlations, facts, notes)
    named = {} if files is None else files.named()
    return Calibration(functions, document, named, measured)
