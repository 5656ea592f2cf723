"""Accuracy after fine-tuning: `dataselect score --isft`, and targets of `dataselect calibrate`.

The paper's iSFT baseline: each model is fine-tuned for one epoch on the training set of one
benchmark and evaluated on it, separately for each benchmark. A benchmark without a training set
is an error before anything is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import IncompleteError
from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring.checkpoint import NamedCheckpoint, Precision
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.finetune import FinetunedCheckpoint, asked_as_trained
from dataselect.scoring.score_models import (
    BenchmarkScores,
    ModelScores,
    OnEvent,
    collect_scores,
    ignore,
    measure_models,
)
from dataselect.store import Store

COLUMN = "isft_accuracy"


def tune_recipe(device: str) -> TuneRecipe:
    """The paper's fine-tuning recipe; bf16 on a GPU."""
    return TuneRecipe(precision="bf16" if device.startswith("cuda") else "fp32")


def with_isft(scored: Sequence[BenchmarkScores], finetuned: ModelScores) -> list[BenchmarkScores]:
    """The scores with a column `isft_accuracy`: 1.0 or 0.0, NaN for items too long to be asked.

    `finetuned`: scores of the same models and benchmarks after fine-tuning, in the same order. A
    model that failed there has no such column.
    """
    return [
        _with_column(before, after, finetuned.failed)
        for before, after in zip(scored, finetuned.benchmarks, strict=True)
    ]


def score_finetuned(
    store: Store,
    models: Sequence[NamedCheckpoint],
    evaluations: Sequence[Evaluation],
    training_sets: Mapping[str, BenchmarkItems],
    *,
    device: str,
    precision: Precision,
    unsafe: bool,
    report: Callable[[str], None],
    on_event: OnEvent = ignore,
    on_tuning: Callable[[str], None] | None = None,
) -> ModelScores:
    """Graded answers of the models fine-tuned for each benchmark.

    `training_sets`: by benchmark id. `on_tuning` gets the messages of fine-tuning, else `report`. A
    model that fails on one benchmark fails on all. Raises what `measure_models` raises.
    """
    tuning = on_tuning or report
    tuned: dict[str, list[FinetunedCheckpoint]] = {}
    failed: dict[int, str] = {}
    for evaluation in evaluations:
        training = training_sets[evaluation.benchmark.id]
        tuned[evaluation.benchmark.id] = [
            FinetunedCheckpoint(
                model.name, model, training, tune_recipe(device), store, device, precision, tuning
            )
            for model in models
        ]
        failed |= measure_models(
            store,
            tuned[evaluation.benchmark.id],
            [asked_as_trained(evaluation)],
            ("graded",),
            device=device,
            precision=precision,
            unsafe=unsafe,
            report=report,
            on_event=on_event,
        )
    if failed and len(failed) == len(models):
        raise IncompleteError(
            f"no model could be fine-tuned and asked ({next(iter(failed.values()))})"
        )
    scores = (
        collect_scores(
            store,
            [
                each
                for place, each in enumerate(tuned[evaluation.benchmark.id])
                if place not in failed
            ],
            asked_as_trained(evaluation),
            ("graded",),
        )
        for evaluation in evaluations
    )
    return ModelScores(tuple(scores), failed)


def _with_column(
    scored: BenchmarkScores, after: BenchmarkScores, failed: Mapping[int, str]
) -> BenchmarkScores:
    graded = iter(after.tables)
    tables = []
    for place, table in enumerate(scored.tables):
        if place in failed:
            tables.append(table)
            continue
        correct = next(graded).set_index("item")["correct"].astype(float)
        tables.append(table.assign(**{COLUMN: table["item"].map(correct)}))
    # What is known of the benchmark itself stands among the first notes.
    own = set(after.evaluation.notes)
    notes = tuple(f"after fine-tuning: {note}" for note in after.notes if note not in own)
    return replace(
        scored,
        tables=tuple(tables),
        notes=(*scored.notes, *notes),
        flops=scored.flops + after.flops,
    )
