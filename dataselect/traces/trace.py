"""Reasoning traces with a frontier probability for every letter, and their file format.

Probabilities belong to letters (Unicode characters), because letters are all that the frontier
model's tokenizer and a proxy's have in common. All letters of a frontier token have the token's
probability, so they are stored as runs: (number of letters, probability), null for no probability.

The file is JSON Lines, gzipped if its name ends in `.gz`: a header, then one trace a line. The
same traces always give the same bytes. Traces outlive the models that made them, so the header
records model, prompt and command, which items have no trace and why, the hash of the traces and one
of itself; both are checked on reading. The file is not a pickle and contains no code.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataselect.benchmarks.items import MOST_LETTERS, Exclusion
from dataselect.benchmarks.jsonl import read_records
from dataselect.benchmarks.marks import Spans, parse_marks
from dataselect.errors import InputError
from dataselect.formats.jsonfile import refuse_changes
from dataselect.store.files import write_atomic
from dataselect.store.sealed import sealed

SCHEMA = 1
NO_TRACE = "it has no trace"
"""The reason of an exclusion when nothing more is known."""
_OPTIONAL = ("benchmark_revision", "fingerprint", "created")
_CERTAIN = 1 - 1e-6


@dataclass(frozen=True)
class Trace:
    """The frontier model's reasoning on one item, without the final answer."""

    item: str
    """The item's id."""

    text: str
    """The reasoning."""

    runs: tuple[tuple[int, float | None], ...]
    """(number of letters, probability) pairs; the numbers add up to `len(text)`."""

    answer: str | None = None
    """The frontier model's final answer, which is graded but not scored; None without one."""

    marked: str | None = None
    """The reasoning with `<span>` tags around its key steps (`benchmarks.marks`); without the tags
    it is `text`. None where nobody marked it."""

    @property
    def spans(self) -> Spans | None:
        """The marked letters of `text`; None where nobody marked it."""
        return None if self.marked is None else parse_marks(self.marked).spans

    @property
    def letter_probs(self) -> npt.NDArray[np.float64]:
        """Probability of each letter, shape (len(text),); NaN for none."""
        lengths = [length for length, _ in self.runs]
        values = [np.nan if p is None else p for _, p in self.runs]
        return np.repeat(np.array(values, dtype=np.float64), lengths)


@dataclass(frozen=True)
class TraceHeader:
    """The origin of a set of traces."""

    benchmark: str
    """The benchmark's id."""

    model: str
    """The model that answered."""

    prompt: str
    """The prompt template."""

    created_by: str
    """The program and version that wrote the file."""

    notes: Mapping[str, str] = field(default_factory=dict)
    """Further facts, such as token counts and cost."""

    benchmark_revision: str | None = None
    """Source and version of the items; None when not known."""

    fingerprint: str | None = None
    """The server's `system_fingerprint`; None when it gave none."""

    created: str | None = None
    """ISO date; None when not known."""


@dataclass(frozen=True)
class TraceSet:
    """The traces of one benchmark by one frontier model."""

    header: TraceHeader
    """Their origin."""

    traces: Mapping[str, Trace]
    """By item id."""

    exclusions: tuple[Exclusion, ...] = ()
    """The items that have no trace, with reasons."""

    hash: str = field(init=False, compare=False)
    """SHA-256 of the traces alone; scores are comparable only under the same hash."""

    def __post_init__(self) -> None:
        lines = [_line(_record(self.traces[item])) for item in sorted(self.traces)]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        object.__setattr__(self, "hash", digest)

    @property
    def has_probabilities(self) -> bool:
        """Whether a letter of some trace has one; traces that are only marked have none."""
        return any(p is not None for trace in self.traces.values() for _, p in trace.runs)


def runs_of(letter_probs: npt.ArrayLike) -> tuple[tuple[int, float | None], ...]:
    """Runs of equal probability, rounded to six significant digits to keep files small."""
    runs: list[tuple[int, float | None]] = []
    for value in np.asarray(letter_probs, dtype=np.float64):
        p = None if np.isnan(value) else float(f"{value:.6g}")
        if runs and runs[-1][1] == p:
            runs[-1] = (runs[-1][0] + 1, p)
        else:
            runs.append((1, p))
    return tuple(runs)


