"""The tables that `fit_mixture` takes: files, frames, and folders of a swarm or of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataselect.api.table_options import TableInput, as_table
from dataselect.errors import InputError
from dataselect.formats.in_memory import Frame, Table
from dataselect.mixture.swarm import read_runs
from dataselect.mixture.swarm_file import read_record


@dataclass(frozen=True)
class SwarmInputs:
    """What a fit reads."""

    tables: Mapping[str, Table]
    """By role: `ratios`, `metrics` (`metrics-2`, … where there are several), `epochs`."""
    metrics: tuple[Table, ...]
    """The tables of metrics."""
    notes: tuple[str, ...]
    """What was chosen of files of results."""
    repeats: Mapping[str, str] = field(default_factory=dict)
    """Runs that repeat an earlier one, by name."""


def read_inputs(
    ratios: TableInput,
    metrics: TableInput | Sequence[TableInput],
    epochs: TableInput | None,
    lower_is_better: bool,
) -> SwarmInputs:
    """The tables in what was given. Raises InputError for a folder without them."""
    tables: dict[str, Table] = {"ratios": as_table("ratios", ratios)}
    repeats: dict[str, str] = {}
    swarm = tables["ratios"]
    if isinstance(swarm, Path) and swarm.is_dir():
        tables["ratios"] = swarm / "ratios.csv"
        if not (swarm / "ratios.csv").exists():
            fix = "name a folder that 'dataselect mix swarm' wrote"
            raise InputError(swarm, "it has no ratios.csv", fix)
        record = read_record(swarm)
        repeats = {r.run: r.repeats for r in record.runs if r.repeats} if record else {}
        if epochs is None and (swarm / "epochs.csv").exists():
            tables["epochs"] = swarm / "epochs.csv"
    one = isinstance(metrics, str) or not isinstance(metrics, Sequence)
    each: Sequence[TableInput] = [metrics] if one else metrics  # type: ignore[list-item, assignment]
    if not each:
        raise InputError("metrics", "no table is given", "give one, or several in a list")
    notes: list[str] = []
    found = []
    for i, given in enumerate(each, start=1):
        table = as_table("metrics", given)
        if isinstance(table, Path) and table.is_dir():
            table = _of_results(table, tables["ratios"], lower_is_better, notes)
        tables["metrics" if i == 1 else f"metrics-{i}"] = table
        found.append(table)
    if epochs is not None:
        tables["epochs"] = as_table("epochs", epochs)
    return SwarmInputs(tables, tuple(found), tuple(notes), repeats)


def _of_results(folder: Path, ratios: Table, lower_is_better: bool, notes: list[str]) -> Frame:
    import pandas as pd

    from dataselect.calibration.swarm_results import read_swarm_results

    results = read_swarm_results(folder, read_runs(ratios)[1].names, lower_is_better)
    notes += results.notes
    rows = [
        [run, *(values.get(task) for task in results.tasks)]
        for run, values in results.values.items()
    ]
    return Frame(str(folder), "results", pd.DataFrame(rows, columns=["run", *results.tasks]))
