"""Worked examples: which rows they are, and rationales for those that have none.

No rationales were published for the worked examples of ARC-Challenge and CommonsenseQA. They
come from the frontier model with the prompt that it gets for items (the paper's evaluations are
5-shot with reasoning), so its traces of the examples are read here like those of the items.
"""

from collections.abc import Sequence
from dataclasses import replace

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.trace import TraceSet


def choose_shots(
    pool: Sequence[Item], count: int, ids: Sequence[str] | None = None
) -> tuple[Item, ...]:
    """The items named by `ids`, in that order; else the first `count` of each category."""
    if ids is not None:
        by_id = {item.id: item for item in pool}
        return tuple(by_id[name] for name in ids if name in by_id)
    taken: dict[str | None, int] = {}
    chosen = []
    for item in pool:
        taken[item.category] = taken.get(item.category, 0) + 1
        if taken[item.category] <= count:
            chosen.append(item)
    return tuple(chosen)


def shots_without_rationale(benchmark: BenchmarkItems) -> tuple[Item, ...]:
    """The worked examples that show an answer alone; code is its own explanation."""
    return tuple(shot for shot in benchmark.shots if shot.rationale is None and shot.code is None)


def with_shot_rationales(
    benchmark: BenchmarkItems, traces: TraceSet
) -> tuple[BenchmarkItems, tuple[str, ...]]:
    """The benchmark with the traces of its worked examples as their rationales, and notes.

    A rationale that is there stays. The examples that remain without one are named in a note.
    """

    def filled(shot: Item) -> Item:
        trace = traces.traces.get(shot.id)
        if trace is None or shot.rationale is not None or shot.code is not None:
            return shot
        return replace(shot, rationale=trace.text)

    benchmark = replace(benchmark, shots=tuple(map(filled, benchmark.shots)))
    bare = shots_without_rationale(benchmark)
    if not bare:
        return benchmark, ()
    return benchmark, (
        f"{benchmark.id}: {len(bare)} of {len(benchmark.shots)} worked examples show an answer"
        f" without reasoning ({', '.join(shot.id for shot in bare)}); a trace of each, from the"
        " frontier model, mends that",
    )
