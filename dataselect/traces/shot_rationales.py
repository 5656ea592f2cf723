"""Rationales for worked examples that have none: a frontier model's traces of them.

No rationales were published for the worked examples of ARC-Challenge and CommonsenseQA. They
come from the frontier model with the prompt that it gets for items (the paper's evaluations are
5-shot with reasoning), so its traces of the examples are read here like those of the items.
"""

from dataclasses import replace

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.shots import shots_without_rationale
from dataselect.traces.trace import TraceSet


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
        " frontier model, fixes that",
    )
