"""Accuracy after fine-tuning: `dataselect score --isft`, and targets of `dataselect calibrate`.

The paper's iSFT baseline: each model is fine-tuned for one epoch on the training set of each
benchmark, apart, and then asked. A benchmark without a training set is an error before anything
is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring.checkpoint import NamedCheckpoint, Precision
from dataselect.scoring.evaluate import Evaluation
from dataselect.scoring.finetune import FinetunedCheckpoint, asked_as_trained
from dataselect.scoring.score_models import BenchmarkScores, score_models
from dataselect.store import Store

COLUMN = "isft_accuracy"


def tune_recipe(device: str) -> TuneRecipe:
    """The paper's fine-tuning; in bf16 on a GPU."""
    return TuneRecipe(precision="bf16" if device.startswith("cuda") else "fp32")


def with_isft(
    scored: Sequence[BenchmarkScores], finetuned: Sequence[BenchmarkScores]
) -> list[BenchmarkScores]:
    """The scores with a column `isft_accuracy`: 1.0 or 0.0 an item, empty where it had no room.

    `finetuned` are those of the same models and benchmarks after fine-tuning.
    """
    return [_with_column(own, after) for own, after in zip(scored, finetuned, strict=True)]


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
) -> list[BenchmarkScores]:
    """What models answer after fine-tuning for each benchmark, graded; one result for each.

    `training_sets` are by benchmark id.
    """
    made: list[BenchmarkScores] = []
    for evaluation in evaluations:
        training = training_sets[evaluation.benchmark.id]
        tuned = [
            FinetunedCheckpoint(
                model.name, model, training, tune_recipe(device), store, device, precision, report
            )
            for model in models
        ]
        made += score_models(
            store,
            tuned,
            [asked_as_trained(evaluation)],
            ("graded",),
            device=device,
            precision=precision,
            unsafe=unsafe,
            report=report,
        )
    return made


def _with_column(scored: BenchmarkScores, after: BenchmarkScores) -> BenchmarkScores:
    tables = []
    for table, own in zip(scored.tables, after.tables, strict=True):
        right = own.set_index("item")["correct"].astype(float)
        tables.append(table.assign(**{COLUMN: table["item"].map(right)}))
    notes = tuple(f"after fine-tuning: {note}" for note in after.notes)
    return replace(
        scored,
        tables=tuple(tables),
        notes=(*scored.notes, *notes),
        flops=scored.flops + after.flops,
    )
