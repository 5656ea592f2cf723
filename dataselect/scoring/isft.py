"""Accuracy after fine-tuning: `dataselect score --isft`, and targets of `dataselect calibrate`.

The paper's iSFT baseline: each model is fine-tuned for one epoch on the training set of one
benchmark and evaluated on it, separately for each benchmark. A benchmark without a training set
is an error before anything is measured.
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
    """The paper's fine-tuning recipe; bf16 on a GPU."""
    return TuneRecipe(precision="bf16" if device.startswith("cuda") else "fp32")


def with_isft(
    scored: Sequence[BenchmarkScores], finetuned: Sequence[BenchmarkScores]
) -> list[BenchmarkScores]:
    """The scores with a column `isft_accuracy`: 1.0 or 0.0, NaN for items too long to be asked.

    `finetuned`: scores of the same models and benchmarks after fine-tuning, in the same order.
    """
    return [_with_column(before, after) for before, after in zip(scored, finetuned, strict=True)]


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
    """Graded answers of the models fine-tuned for each benchmark; one result per benchmark.

    `training_sets`: by benchmark id.
    """
    scores: list[BenchmarkScores] = []
    for evaluation in evaluations:
        training = training_sets[evaluation.benchmark.id]
        tuned = [
            FinetunedCheckpoint(
                model.name, model, training, tune_recipe(device), store, device, precision, report
            )
            for model in models
        ]
        scores += score_models(
            store,
            tuned,
            [asked_as_trained(evaluation)],
            ("graded",),
            device=device,
            precision=precision,
            unsafe=unsafe,
            report=report,
        )
    return scores


def _with_column(scored: BenchmarkScores, after: BenchmarkScores) -> BenchmarkScores:
    tables = []
    for table, graded in zip(scored.tables, after.tables, strict=True):
        correct = graded.set_index("item")["correct"].astype(float)
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
