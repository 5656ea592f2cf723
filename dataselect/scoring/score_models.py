"""`dataselect score`: measure models that were trained elsewhere on benchmarks, item by item.

All models are compared on the same items: an item that cannot be scored for one model is left
out for all. A model that cannot be measured, or that has too many items without a finite value
(`non_finite`), is failed: it is left out, and the others keep its items. Each measurement is an
artifact, so an interrupted command resumes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from dataselect.benchmarks.items import Exclusion
from dataselect.benchmarks.sandbox import require_isolation
from dataselect.compute import Event
from dataselect.corpus.segmentation import segmentation_hash
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import NamedCheckpoint, Precision
from dataselect.scoring.evaluate import Part, measure, parts_of
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.machine_notes import scoring_note
from dataselect.scoring.measured import Measured, failure_of, read
from dataselect.scoring.non_finite import non_finite_notes, with_models
from dataselect.store import Store
from dataselect.traces.summary import grouped

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[str], None]
OnEvent = Callable[[Event], None]
_log = logging.getLogger("dataselect")


def ignore(_: Event) -> None:
    """Ignore what becomes of the parts of the work."""


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


@dataclass(frozen=True)
class ModelScores:
    """The scores of the models that have them, and why the others have none."""

    benchmarks: tuple[BenchmarkScores, ...]
    """One for each benchmark, with a table for each model that did not fail."""
    failed: Mapping[int, str]
    """Why models failed, by their place among those given."""


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
    on_event: OnEvent = ignore,
) -> ModelScores:
    """Measure what the store lacks and collect everything.

    Raises InputError before anything is measured if programs could only run without isolation
    and `unsafe` is not set, and what `measure_models` raises.
    """
    failed = measure_models(
        store,
        models,
        evaluations,
        measurements,
        device=device,
        precision=precision,
        unsafe=unsafe,
        report=report,
        on_event=on_event,
    )
    kept = [model for number, model in enumerate(models) if number not in failed]
    scores = (collect_scores(store, kept, each, measurements) for each in evaluations)
    return ModelScores(tuple(scores), failed)


def measure_models(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    *,
    device: str,
    precision: Precision,
    unsafe: bool,
    report: Report,
    on_event: OnEvent = ignore,
) -> dict[int, str]:
    """Measure what the store lacks; why models failed, by their place.

    The failure of a single model is raised as the error that it is; so is that of all of several,
    as InputError. Raises InputError as `score_models` does.
    """
    if "graded" in measurements and any(e.benchmark.answer_kind == "code" for e in evaluations):
        require_isolation(unsafe)
    failed: dict[int, str] = {}
    titles = distinct([model.name for model in models])
    for number, model in enumerate(models):
        try:
            measure(
                store,
                model,
                evaluations,
                measurements,
                device=device,
                name=model.name,
                precision=precision,
                unsafe=unsafe,
                report=_numbered(report, number + 1, len(models)),
                title=titles[number],
                on_event=on_event,
            )
            why = failure_of(store, model, evaluations, measurements)
            if why is not None:
                raise InputError(model.name, *why.split("; ", 1))
        except Exception as error:
            # Whatever is wrong with one model costs the others nothing.
            if len(models) == 1:
                raise
            failed[number] = str(error) or repr(error)
            parts = parts_of(model, evaluations, measurements, titles[number])
            _fail(store, parts, failed[number], on_event)
            _log.warning("%s failed: %s", model.name, failed[number])
    if failed and len(failed) == len(models):
        raise InputError(
            "models",
            f"none of the {len(models)} could be scored ({models[0].name}: {failed[0]})",
            "score an intact model",
        )
    return failed


def _fail(store: Store, parts: Sequence[Part], why: str, on_event: OnEvent) -> None:
    """The parts of a model that failed which the store lacks are not measured. The failure is shown
    once, as a warning, so these say it quietly."""
    for part in parts:
        if store.find(part.measurement, part.spec) is None:
            on_event(Event(part.name, "failed", {"error": why, "quiet": 1}))


def tokenizers_note(models: Sequence[NamedCheckpoint]) -> list[str]:
    """A note where models split texts into other tokens: their values per token differ by that.

    It needs the models' files, which a model on the Hub may not have here.
    """
    groups: dict[str, list[str]] = {}
    for name, model in zip(distinct([each.name for each in models]), models, strict=True):
        groups.setdefault(segmentation_hash(model.folder()), []).append(name)
    if len(groups) < 2:
        return []
    shown = "; ".join(", ".join(names) for names in groups.values())
    return [f"values per token cannot be compared between models of other tokenizers ({shown})"]


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

    Only items that all models and trace sets have; raises InputError when there is none, and for a
    model with too many values that are not finite.
    """
    import pandas as pd

    single = [replace(evaluation, traces=(traces,)) for traces in evaluation.traces]
    for model in models:
        measure(store, model, single, ("scores",), device=device, name=model.name, report=report)
        why = failure_of(store, model, single, ("scores",))
        if why is not None:
            raise InputError(model.name, *why.split("; ", 1))
    names = distinct([model.name for model in models])
    tables = []
    for each in single:
        scores = collect_scores(store, models, each, ("scores",))
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


def collect_scores(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluation: Evaluation,
    measurements: Sequence[Measurement],
) -> BenchmarkScores:
    """The measurements of models on a benchmark, side by side on the items that all have."""
    possible = evaluation.of(measurements)
    by_model = [[read(store, model, evaluation, each) for each in possible] for model in models]
    parts = [part for of_model in by_model for part in of_model]
    items = set.intersection(*(set(part.table["item"]) for part in parts))
    names = distinct([model.name for model in models])
    mixed = scoring_note(
        {
            name: tuple(machine for part in of_model for machine in part.machines)
            for name, of_model in zip(names, by_model, strict=True)
        }
    )
    left_out = with_models(
        (name, part.exclusions)
        for name, of_model in zip(names, by_model, strict=True)
        for part in of_model
    )
    excluded: dict[str, Exclusion] = {}
    for each in (*evaluation.left_out, *left_out):
        excluded.setdefault(each.item, each)
    notes = [*(note for part in parts for note in part.notes), *non_finite_notes(left_out)]
    notes += [] if mixed is None else [mixed]
    return BenchmarkScores(
        evaluation,
        tuple(_joined(of_model, items) for of_model in by_model),
        tuple(excluded.values()),
        tuple(dict.fromkeys([*_model_notes(names, by_model), *evaluation.notes, *notes])),
        sum(part.flops for part in parts),
    )


def _model_notes(names: Sequence[str], by_model: Sequence[Sequence[Measured]]) -> list[str]:
    """Remarks on the models' files, each with the name of its model."""
    return [
        f"{name}: {note}"
        for name, parts in zip(names, by_model, strict=True)
        for part in parts
        for note in part.model_notes
    ]


def _joined(parts: Sequence[Measured], items: set[str]) -> "pd.DataFrame":
    """Measurements of one model side by side on the given items, in the order of the first."""
    table = parts[0].table[parts[0].table["item"].isin(items)]
    for part in parts[1:]:
        table = table.merge(part.table, on="item", how="left", validate="one_to_one")
    return table.reset_index(drop=True)