def write_traces(
    path: Path,
    header: TraceHeader,
    traces: Iterable[Trace],
    exclusions: Iterable[Exclusion] = (),
) -> None:
    """Write a trace file; the same traces give the same bytes, whatever the time and order.

    The file replaces an old one at `path` atomically.
    """
    by_item = {trace.item: trace for trace in traces}
    first: dict[str, object] = {
        "schema": SCHEMA,
        "benchmark": header.benchmark,
        "model": header.model,
        "prompt": header.prompt,
        "created_by": header.created_by,
        "notes": dict(header.notes),
        "hash": TraceSet(header, by_item).hash,
        **{name: getattr(header, name) for name in _OPTIONAL if getattr(header, name) is not None},
    }
    if left_out := {each.item: each.reason for each in exclusions}:
        first["exclusions"] = left_out
    ordered = [by_item[item] for item in sorted(by_item)]
    lines = [_line(sealed(first)), *(_line(_record(trace)) for trace in ordered)]
    data = ("\n".join(lines) + "\n").encode()
    write_atomic(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def read_traces(path: Path) -> TraceSet:
    """The traces in a file, checked.

    Raises InputError, naming file and line, for anything malformed: a damaged archive, a header
    of another schema, an item twice, an empty text, runs that do not add up to its length, a
    probability outside 0..1, probabilities that are all about 1 (the server gave none), and
    traces that do not match the header's hash.
    """
    records = read_records(path)
    if not records:
        raise InputError(path, "the trace file is empty", "record the traces again")
    (_, first), *rest = records
    header, exclusions = _header(path, first)
    refuse_changes(first, f"{path}:1")
    traces: dict[str, Trace] = {}
    for number, record in rest:
        trace = _trace(f"{path}:{number}", record)
        if trace.item in traces:
            raise InputError(
                f"{path}:{number}", f"item '{trace.item}' has two traces", "keep one of them"
            )
        traces[trace.item] = trace
    if not traces:
        raise InputError(path, "it holds a header but no trace", "record the traces again")
    refuse_missing_probabilities(str(path), traces.values())
    found = TraceSet(header, traces, exclusions)
    if first.get("hash", found.hash) != found.hash:
        raise InputError(
            path,
            "its traces were changed after they were recorded (their hash is not the header's)",
            "get the file again; to keep the change, remove 'hash' and 'sha256' in its first line",
        )
    return found


def refuse_missing_probabilities(where: str, traces: Iterable[Trace]) -> None:
    """Raise InputError when no letter of any trace has a probability below 1.

    Clients often fill in zeros for log-probabilities that a server dropped; every weight would
    then be the same. Marked traces need no probabilities, and may have none at all.
    """
    traces = tuple(traces)
    if any(trace.marked is not None for trace in traces) and not any(
        p is not None for trace in traces for _, p in trace.runs
    ):
        return
    if all(p is None or p >= _CERTAIN for trace in traces for _, p in trace.runs):
        raise InputError(
            where,
            "all its probabilities are 1 or missing, so the frontier model's server gave none",
            "record the traces with a server that returns log-probabilities",
        )


def _header(path: Path, record: dict[str, Any]) -> tuple[TraceHeader, tuple[Exclusion, ...]]:
    where = f"{path}:1"
    if record.get("schema") != SCHEMA:
        raise InputError(
            where,
            f"its header says schema {record.get('schema')!r}, this version reads {SCHEMA}",
            "record the traces again or use the version that made them",
        )
    values: dict[str, Any] = {}
    for key in ("benchmark", "model", "prompt", "created_by"):
        if not isinstance(record.get(key), str):
            raise InputError(where, f"its header has no '{key}'", "add it to the first line")
        values[key] = record[key]
    for key in _OPTIONAL:
        if not isinstance(record.get(key), str | None):
            raise InputError(where, f"its header's '{key}' is not text", "fix the first line")
        values[key] = record.get(key)
    maps = []
    for key in ("notes", "exclusions"):
        value = record.get(key, {})
        if not isinstance(value, dict):
            raise InputError(where, f"its header's '{key}' are not an object", "fix the first line")
        maps.append({str(name): str(text) for name, text in value.items()})
    notes, excluded = maps
    exclusions = tuple(Exclusion(item, reason) for item, reason in excluded.items())
    return TraceHeader(**values, notes=notes), exclusions


def _trace(where: str, record: dict[str, Any]) -> Trace:
    item, text, runs = record.get("item"), record.get("text"), record.get("runs")
    answer, marked = record.get("answer"), record.get("marked")
    problem = None
    if not isinstance(item, str) or not item:
        problem = "the trace has no item id"
    elif not isinstance(text, str) or not text.strip():
        problem = "the trace has no text"
    elif any("\ud800" <= letter <= "\udfff" for letter in text):
        problem = "the trace holds half of a surrogate pair"
    elif len(text) > MOST_LETTERS:
        problem = f"the trace has {len(text):,} letters, which is more than {MOST_LETTERS:,}"
    elif answer is not None and not isinstance(answer, str):
        problem = "its answer is not text"
    elif not isinstance(runs, list):
        problem = "the trace has no runs of probabilities"
    else:
        problem = _runs_problem(runs, len(text)) or _marks_problem(marked, text)
    if problem is not None or runs is None:
        raise InputError(where, problem or "the trace has no runs", "record this trace again")
    pairs = tuple((n, None if p is None else float(p)) for n, p in runs)
    return Trace(str(item), str(text), pairs, answer, marked)


def _runs_problem(runs: list[Any], letters: int) -> str | None:
    total = 0
    for run in runs:
        if not isinstance(run, list) or len(run) != 2:
            return f"a run is not [letters, probability] but {run!r}"
        length, p = run
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            return f"a run has {length!r} letters"
        number = isinstance(p, int | float) and not isinstance(p, bool)
        if p is not None and not (number and 0 <= p <= 1):
            return f"a probability is {p!r}, not within 0..1"
        total += length
    if total != letters:
        return f"its runs cover {total} letters and its text has {letters}"
    return None


def _marks_problem(marked: object, text: str) -> str | None:
    if marked is None:
        return None
    if not isinstance(marked, str):
        return "its marked text is not text"
    return None if parse_marks(marked).text == text else "its marked text is another text"


def _record(trace: Trace) -> dict[str, object]:
    # Only when present, so that the hash of traces without marks stays unchanged.
    marked = {} if trace.marked is None else {"marked": trace.marked}
    return {
        "item": trace.item,
        "text": trace.text,
        "runs": [list(run) for run in trace.runs],
        "answer": trace.answer,
        **marked,
    }


def _line(record: Mapping[str, object]) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
