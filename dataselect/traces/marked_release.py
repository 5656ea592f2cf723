"""Traces of a benchmark whose items come with marked reasoning (`benchmarks.mask_subsets`).

They have no probabilities, so marks are their weights.
"""

from dataselect._version import __version__
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.marks import parse_marks
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

# The dataset does not say which model wrote its reasoning.
_MODEL = "rbridge-mask"

STRAY = "tags_without_a_partner"
"""The note in a header on tags that were dropped."""


def marked_trace(item: str, tagged: str, answer: str | None = None) -> tuple[Trace, int]:
    """A trace of marked reasoning without probabilities, and its tags without a partner."""
    found = parse_marks(tagged)
    return Trace(item, found.text, ((len(found.text), None),), answer, tagged), found.stray


def marked_traces(benchmark: BenchmarkItems) -> TraceSet:
    """The reasoning that the items came with."""
    traces: dict[str, Trace] = {}
    stray = 0
    for item in benchmark.items:
        if item.marked is not None:
            traces[item.id], dropped = marked_trace(item.id, item.marked)
            stray += dropped
    notes = {"how": "marked reasoning that came with the questions"}
    if stray:
        notes[STRAY] = str(stray)
    header = TraceHeader(
        benchmark.id,
        _MODEL,
        benchmark.prompt,
        f"dataselect {__version__}",
        notes,
        benchmark_revision=benchmark.revision,
    )
    return TraceSet(header, traces)
