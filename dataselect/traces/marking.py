"""Traces whose key steps are marked: of reasoning that came with marks, or marked afterwards.

Marks and probabilities are separate: a trace may have either or both. Where a set has no
probabilities, its marks are the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from dataselect._version import __version__
from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.benchmarks.marks import Rule, parse_marks, propose, with_marks, within
from dataselect.errors import InputError
from dataselect.traces.reasoning import take_apart
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

# The dataset does not say which model wrote its reasoning.
_MODEL = "rbridge-mask"

STRAY = "tags_without_a_partner"
"""The note in a header on tags that were dropped."""

_NO_REASONING = "there is no marked reasoning for it"
_ANOTHER_TEXT = "the marked reasoning is another text than its trace"


def marked_traces(benchmark: BenchmarkItems) -> TraceSet:
    """The marked reasoning that a benchmark's items came with (`benchmarks.mask_subsets`)."""
    traces: dict[str, Trace] = {}
    stray = 0
    for item in benchmark.items:
        if item.marked is not None:
            found = parse_marks(item.marked)
            # Exactly as it came, since the authors' own rule reads tags in another way.
            traces[item.id] = _bare(item.id, found.text, None, item.marked)
            stray += found.stray
    notes = {"how": "marked reasoning that came with the questions"}
    if stray:
        notes[STRAY] = str(stray)
    return TraceSet(_header(benchmark, _MODEL, notes), traces)


def from_texts(
    benchmark: BenchmarkItems, texts: Mapping[str, str], model: str, rule: Rule | None = None
) -> TraceSet:
    """Traces of given reasoning by item id, with the marks in it or those that a rule proposes.

    They have no probabilities. `model` is whose reasoning it is. Items without reasoning get an
    exclusion. Raises InputError when no trace has a mark.
    """
    traces = {}
    for item in benchmark.items:
        parts = take_apart(texts.get(item.id, ""))
        if parts.text:
            traces[item.id] = _bare(item.id, parts.text, parts.answer, parts.marked)
    exclusions = tuple(
        Exclusion(item.id, _NO_REASONING) for item in benchmark.items if item.id not in traces
    )
    how = {"how": "given reasoning, marked"}
    made = TraceSet(_header(benchmark, model, how), traces, exclusions)
    return _require_marks(made if rule is None else by_rule(made, rule))


def by_rule(traces: TraceSet, rule: Rule) -> TraceSet:
    """The traces with the marks that a rule proposes, in place of any that they had.

    A trace whose text holds a tag itself cannot be marked: it gets an exclusion. Raises InputError
    when no trace has a mark.
    """

    def mark(trace: Trace) -> str:
        return with_marks(trace.text, propose(trace.text, rule))

    return _marked(traces, mark, f"proposed by the rule {rule!r}")


def onto(traces: TraceSet, texts: Mapping[str, str], source: str) -> TraceSet:
    """The traces with the marks of the same reasoning, by item id, that somebody marked.

    `source` names the texts. A trace whose text is another one, outer whitespace and final answer
    aside, gets an exclusion. Raises InputError when no trace has a mark.
    """

    def mark(trace: Trace) -> str:
        if trace.item not in texts:
            raise ValueError(_NO_REASONING)
        whole = texts[trace.item]
        for tagged in (whole, take_apart(whole).marked or whole):
            found, text = parse_marks(tagged), trace.text.strip()
            if found.text.strip() == text:
                theirs, ours = found.text.index(text), trace.text.index(text)
                spans = within(found.spans, theirs, theirs + len(text))
                return with_marks(trace.text, [(a + ours, b + ours) for a, b in spans])
        raise ValueError(_ANOTHER_TEXT)

    return _marked(traces, mark, f"of {source}")


def _marked(traces: TraceSet, mark: Callable[[Trace], str], whose: str) -> TraceSet:
    kept: dict[str, Trace] = {}
    reasons: dict[str, str] = {}
    for item, trace in traces.traces.items():
        try:
            kept[item] = replace(trace, marked=mark(trace))
        except ValueError as error:
            reasons[item] = str(error)
    header = replace(traces.header, notes={**traces.header.notes, "marks": whose})
    exclusions = (*traces.exclusions, *(Exclusion(*each) for each in reasons.items()))
    return _require_marks(TraceSet(header, kept, exclusions))


def _require_marks(traces: TraceSet) -> TraceSet:
    if any(trace.spans for trace in traces.traces.values()):
        return traces
    reason = f" ({traces.exclusions[0].reason})" if traces.exclusions else ""
    raise InputError(
        f"traces of '{traces.header.benchmark}'",
        f"nothing in them is marked{reason}",
        "mark key steps as <span>…</span> in the reasoning, or give --by numbers",
    )


def _bare(item: str, text: str, answer: str | None, marked: str | None) -> Trace:
    return Trace(item, text, ((len(text), None),), answer, marked)


def _header(benchmark: BenchmarkItems, model: str, notes: Mapping[str, str]) -> TraceHeader:
    return TraceHeader(
        benchmark.id,
        model,
        benchmark.prompt,
        f"dataselect {__version__}",
        notes,
        benchmark_revision=benchmark.revision,
    )
