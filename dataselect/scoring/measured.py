"""The scores of a checkpoint as they lie in the store, and what they say of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dataselect import strict_json
from dataselect.benchmarks.items import Exclusion
from dataselect.compute.machine import Machine
from dataselect.errors import IncompleteError
from dataselect.formats.parquet_table import read_table
from dataselect.scoring.checkpoint import Checkpoint
from dataselect.scoring.evaluation import METRICS, Evaluation, Measurement
from dataselect.scoring.non_finite import NOT_FINITE, failure
from dataselect.store import Artifact, Store
from dataselect.traces.trace import NO_TRACE

if TYPE_CHECKING:
    import pandas as pd

_TABLE, _FACTS = "scores.parquet", "facts.json"

_ALWAYS_FINITE: Mapping[Measurement, tuple[str, ...]] = {
    "scores": METRICS,
    "baselines": ("mpca", "answer_nll"),
    "answers": ("ted", "ted_per_token"),
    "graded": ("ted", "ted_per_token", "correct"),
    "masks": (),
}
"""Columns without which an item has no value. Other columns may lack one for an intact model: a
trace without an answer has no `scb_nll`, one without marks no `mask`, and a likelihood ratio may be
too large for a float."""

_WATCHED = (
    *(("rbridge", "rbridge"), ("trace_nll", "trace_nll")),
    *(("answer_nll", "answer_nll"), ("accuracy", "correct")),
)
"""Names of means that are watched, with their columns."""


@dataclass(frozen=True)
class Measured:
    """A measurement of one checkpoint on one benchmark."""

    table: "pd.DataFrame"
    """One row per item: `item` and the measurement's columns."""
    exclusions: tuple[Exclusion, ...]
    """Items that cannot be scored, with the reason; those whose value is not finite among them
    (`scoring.non_finite`)."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""
    flops: float
    model_notes: tuple[str, ...] = ()
    """Remarks on the files of the model, for readers of the scores."""
    machines: tuple[Machine, ...] = ()
    """What measured it; several where sets of traces were scored by different kinds."""

    @cached_property
    def by_item(self) -> "pd.DataFrame":
        """The table's columns, indexed by item."""
        return self.table.set_index("item")

    def means(self) -> dict[str, float]:
        """Means over items of what is watched while scores come in."""
        found = {name: self.table[column] for name, column in _WATCHED if column in self.table}
        return {name: float(values.mean()) for name, values in found.items() if len(values)}


def find(
    store: Store, checkpoint: Checkpoint, evaluation: Evaluation, measurement: Measurement
) -> Measured | None:
    """The measurement, averaged over the sets of traces; None if it is not in the store.

    An item has a score only where it has a trace of every frontier model. Where a trace set says
    why it lacks the item's trace, that reason replaces the general one.
    """
    parts = []
    for spec in evaluation.specs(checkpoint, measurement):
        artifact = store.find(measurement, spec)
        if artifact is None:
            return None
        parts.append(_read(artifact, measurement))
    measured = parts[0] if len(parts) == 1 else _mean(parts)
    # Not in the artifact: sets with equal traces may give different reasons for missing ones.
    reasons = {
        each.item: each
        for traces in evaluation.traces
        for each in traces.exclusions
        if each.item not in traces.traces and each.reason != NO_TRACE
    }
    exclusions = (reasons.get(each.item, each) for each in measured.exclusions)
    return replace(measured, exclusions=tuple(dict.fromkeys(exclusions)))


def read(
    store: Store, checkpoint: Checkpoint, evaluation: Evaluation, measurement: Measurement
) -> Measured:
    """The measurement, as `find` gives it, of a checkpoint that has been measured.

    Raises IncompleteError when it has gone from the store since.
    """
    measured = find(store, checkpoint, evaluation, measurement)
    if measured is None:
        raise IncompleteError(
            f"{measurement} of {evaluation.benchmark.id} have gone from the store {store.root}; "
            "run the same command again to measure them anew"
        )
    return measured


def is_measured(
    store: Store,
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> bool:
    """Whether nothing is left to measure on a checkpoint."""
    return all(
        store.find(measurement, spec)
        for evaluation in evaluations
        for measurement in evaluation.of(measurements)
        for spec in evaluation.specs(checkpoint, measurement)
    )


def failure_of(
    store: Store,
    checkpoint: Checkpoint,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> str | None:
    """Why a measured checkpoint cannot be compared with others; None if it can.

    It cannot if too many of its values on a benchmark are not finite.
    """
    for evaluation in evaluations:
        for measurement in evaluation.of(measurements):
            measured = read(store, checkpoint, evaluation, measurement)
            why = failure(measured.exclusions, len(measured.table), evaluation.benchmark.id)
            if why is not None:
                return why
    return None


def write_measured(
    folder: Path, measured: Measured, model_notes: Sequence[str], machine: Machine
) -> None:
    """Write the files of a measurement's artifact, which `machine` made."""
    measured.table.to_parquet(folder / _TABLE, index=False)
    facts = {
        "exclusions": [asdict(exclusion) for exclusion in measured.exclusions],
        "notes": list(measured.notes),
        "flops": measured.flops,
        "model_notes": list(model_notes),
        "machine": machine.record(),
    }
    (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _read(artifact: Artifact, measurement: Measurement) -> Measured:
    table, facts = artifact.file(_TABLE), artifact.file(_FACTS)
    return _parsed(table, facts, artifact.files[_TABLE].sha256, measurement)


@lru_cache(maxsize=128)
def _parsed(table_file: Path, facts_file: Path, _sha256: str, measurement: Measurement) -> Measured:
    """What the files of an artifact say; kept, for a stage reads it to check it and to rank.

    Nobody changes the table.
    """
    table = read_table(table_file)
    facts = strict_json.loads(facts_file.read_bytes())
    exclusions = [Exclusion(**each) for each in facts["exclusions"]]
    # Artifacts of before items were checked may hold what is not finite.
    columns = [name for name in _ALWAYS_FINITE[measurement] if name in table]
    finite = np.isfinite(table[columns].to_numpy(dtype=np.float64)).all(axis=1)
    if not finite.all():
        exclusions += [Exclusion(item, NOT_FINITE) for item in table.loc[~finite, "item"]]
        table = table.loc[finite].reset_index(drop=True)
    # Artifacts of before have no notes on their model.
    of_model = tuple(facts.get("model_notes", ()))
    return Measured(
        table=table,
        exclusions=tuple(exclusions),
        notes=tuple(facts["notes"]),
        flops=facts["flops"],
        model_notes=of_model,
        machines=(Machine.read(facts.get("machine")),),
    )


def _mean(parts: Sequence[Measured]) -> Measured:
    import pandas as pd

    tables = [part.table.set_index("item") for part in parts]
    shared = [item for item in tables[0].index if all(item in table.index for table in tables)]
    by_item = pd.concat([table.loc[shared] for table in tables]).groupby(level=0, sort=False)
    # A value that one of the sets lacks is no mean over them.
    means = by_item.mean().where(by_item.count() == len(tables))
    return Measured(
        means.loc[shared].reset_index(),
        tuple(dict.fromkeys(each for part in parts for each in part.exclusions)),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        sum(part.flops for part in parts),
        parts[0].model_notes,
        tuple(dict.fromkeys(machine for part in parts for machine in part.machines)),
    )
