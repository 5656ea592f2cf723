"""Use a frontier model's traces as rationales for worked examples that have none.

No rationales were published for the worked examples of ARC-Challenge and CommonsenseQA, and the
paper's evaluations are 5-shot with reasoning. The frontier model gets the examples with the same
prompt as items, so their traces are read like those of the items.
"""

from dataclasses import replace

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.shots import shots_without_rationale
from dataselect.traces.trace import TraceSet


def with_shot_rationales(
    benchmark: BenchmarkItems, traces: TraceSet
) -> tuple[BenchmarkItems, tuple[str, ...]]:
    """The benchmark with the traces of its worked examples as their rationales, and notes.

    Existing rationales stay. A note lists the examples that remain without one.
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
