"""Load benchmarks by name, as on the command line: known ones and the user's YAML files.

Benchmarks of a plan or a calibration spec have more settings; `scoring.gather` loads those.
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
    """A loaded benchmark."""

    definition: Definition
    """The definition under the name, from which the training set is loaded too."""

    benchmark: BenchmarkItems
    """Items, worked examples and prompts."""

    left_out: tuple[Exclusion, ...]
    """Malformed rows, which are not in `benchmark`."""

    notes: tuple[str, ...] = ()
    """Remarks of the loader, without the benchmark's name."""


def split_names(text: str) -> list[str]:
    """The names in a comma-separated list, as on the command line."""
    return [name.strip() for name in text.split(",") if name.strip()]


def load_benchmarks(
    names: Sequence[str], folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> list[NamedBenchmark]:
    """The named benchmarks, at least one; `report` receives their notes.

    `folder` holds them as JSONL files, else they come from the Hub; `limit` keeps the first `limit`
    items of each. Raises InputError for no name, an unknown name and a repeated one.
    """
    loaded: dict[str, NamedBenchmark] = {}
    for name in names:
        definition = load_definition(name, Path())
        benchmark, left_out, notes = load_benchmark(definition, folder, limit)
        if benchmark.id in loaded:
            raise InputError("--benchmarks", f"{benchmark.id} is named twice", "name it once")
        for note in (*notes, *_malformed_notes(benchmark.id, left_out)):
            report(note)
        about = tuple(note.removeprefix(f"{benchmark.id}: ") for note in notes)
        loaded[benchmark.id] = NamedBenchmark(definition, benchmark, left_out, about)
    if not loaded:
        raise InputError("--benchmarks", "no benchmark is named", "write --benchmarks gsm8k")
    return list(loaded.values())


def load_one(
    name: str, folder: Path | None, limit: int | None, report: Callable[[str], None]
) -> NamedBenchmark:
    """As `load_benchmarks` for exactly one benchmark. Raises InputError for several."""
    loaded = load_benchmarks(split_names(name), folder, limit, report)
    if len(loaded) > 1:
        raise InputError("--benchmarks", f"it names {len(loaded)} benchmarks", "name one")
    return loaded[0]


def load_training_sets(
    named: Sequence[NamedBenchmark], folder: Path | None
) -> dict[str, BenchmarkItems]:
    """The training set of each benchmark, by id.

    Raises InputError for a benchmark without one.
    """
    return {
        loaded.benchmark.id: load_training_set(loaded.definition, loaded.benchmark, folder)
        for loaded in named
    }


def _malformed_notes(benchmark: str, left_out: Sequence[Exclusion]) -> list[str]:
    """A note on the rows that were left out, with the reasons of the first three."""
    if not left_out:
        return []
    first = [f"{row.item} ({row.reason})" for row in left_out[:3]]
    rows = "1 malformed item is" if len(left_out) == 1 else f"{len(left_out)} malformed items are"
    more = ", …" if len(left_out) > 3 else ""
    return [one_line(f"{benchmark}: {rows} left out: {', '.join(first)}{more}")]
