"""Grade the final answers of traces."""

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
    """Whether the frontier model's answer is right, by item id; None when it cannot be judged.

    Only items and worked examples of the benchmark are graded; `only` restricts them further.
    Raises InputError when programs would have to run without isolation and `unsafe` is not set.
    """
    graded = [
        item
        for item in (*benchmark.items, *benchmark.shots)
        if item.id in traces.traces and (only is None or item.id in only)
    ]
    answers = [traces.traces[item.id].answer for item in graded]
    grades = grade_answers(graded, benchmark.answer_kind, answers, unsafe=unsafe)
    return {item.id: grade for item, grade in zip(graded, grades, strict=True)}
