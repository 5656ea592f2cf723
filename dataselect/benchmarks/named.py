"""Benchmarks that are asked for by name on the spot: known ones, and YAML files of one's own.

A plan or a calibration spec says more about its benchmarks; those are read by `scoring.gather`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataselect.benchmarks.definition import Definition
from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.benchmarks.load import load_benchmark
from dataselect.benchmarks.own import load_definition
from dataselect.benchmarks.training_set import load_training_set
from dataselect.errors import InputError
from dataselect.wording import one_line


@dataclass(frozen=True)
class NamedBenchmark:
    """A benchmark as it was loaded."""

    definition: Definition
    """What the name stands for; it finds the training set too."""

    benchmark: BenchmarkItems
    """Items, worked examples and prompts."""

    left_out: tuple[Exclusion, ...]
    """Malformed rows."""


def split_names(text: str) -> list[str]:
    """Names with commas between them, as on the command line."""
    return [name.strip() for name in text.split(",") if name.strip()]


def load_benchmarks(
    names: Sequence[str], folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> list[NamedBenchmark]:
    """The benchmarks that are named, at least one.

    `folder` holds them as JSONL files, else they come from the Hub; `limit` takes the first so many
    items of each. Raises InputError for a name that there is not, or that comes twice.
    """
    made: dict[str, NamedBenchmark] = {}
    for name in names:
        definition = load_definition(name, Path())
        benchmark, left_out, remarks = load_benchmark(definition, folder, limit)
        if benchmark.id in made:
            raise InputError("--benchmarks", f"{benchmark.id} is named twice", "name it once")
        for remark in (*remarks, *_said_malformed(benchmark.id, left_out)):
            report(remark)
        made[benchmark.id] = NamedBenchmark(definition, benchmark, left_out)
    if not made:
        raise InputError("--benchmarks", "no benchmark is named", "write --benchmarks gsm8k")
    return list(made.values())


def load_one(
    name: str, folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> NamedBenchmark:
    """As `load_benchmarks`, where one has to be named."""
    loaded = load_benchmarks(split_names(name), folder, limit, report)
    if len(loaded) > 1:
        raise InputError("--benchmark", f"it names {len(loaded)} benchmarks", "name one")
    return loaded[0]


def load_training_sets(
    named: Sequence[NamedBenchmark], folder: Path | None
) -> dict[str, BenchmarkItems]:
    """What models are fine-tuned on for each benchmark, by id.

    Raises InputError where a benchmark has none.
    """
    return {
        each.benchmark.id: load_training_set(each.definition, each.benchmark, folder)
        for each in named
    }


def _said_malformed(benchmark: str, left_out: Sequence[Exclusion]) -> list[str]:
    """A line about the rows that were left out on reading, the first of them with their reasons."""
    if not left_out:
        return []
    shown = [f"{each.item} ({each.reason})" for each in left_out[:3]]
    rows = "1 malformed item is" if len(left_out) == 1 else f"{len(left_out)} malformed items are"
    more = ", …" if len(left_out) > 3 else ""
    return [one_line(f"{benchmark}: {rows} left out: {', '.join(shown)}{more}")]
