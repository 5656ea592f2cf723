"""What of a benchmark to look for: questions, questions with choices, solutions and traces.

Each part of an item is looked for by itself, since a leaked copy may lay them out in any way. A
question with its choices is one more part: a short question says too little alone, and "A. x",
"(A) x" and "A: x" are the same words. The split that the worked examples come from, in most
benchmarks the training split, is looked for too, apart from the items: a candidate may well hold
it, and then its score says less than that of one which does not.
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
    """A text that gives an item away when it stands in a candidate."""

    benchmark: str
    split: Split
    item: str
    kind: Kind
    text: str


def parts_of(
    benchmark: BenchmarkItems, traces: Sequence[TraceSet], training: Iterable[Item]
) -> Iterator[Part]:
    """Every part of the benchmark's items, and of the split that its worked examples are from.

    A trace that is the item's own solution is not a part of its own.
    """
    for item in benchmark.items:
        yield from _written(benchmark, "items", item)
        for trace in filter(None, (each.traces.get(item.id) for each in traces)):
            if trace.text.strip() != _solution(item):
                yield Part(benchmark.id, "items", item.id, "trace", trace.text)
    for item in training:
        yield from _written(benchmark, "training", item)


def _written(benchmark: BenchmarkItems, split: Split, item: Item) -> Iterator[Part]:
    yield Part(benchmark.id, split, item.id, "question", item.question)
    if item.choices is not None:
        yield Part(benchmark.id, split, item.id, "choices", benchmark.question_text(item))
    else:
        yield Part(benchmark.id, split, item.id, "solution", _solution(item))


def _solution(item: Item) -> str:
    return (item.rationale or item.answer).strip()


def parts_hash(parts: Sequence[Part]) -> str:
    """SHA-256 of all parts in order: what was looked for."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(asdict(part), ensure_ascii=False).encode())
    return digest.hexdigest()
