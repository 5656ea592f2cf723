"""Statistics of a set of traces, and problems with using it.

A trace file can be well-formed and still be useless: recorded for another version of the
benchmark, with flat probabilities, or with lost letters. `verify` lists such problems.

Pure: `trace` reads the files, and `report.trace_view` shows the results.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.traces.trace import Trace, TraceSet

FLAT_RANGE = 1e-3
"""A trace whose letter probabilities span less than this hardly weights its tokens."""

_NAMED = 3
# What differs between exclusions for one reason: quoted text, places and numbers.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")
# What single backslashes of LaTeX become when they are parsed as JSON escapes.
_LOST_BACKSLASH = re.compile(
    r"[\x07\x08\x0b\x0c]|\t(?:imes|ext|heta|frac|au\b)|\r(?:ight|ho\b)|\n(?:eq|abla|otin)\b"
)
_CUT_OFF = re.compile(r"(?:[^\W\d]|[,;:(=+-])\Z")


@dataclass(frozen=True)
class Spread:
    """Mean, median, minimum and maximum of some lengths."""

    mean: float
    median: float
    low: int
    high: int


@dataclass(frozen=True)
class Summary:
    """Statistics of a set of traces."""

    traces: int
    """How many traces there are."""

    items: int | None
    """How many items the benchmark has; None when no benchmark was given."""

    without: int | None
    """How many of the items have no trace; None when no benchmark was given."""

    exclusions: tuple[tuple[str, int], ...]
    """Reasons of exclusions with counts, as `grouped` returns them."""

    letters: Spread | None
    """Letters per trace; None without traces."""

    tokens: Spread | None
    """Runs of equal probability per trace, so equally probable neighbouring tokens count as one;
    None without traces."""

    lowest: float | None
    """Minimum probability of the letters that have one; None if none has."""

    mean: float | None
    """Mean over the same letters."""

    highest: float | None
    """Maximum over the same letters."""

    share_without_probability: float
    """Share of letters without a probability."""

    flat: int
    """How many traces have all probabilities within `FLAT_RANGE`."""

    marked: int
    """How many traces have marked letters."""

    share_marked: float
    """Share of letters that are marked."""

    right: int | None
    """How many answers are right; None when answers were not graded."""

    graded: int | None
    """How many answers are right or wrong; None when answers were not graded."""

    @property
    def share_right(self) -> float | None:
        """Share of right answers among the graded ones; None if there are none."""
        return self.right / self.graded if self.right is not None and self.graded else None

    @property
    def ungraded(self) -> int | None:
        """How many traces have an answer that cannot be graded; None without grading."""
        return None if self.graded is None else self.traces - self.graded


def summarise(
    traces: TraceSet,
    benchmark: BenchmarkItems | None = None,
    correct: Mapping[str, bool | None] | None = None,
) -> Summary:
    """The statistics; `correct` holds the grades by item id, as `grade_traces` returns them."""
    each = list(traces.traces.values())
    weights = [np.array([p for _, p in t.runs if p is not None], dtype=np.float64) for t in each]
    counts = [np.array([n for n, p in t.runs if p is not None], dtype=np.float64) for t in each]
    values, lengths = _joined(weights), _joined(counts)
    letters = sum(len(trace.text) for trace in each)
    known = int(lengths.sum())
    items = None if benchmark is None else {item.id for item in benchmark.items}
    graded = None if correct is None else [correct.get(trace.item) for trace in each]
    return Summary(
        traces=len(each),
        items=None if items is None else len(items),
        without=None if items is None else len(items - traces.traces.keys()),
        exclusions=grouped(traces.exclusions),
        letters=_spread([len(trace.text) for trace in each]),
        tokens=_spread([len(w) for w in weights]),
        lowest=float(values.min()) if known else None,
        mean=float(np.average(values, weights=lengths)) if known else None,
        highest=float(values.max()) if known else None,
        share_without_probability=1 - known / letters if letters else 0.0,
        flat=sum(_is_flat(trace) for trace in each),
        marked=sum(bool(trace.spans) for trace in each),
        share_marked=_marked_letters(each) / letters if letters else 0.0,
        right=None if graded is None else sum(one is True for one in graded),
        graded=None if graded is None else sum(one is not None for one in graded),
    )


def verify(traces: TraceSet, benchmark: BenchmarkItems | None = None) -> list[str]:
    """Problems of traces that `read_traces` accepts, a sentence each; empty if there are none."""
    problems = [] if benchmark is None else _against(traces, benchmark)
    each = traces.traces.values()
    found = (
        (
            "no letter with a probability",
            [t.item for t in each if _range(t) is None and not t.spans],
        ),
        (
            "letter probabilities that are all about the same, so every weight will be 1",
            [t.item for t in each if _is_flat(t)],
        ),
        (
            "control characters where LaTeX commands lost their backslash",
            [t.item for t in each if _LOST_BACKSLASH.search(t.text)],
        ),
        (
            "no final answer and end within a sentence, as if they were cut short",
            [t.item for t in each if t.answer is None and _CUT_OFF.search(t.text.rstrip())],
        ),
        (
            "a reason to be left out as well",
            [e.item for e in traces.exclusions if e.item in traces.traces],
        ),
    )
    return problems + [f"{_of(items)} have {what}." for what, items in found if items]


def _against(traces: TraceSet, benchmark: BenchmarkItems) -> list[str]:
    problems = []
    header = traces.header
    if header.benchmark != benchmark.id:
        problems.append(f"They were made for '{header.benchmark}', not for '{benchmark.id}'.")
    theirs, ours = header.benchmark_revision, benchmark.revision
    if theirs is not None and ours is not None and _is_other(theirs, ours):
        problems.append(f"They were made for the items of {theirs}, and these are of {ours}.")
    known = {item.id for item in (*benchmark.items, *benchmark.shots)}
    unknown_items = [item for item in traces.traces if item not in known]
    if unknown_items:
        problems.append(f"{_of(unknown_items)} are for no item of '{benchmark.id}'.")
    return problems


def _is_other(theirs: str, ours: str) -> bool:
    """Whether these are two versions of one source; a file and the Hub have the same ids."""
    (source, version), (other, other_version) = (
        re.split(r"[@ ]", each, maxsplit=1) if re.search(r"[@ ]", each) else (each, "")
        for each in (theirs, ours)
    )
    return source == other and version != other_version


def _of(items: Sequence[str]) -> str:
    more = ", …" if len(items) > _NAMED else ""
    return f"{len(items)} of the traces ({', '.join(items[:_NAMED])}{more})"


def _range(trace: Trace) -> float | None:
    values = [p for _, p in trace.runs if p is not None]
    return max(values) - min(values) if values else None


def _is_flat(trace: Trace) -> bool:
    found = _range(trace)
    return found is not None and found < FLAT_RANGE


def grouped(exclusions: Iterable[Exclusion]) -> tuple[tuple[str, int], ...]:
    """Reasons with their counts, most frequent first; "…" replaces the part that differs."""
    kinds: dict[str, Counter[str]] = {}
    for each in exclusions:
        kinds.setdefault(_PARTICULAR.sub("…", each.reason), Counter())[each.reason] += 1
    groups = [
        (next(iter(reasons)) if len(reasons) == 1 else kind, reasons.total())
        for kind, reasons in kinds.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group[1]))


def _marked_letters(traces: Iterable[Trace]) -> int:
    return sum(end - start for trace in traces for start, end in trace.spans or ())


def _spread(lengths: Sequence[int]) -> Spread | None:
    if not lengths:
        return None
    return Spread(float(np.mean(lengths)), float(np.median(lengths)), min(lengths), max(lengths))


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)
