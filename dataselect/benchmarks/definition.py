"""What a benchmark is: where its items and worked examples are, and how models are asked.

A `Definition` is only a description, so that the six of the paper (`known`) and a user's own
(`own`) are loaded by the same code (`load`). Rows of the Hub and lines of a file become records
of one shape, that of `items.parse_items`; whatever is particular to a source is a function here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dataselect.benchmarks.items import AnswerKind

Record = dict[str, Any]
Row = Mapping[str, Any]
ToRecord = Callable[[int, Row], Record]
"""Makes a record of the row at a position (from 0)."""


def as_it_is(_: int, row: Row) -> Record:
    """The record of a line that has the shape already."""
    return dict(row)


@dataclass(frozen=True)
class HubRows:
    """One split of a Hub dataset, in the words of `datasets.load_dataset`.

    `columns` must be there. `revision` is a commit; None takes what is newest.
    """

    path: str
    split: str
    columns: tuple[str, ...]
    record: ToRecord
    name: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class FileRows:
    """The lines of a JSONL file (also `.gz`), relative to a folder that is named at loading."""

    file: str
    columns: tuple[str, ...] = ()
    record: ToRecord = as_it_is


@dataclass(frozen=True)
class RowSource:
    """Where rows come from: a user's own file, the Hub, or either where a copy is known."""

    file: FileRows | None = None
    hub: HubRows | None = None


@dataclass(frozen=True)
class Definition:
    """Everything that tells one benchmark from another.

    `task` is the word in "… solves [task] problems". `shots` are the worked examples: rows of
    their own, "items" to take them from the items themselves (no item ever sees itself), or
    None. They are the rows named by `shot_ids` in that order, or else the first `shot_count` of
    each category. `prompt`, `label`, `answers`, `stop` and `new_tokens` are as in
    `BenchmarkItems`. `training_set` says that the rows for worked examples are a whole training
    set, on which models are fine-tuned. `tidy` fixes a record of any source, and gives None for
    one that is not part of the benchmark.
    """

    id: str
    title: str
    items: RowSource
    shots: RowSource | Literal["items"] | None = None
    shot_ids: tuple[str, ...] | None = None
    shot_count: int = 5
    task: str | None = None
    prompt: str = "Question: {question}\nAnswer:"
    label: Literal["solution", "answer"] = "solution"
    answers: AnswerKind | None = None
    stop: tuple[str, ...] = ("\nQuestion:",)
    new_tokens: int = 512
    training_set: bool = False
    tidy: Callable[[Record], Record | None] = dict
