"""Training sets for targets that are fine-tuned before their accuracy is measured (spec's `sft`).

The paper's pre-to-post setting: each checkpoint of the target is fine-tuned on the training set of
each benchmark separately. A benchmark without a training set is an error at the key `sft`. There is
no fallback, because an accuracy without fine-tuning cannot be compared with the others.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from dataselect.benchmarks.definition import Definition
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.own import load_definition
from dataselect.benchmarks.training_set import load_training_set, require_training_set
from dataselect.calibration.spec import CalibrationSpec
from dataselect.config.benchmark import Benchmark
from dataselect.errors import InputError


def check_training_sets(spec: CalibrationSpec) -> None:
    """Raise InputError if a benchmark of the spec has no training set; reads no rows."""
    for chosen in spec.benchmarks:
        with _at_sft(spec):
            require_training_set(_definition(spec, chosen))


def load_training_sets(
    spec: CalibrationSpec, benchmarks: Mapping[str, BenchmarkItems]
) -> dict[str, BenchmarkItems]:
    """The items to fine-tune on, by benchmark id. Raises InputError where a set is missing."""
    loaded = {}
    for chosen in spec.benchmarks:
        folder = None if chosen.folder is None else spec.base / chosen.folder
        with _at_sft(spec):
            definition = _definition(spec, chosen)
            loaded[chosen.id] = load_training_set(definition, benchmarks[chosen.id], folder)
    return loaded


def _definition(spec: CalibrationSpec, chosen: Benchmark) -> Definition:
    if not chosen.is_defined:
        raise InputError(
            chosen.id,
            f"{chosen.items} has items alone, and no training set",
            "describe the benchmark in a YAML file with 'training_set: true'",
        )
    definition = load_definition(chosen.items or chosen.id, spec.base)
    return replace(definition, id=chosen.id)


@contextmanager
def _at_sft(spec: CalibrationSpec) -> Iterator[None]:
    """Prefix an InputError with the place of the key `sft`."""
    try:
        yield
    except InputError as error:
        where = f"{spec.where('target', 'sft')}: target.sft"
        raise InputError(where, f"{error.where}: {error.problem}", error.fix) from None
