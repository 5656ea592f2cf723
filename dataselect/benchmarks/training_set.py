"""The training set of a benchmark, for those that have one.

It is the benchmark with other items: prompt and gold label are the same, so a model fine-tuned on
it answers in the form that is graded. It contains no item of the benchmark.
"""

from dataclasses import replace
from pathlib import Path

from dataselect.benchmarks.definition import Definition
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.load import training_items
from dataselect.errors import InputError


def load_training_set(
    definition: Definition, benchmark: BenchmarkItems, folder: Path | None
) -> BenchmarkItems:
    """The items to fine-tune on for `benchmark`, which `definition` describes.

    Raises InputError for a benchmark without a training set, and when `folder` lacks its file.
    """
    require_training_set(definition)
    items = training_items(definition, folder)
    if not items:
        raise InputError(
            definition.id,
            f"its training set is not in {folder}" if folder else "its training set is empty",
            "put the file there (docs/benchmarks.md names it), or leave the benchmark out",
        )
    return without_examples(replace(benchmark, items=items))


def require_training_set(definition: Definition) -> None:
    """Raise InputError for a benchmark without a training set; reads nothing."""
    if not definition.training_set:
        raise InputError(
            definition.id,
            "it has no training set to fine-tune on",
            "leave it out of the fine-tuning; GSM8K, MATH500, ARC-Challenge, CommonsenseQA and"
            " benchmark files with 'training_set: true' have one",
        )


def without_examples(benchmark: BenchmarkItems) -> BenchmarkItems:
    """The benchmark with zero-shot prompts, as models are fine-tuned on it."""
    return replace(benchmark, shots=(), shot_count=None)
