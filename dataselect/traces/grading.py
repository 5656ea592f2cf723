"""Whether traces end in the right answer."""

from collections.abc import Collection

from dataselect.benchmarks.answers import grade_answers
from dataselect.benchmarks.items import BenchmarkItems
from dataselect.traces.trace import TraceSet


def grade_traces(
    traces: TraceSet,
    benchmark: BenchmarkItems,
    only: Collection[str] | None = None,
    *,
    unsafe: bool = False,
) -> dict[str, bool | None]:
    """By item id whether the frontier model's answer is right, None where it cannot be told.

    Traces of items and worked examples that the benchmark does not have are passed over; `only`
    picks some. Raises InputError when programs would have to be run without isolation and
    `unsafe` is not set.
    """
    asked = [
        item
        for item in (*benchmark.items, *benchmark.shots)
        if item.id in traces.traces and (only is None or item.id in only)
    ]
    answers = [traces.traces[item.id].answer for item in asked]
    grades = grade_answers(asked, benchmark.answer_kind, answers, unsafe=unsafe)
    return {item.id: grade for item, grade in zip(asked, grades, strict=True)}
