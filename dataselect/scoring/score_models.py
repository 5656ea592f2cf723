"""`dataselect score`: models that were trained elsewhere, measured on benchmarks, item by item.

All models are compared on the same items: one that cannot be scored for one model is left out
for all. Each measurement is an artifact, so a command that was stopped goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from dataselect.benchmarks.items import Exclusion
from dataselect.benchmarks.sandbox import require_isolation
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import NamedCheckpoint, Precision
from dataselect.scoring.evaluate import Evaluation, Measured, Measurement, find, measure
from dataselect.store import Store
from dataselect.traces.summary import grouped

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkScores:
    """What was measured on one benchmark, on the items that all models have.

    `tables`: one for each model, in the order asked, with `item` and a column for each metric.
    `exclusions`: each item once, with the first reason.
    """

    evaluation: Evaluation
    tables: tuple["pd.DataFrame", ...]
    exclusions: tuple[Exclusion, ...]
    notes: tuple[str, ...]
    flops: float


def score_models(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    *,
    device: str,
    precision: Precision,
    unsafe: bool,
    report: Report,
) -> list[BenchmarkScores]:
    """Measure what is missing and collect it all; one result for each benchmark.

    Raises InputError before anything is measured when programs would have to be run without
    isolation and `unsafe` is not set.
    """
    if "graded" in measurements and any(e.benchmark.answer_kind == "code" for e in evaluations):
        require_isolation(unsafe)
    for number, model in enumerate(models, start=1):
        measure(
            store,
            model,
            evaluations,
            measurements,
            device=device,
            name=model.name,
            precision=precision,
            unsafe=unsafe,
            report=_numbered(report, number, len(models)),
        )
    return [_collect(store, models, evaluation, measurements) for evaluation in evaluations]


def require_items(scores: Sequence[BenchmarkScores]) -> None:
    """Raise InputError where not one item of a benchmark is left, with what was most in the way.

    All else that was measured is kept, so the command without that benchmark takes a moment.
    """
    for each in scores:
        if len(each.tables[0]) > 0:
            continue
        reasons = grouped(each.exclusions)
        why = f" ({reasons[0][1]}: {reasons[0][0]})" if reasons else ""
        raise InputError(
            f"benchmark '{each.evaluation.benchmark.id}'",
            f"it has no item that {'every' if len(each.tables) > 1 else 'the'} model can be"
            f" scored on{why}",
            "leave out the benchmark, or the model that cannot take it",
        )


def score_by_frontier(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluation: Evaluation,
    *,
    device: str,
    report: Report,
) -> dict[str, "pd.DataFrame"]:
    """rBridge, items x models, by the traces' frontier model, on the items that all have.

    Raises InputError when there is none.
    """
    import pandas as pd

    apart = [replace(evaluation, traces=(traces,)) for traces in evaluation.traces]
    for model in models:
        measure(store, model, apart, ("scores",), device=device, name=model.name, report=report)
    names = distinct([model.name for model in models])
    tables = []
    for each in apart:
        made = _collect(store, models, each, ("scores",))
        columns = [table.set_index("item")["rbridge"] for table in made.tables]
        tables.append(pd.concat(columns, axis=1, keys=names))
    shared = [item for item in tables[0].index if all(item in table.index for table in tables)]
    if not shared:
        raise InputError(
            f"benchmark '{evaluation.benchmark.id}'",
            "there is no item that every model can be scored on with every trace file",
            "leave out a trace file or a model, or use more items",
        )
    named: dict[str, pd.DataFrame] = {}
    for traces, table in zip(evaluation.traces, tables, strict=True):
        name = traces.header.model
        # Two files of one model, say with two prompts, are told apart by their traces.
        named[f"{name} ({traces.hash[:8]})" if name in named else name] = table.loc[shared]
    return named


def _numbered(report: Report, number: int, count: int) -> Report:
    """The report with the model's place among several in front."""
    return report if count == 1 else lambda text: report(f"{number}/{count} {text}")


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that came before: two folders may be called alike."""
    made: list[str] = []
    for name in names:
        if name not in made:
            made.append(name)
            continue
        numbered = (f"{name}-{number}" for number in count(2))
        made.append(next(each for each in numbered if each not in {*names, *made}))
    return made


def _collect(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluation: Evaluation,
    measurements: Sequence[Measurement],
) -> BenchmarkScores:
    found = [[_found(store, model, evaluation, each) for each in measurements] for model in models]
    parts = [part for of_model in found for part in of_model]
    items = set.intersection(*(set(part.table["item"]) for part in parts))
    excluded: dict[str, Exclusion] = {}
    for each in (*evaluation.left_out, *(each for part in parts for each in part.exclusions)):
        excluded.setdefault(each.item, each)
    return BenchmarkScores(
        evaluation,
        tuple(_joined(of_model, items) for of_model in found),
        tuple(excluded.values()),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        sum(part.flops for part in parts),
    )


def _found(
    store: Store, model: NamedCheckpoint, evaluation: Evaluation, measurement: Measurement
) -> Measured:
    measured = find(store, model, evaluation, measurement)
    assert measured is not None, "it was measured before it is collected"
    return measured


def _joined(parts: Sequence[Measured], items: set[str]) -> "pd.DataFrame":
    """Measurements side by side, in the order of the first, on the given items."""
    table = parts[0].table[parts[0].table["item"].isin(items)]
    for part in parts[1:]:
        table = table.merge(part.table, on="item", how="left", validate="one_to_one")
    return table.reset_index(drop=True)
