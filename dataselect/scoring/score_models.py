"""`dataselect score`: measure models that were trained elsewhere on benchmarks, item by item.

All models are compared on the same items: an item that cannot be scored for one model is left
out for all. Each measurement is an artifact, so an interrupted command resumes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from dataselect.benchmarks.items import Exclusion
from dataselect.benchmarks.sandbox import require_isolation
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import NamedCheckpoint, Precision
from dataselect.scoring.evaluate import Evaluation, Measured, Measurement, measure, read
from dataselect.store import Store
from dataselect.traces.summary import grouped

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkScores:
    """Scores on one benchmark, on the items that all models have."""

    evaluation: Evaluation
    tables: tuple["pd.DataFrame", ...]
    """One per model, in the order given: `item` and a column for each metric."""
    exclusions: tuple[Exclusion, ...]
    """Each item once, with the first reason."""
    notes: tuple[str, ...]
    """Remarks for readers of the scores."""
    flops: float
    """Over all models."""


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
    """Measure what the store lacks and collect everything; one result for each benchmark.

    Raises InputError before anything is measured if programs could only run without isolation
    and `unsafe` is not set.
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
    """Raise InputError, with the most frequent reason, if a benchmark has no item left.

    Other measurements stay in the store, so a second command without that benchmark is quick.
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
            "leave out the benchmark, or the model that cannot be scored on it",
        )


def score_by_frontier(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluation: Evaluation,
    *,
    device: str,
    report: Report,
) -> dict[str, "pd.DataFrame"]:
    """rBridge scores, items x models, by the name of the traces' frontier model.

    Only items that all models and trace sets have; raises InputError when there is none.
    """
    import pandas as pd

    single = [replace(evaluation, traces=(traces,)) for traces in evaluation.traces]
    for model in models:
        measure(store, model, single, ("scores",), device=device, name=model.name, report=report)
    names = distinct([model.name for model in models])
    tables = []
    for each in single:
        scores = _collect(store, models, each, ("scores",))
        columns = [table.set_index("item")["rbridge"] for table in scores.tables]
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
        # Two files of one model, say with two prompts, are distinguished by the traces' hash.
        named[f"{name} ({traces.hash[:8]})" if name in named else name] = table.loc[shared]
    return named


def _numbered(report: Report, number: int, count: int) -> Report:
    """Prefix messages with the model's number, if there are several."""
    return report if count == 1 else lambda text: report(f"{number}/{count} {text}")


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to repeated ones: two folders may have one name."""
    unique: list[str] = []
    for name in names:
        if name not in unique:
            unique.append(name)
            continue
        numbered = (f"{name}-{number}" for number in count(2))
        unique.append(next(each for each in numbered if each not in {*names, *unique}))
    return unique


def _collect(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluation: Evaluation,
    measurements: Sequence[Measurement],
) -> BenchmarkScores:
    by_model = [[read(store, model, evaluation, each) for each in measurements] for model in models]
    parts = [part for of_model in by_model for part in of_model]
    items = set.intersection(*(set(part.table["item"]) for part in parts))
    excluded: dict[str, Exclusion] = {}
    for each in (*evaluation.left_out, *(each for part in parts for each in part.exclusions)):
        excluded.setdefault(each.item, each)
    return BenchmarkScores(
        evaluation,
        tuple(_joined(of_model, items) for of_model in by_model),
        tuple(excluded.values()),
        tuple(dict.fromkeys((*evaluation.notes, *(n for part in parts for n in part.notes)))),
        sum(part.flops for part in parts),
    )


def _joined(parts: Sequence[Measured], items: set[str]) -> "pd.DataFrame":
    """Measurements of one model side by side on the given items, in the order of the first."""
    table = parts[0].table[parts[0].table["item"].isin(items)]
    for part in parts[1:]:
        table = table.merge(part.table, on="item", how="left", validate="one_to_one")
    return table.reset_index(drop=True)
