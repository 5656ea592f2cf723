"""The texts of a benchmark to search for: questions, with choices, solutions and traces.

Each part of an item is searched for separately, since a leaked copy may arrange them in any way. A
question with its choices is one more part: a short question alone is too general, and "A. x",
"(A) x" and "A: x" are the same words. The split that the worked examples come from, in most
benchmarks the training split, is searched for too, separately from the items: a candidate may
legitimately hold it, but then its score is less informative.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.trace import TraceSet

Kind = Literal["question", "choices", "solution", "trace"]
"""`choices` is the question with its choices."""
Split = Literal["items", "training"]


@dataclass(frozen=True)
class Part:
    """A text of an item; a candidate that contains it has leaked the item."""

    benchmark: str
    """Id of the benchmark."""
    split: Split
    item: str
    """Id of the item."""
    kind: Kind
    text: str


def parts_of(
    benchmark: BenchmarkItems, traces: Sequence[TraceSet], training: Iterable[Item]
) -> Iterator[Part]:
    """Every part of the benchmark's items, and of the split that its worked examples are from.

    A trace that equals the item's solution is left out.
    """
    for item in benchmark.items:
        yield from _item_parts(benchmark, "items", item)
        for trace in filter(None, (trace_set.traces.get(item.id) for trace_set in traces)):
            if trace.text.strip() != _solution(item):
                yield Part(benchmark.id, "items", item.id, "trace", trace.text)
    for item in training:
        yield from _item_parts(benchmark, "training", item)


def _item_parts(benchmark: BenchmarkItems, split: Split, item: Item) -> Iterator[Part]:
    yield Part(benchmark.id, split, item.id, "question", item.question)
    if item.choices is not None:
        yield Part(benchmark.id, split, item.id, "choices", benchmark.question_text(item))
    else:
        yield Part(benchmark.id, split, item.id, "solution", _solution(item))


def _solution(item: Item) -> str:
    return (item.rationale or item.answer).strip()


def parts_hash(parts: Sequence[Part]) -> str:
    """SHA-256 of all parts in order, hexadecimal: identifies what is searched for."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(asdict(part), ensure_ascii=False).encode())
    return digest.hexdigest()
