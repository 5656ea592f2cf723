"""What defines a benchmark: where its items and worked examples are, and how models are prompted.

A `Definition` is only a description, so the paper's six benchmarks (`known`) and a user's own
(`own`) are loaded by the same code (`load`). Hub rows and file lines become records of one
shape, which `items.parse_items` reads; a function in the definition handles each source's format.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataselect.benchmarks.items import AnswerKind

Record = dict[str, Any]
Row = Mapping[str, Any]
ToRecord = Callable[[int, Row], Record]
"""Converts the row at a position (from 0) to a record."""


def unchanged(_: int, row: Row) -> Record:
    """A copy of a row that already has the shape of a record."""
    return dict(row)


@dataclass(frozen=True)
class HubRows:
    """One split of a Hub dataset, in the terms of `datasets.load_dataset`."""

    path: str
    """The dataset's Hub id."""

    split: str
    """The split to read."""

    columns: tuple[str, ...]
    """Columns that the split must have."""

    record: ToRecord
    """Converts a row to a record."""

    name: str | None = None
    """The configuration (subset); None for the default one."""

    revision: str | None = None
    """The commit; None means the newest."""


@dataclass(frozen=True)
class FileRows:
    """The lines of a JSONL file."""

    file: str
    """The path (also `.gz`), relative to the folder that is given at loading."""

    columns: tuple[str, ...] = ()
    """Keys that the first line must have."""

    record: ToRecord = unchanged
    """Converts a line to a record."""


@dataclass(frozen=True)
class RowSource:
    """Where rows come from: a file, the Hub, or either of the two."""

    file: FileRows | None = None
    """The user's file, or the local copy of the Hub split; None when only the Hub has the rows."""

    hub: HubRows | None = None
    """The Hub split; None when only the file has the rows."""


@dataclass(frozen=True)
class Definition:
    """The description of one benchmark, from which `load.load_benchmark` reads it."""

    id: str
    """The id, which files, traces and scores use."""

    title: str
    """The name in reports."""

    items: RowSource
    """The rows of the items."""

    shots: RowSource | Literal["items"] | None = None
    """The rows of the worked examples. "items" takes them from the items (an item is never its
    own example); None means no worked examples."""

    shot_ids: tuple[str, ...] | None = None
    """Ids of the worked examples, in order; None takes the first `shot_count` of each category."""

    shot_count: int = 5
    """How many worked examples an item gets."""

    task: str | None = None
    """The word in the frontier model's prompt "… solves [task] problems"."""

    prompt: str = "Question: {question}\nAnswer:"
    """As in `BenchmarkItems`."""

    label: Literal["solution", "answer"] = "solution"
    """As in `BenchmarkItems`."""

    answers: AnswerKind | None = None
    """As in `BenchmarkItems`."""

    stop: tuple[str, ...] = ("\nQuestion:",)
    """As in `BenchmarkItems`."""

    new_tokens: int = 512
    """As in `BenchmarkItems`."""

    training_set: bool = False
    """Whether `shots` is a whole training set, on which models can be fine-tuned."""

    tidy: Callable[[Record], Record | None] = dict
    """Cleans a record of any source; returns None for one outside the benchmark."""
