"""Import the authors' released traces: match them to items and align their probabilities.

Everything is checked. A trace belongs to an item only if their questions agree (their ids where
the release gives no question), and its tokens must spell its reasoning to the byte, either alone
or as the JSON completion that contains it. So a misread column gives no trace rather than a wrong
one: single failures become exclusions with file, row and reason; when more than half fail, the
import fails with the first of these reasons.

The layout of the files is in `released_files` and `released_tokens`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataselect._version import __version__
from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.errors import InputError
from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
)
from dataselect.traces.recording.completion import (
    MalformedAnswerError,
    prompt_template,
    read_completion,
    trace_from_completion,
)
from dataselect.traces.released_files import (
    FIX,
    LICENCE,
    RELEASED,
    Record,
    check_there,
    download,
    find_column,
    locate,
    looked_for,
    read_records,
)
from dataselect.traces.released_tokens import TokenRows, read_tokens
from dataselect.traces.trace import (
    Trace,
    TraceHeader,
    TraceSet,
    refuse_missing_probabilities,
    runs_of,
)

__all__ = ["RELEASED", "check_there", "import_released"]

_MODEL = "gpt-4o"
_JSON = ("{", "```")
_SHOWN = 40
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_ASKED = re.compile(r"^(?:question|problem|q):\s*", re.IGNORECASE)


def import_released(
    source: str | Path, benchmark: BenchmarkItems, revision: str | None = None
) -> TraceSet:
    """The released traces for the items of a benchmark.

    `source` is a folder (the dataset, its `traces/`, or the benchmark's folder in it) or the
    Hub id; `revision` a branch, tag or commit of the latter, kept as the commit it stands for.
    Raises InputError when the files cannot be fetched or read, when their layout is not the
    expected one, and when more than half of the traces match no item or have no probabilities.
    """
    root, commit = _root(str(source), benchmark.id, revision)
    folder = locate(root, benchmark.id)
    records = read_records(folder)
    tokens, named_by = read_tokens(folder)
    _check_columns(folder, records)
    of_record, reference = _tokens_of_records(folder, records, tokens, named_by)
    matched, reasons = _join(folder, records, benchmark)

    traces: dict[str, Trace] = {}
    failures: list[str] = []
    for item, number in matched.items():
        try:
            traces[item] = _trace(item, records[number], of_record.get(number))
        except (MalformedAnswerError, AlignmentError) as error:
            reasons[item] = f"{records[number].where}: {error}"
            failures.append(reasons[item])
    if len(failures) > len(matched) / 2:
        raise InputError(
            folder,
            f"{len(failures)} of {len(matched)} traces could not be aligned with their tokens (the "
            f"first: {failures[0]})",
            FIX,
        )
    refuse_missing_probabilities(str(folder), traces.values())
    notes = {
        "how": "imported from the authors' release",
        "source": f"{RELEASED} (folder {folder.name})",
        "licence": LICENCE,
        "tokens_joined_by": reference,
        **({} if commit is None else {"revision": commit}),
    }
    header = TraceHeader(
        benchmark.id,
        _model(records),
        prompt_template("json"),
        f"dataselect {__version__}",
        notes,
        benchmark_revision=benchmark.revision,
    )
    exclusions = tuple(
        Exclusion(item.id, reasons.get(item.id, "the release has no trace for it"))
        for item in benchmark.items
        if item.id not in traces
    )
    return TraceSet(header, traces, exclusions)


def _root(source: str, benchmark: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder of the release, and its commit if known."""
    path = Path(source)
    if path.is_dir():
        commits = [part for part in path.resolve().parts if _COMMIT.fullmatch(part)]
        return path, commits[-1] if commits else revision
    if source == RELEASED or (_HUB_NAME.fullmatch(source) and not path.exists()):
        return download(source, revision, benchmark)
    raise InputError(
        source, "it is neither a folder nor a dataset on the Hub", f"name a folder or {RELEASED}"
    )


def _check_columns(folder: Path, records: Sequence[Record]) -> None:
    if not records:
        raise InputError(folder, "its *.json files hold no trace", FIX)
    first = records[0]
    needed = (("reasoning", "completion"), ("question", "id"))
    for column, instead in needed:
        if find_column(first.fields, column) is None and find_column(first.fields, instead) is None:
            raise InputError(
                folder,
                f"{first.where} has neither {column} nor {instead}: "
                f"{looked_for(column, first.fields)}",
                FIX,
            )


def _model(records: Sequence[Record]) -> str:
    names = {str(record.get("model") or _MODEL) for record in records}
    return names.pop() if len(names) == 1 else _MODEL


def _tokens_of_records(
    folder: Path, records: Sequence[Record], tokens: Mapping[str, TokenRows], named_by: str
) -> tuple[dict[int, TokenRows], str]:
    """Token rows by the record's number, and a description of how the two were joined.

    The reference may be any id of the record, its question, or its number from 0 or 1; the
    reading that matches most records is used. A wrong one is detected when the tokens do not
    spell the text.
    """
    ways: dict[str, dict[str, int]] = {}
    for number, record in enumerate(records):
        for name, value in {**record.all("id"), **record.all("question")}.items():
            if isinstance(value, str | int):
                ways.setdefault(name, {}).setdefault(str(value), number)
    for start in (0, 1):
        numbers = {str(number + start): number for number in range(len(records))}
        ways[f"row number from {start}"] = numbers
    way = max(ways, key=lambda name: len(ways[name].keys() & tokens.keys()))
    joined = {ways[way][name]: rows for name, rows in tokens.items() if name in ways[way]}
    if len(joined) < min(len(records), len(tokens)) / 2:
        example = next(iter(tokens))
        raise InputError(
            folder,
            f"its token rows ({named_by} {example!r:.40}) name {len(joined)} of {len(records)} "
            f"traces (looked for {', '.join(ways)})",
            FIX,
        )
    return joined, f"{named_by} = {way}"


def _join(
    folder: Path, records: Sequence[Record], benchmark: BenchmarkItems
) -> tuple[dict[str, int], dict[str, str]]:
    """The record's number by item id, and the reasons of items without one."""
    by_id = {item.id: item for item in benchmark.items}
    questions = _Questions(benchmark.items)
    matched: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for number, record in enumerate(records):
        named = next((by_id[v] for v in map(str, record.all("id").values()) if v in by_id), None)
        asked = record.get("question")
        item = questions.item_of(record) if isinstance(asked, str) else named
        if item is None and named is not None:
            reasons[named.id] = f"{record.where}: it has this item's id but another question"
        elif item is not None and item.id in matched:
            first = records[matched[item.id]].where
            reasons[item.id] = f"{record.where} and {first} are both of this item"
        elif item is not None:
            matched[item.id] = number
    for item_id in reasons:
        matched.pop(item_id, None)
    smaller = min(len(records), len(benchmark.items))
    if len(matched) < smaller / 2:
        example = next(iter(reasons.values()), str(records[0].get("question"))[:60])
        raise InputError(
            folder,
            f"only {len(matched)} of its {len(records)} traces are of an item of "
            f"'{benchmark.id}' ({len(benchmark.items)} items), by question and id (the first "
            f"that is not: {example})",
            "check that the folder and the benchmark are the same test set",
        )
    return matched, reasons


class _Questions:
    """Looks up items by their question, up to whitespace."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items: dict[str, list[Item]] = {}
        for item in items:
            self._items.setdefault(_spaced(item.question), []).append(item)
        self._lengths = sorted({len(question) for question in self._items}, reverse=True)

    def item_of(self, record: Record) -> Item | None:
        """The one item with the record's question, which choices may follow; else None."""
        asked = _ASKED.sub("", _spaced(str(record.get("question"))))
        alike = self._items.get(asked)
        if alike is None:
            # The rest must be the choices, or it would be another question.
            starts = (asked[:n] for n in self._lengths if n < len(asked))
            begun = next((self._items[start] for start in starts if start in self._items), [])
            alike = [item for item in begun if item.choices and _contains_choices(asked, item)]
        if len(alike) > 1:
            ids = [str(value) for value in record.all("id").values()]
            offered = " ".join(map(_spaced, _strings([record.all("choices"), asked])))
            alike = [each for each in alike if each.id in ids] or [
                each for each in alike if each.choices and _contains_choices(offered, each)
            ]
        return alike[0] if len(alike) == 1 else None


def _contains_choices(text: str, item: Item) -> bool:
    return all(_spaced(choice) in text for choice in item.choices or ())


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _trace(item: str, record: Record, rows: TokenRows | None) -> Trace:
    """The record as a trace. Raises MalformedAnswerError or AlignmentError with the reason."""
    if rows is None:
        raise AlignmentError("no token row names it")
    if rows.problem is not None:
        raise AlignmentError(rows.problem)
    reasoning, completion = _texts(record)
    tokens = rows.tokens
    spelt = b"".join(t.text.encode() if t.data is None else t.data for t in tokens)
    content = spelt.decode("utf-8", "replace")
    answer = record.get("answer")
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer, ensure_ascii=False)
    if content.strip() == reasoning:
        return _cut_out(item, content, tokens, reasoning, answer)
    if "\ufffd" in content and completion is not None:
        content = completion
    if content.lstrip().startswith(_JSON):
        trace = trace_from_completion(item, content, tokens, "json")
        # A difference means that one still has JSON escapes, or lost letters when it was parsed.
        if trace.text != reasoning:
            raise AlignmentError(_difference(reasoning, trace.text))
        return replace(trace, answer=trace.answer or answer)
    if content.count(reasoning) != 1:
        raise AlignmentError(
            f"its tokens (from {rows.where}) should spell its reasoning once, alone or in JSON, "
            f"but spell {content[:_SHOWN]!r}"
        )
    return _cut_out(item, content, tokens, reasoning, answer)


def _texts(record: Record) -> tuple[str, str | None]:
    """The reasoning without outer whitespace, and the completion if the release has it."""
    reasoning, completion = record.get("reasoning"), record.get("completion")
    for text in (reasoning, completion):
        if text is not None and not isinstance(text, str):
            raise MalformedAnswerError(f"its reasoning is {text!r:.40}, not text")
    if reasoning is None and completion is None:
        raise MalformedAnswerError("it has no reasoning")
    if reasoning is None or reasoning.lstrip().startswith(_JSON):
        completion = reasoning or completion
        reasoning = read_completion(str(completion), "json").reasoning
    if not reasoning.strip():
        raise MalformedAnswerError("its reasoning is empty")
    return reasoning.strip(), completion


def _cut_out(
    item: str, content: str, tokens: Sequence[ServerToken], reasoning: str, answer: str | None
) -> Trace:
    start = content.index(reasoning)
    probs = completion_letter_probabilities(content, tokens)[start : start + len(reasoning)]
    if np.isnan(probs).all():
        raise AlignmentError("no letter of its reasoning has a probability")
    return Trace(item, reasoning, runs_of(probs), answer)


def _difference(reasoning: str, spelt: str) -> str:
    pairs = enumerate(zip(reasoning, spelt, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(reasoning), len(spelt)))
    return (
        f"at letter {at} its reasoning has {reasoning[at : at + _SHOWN]!r} and its tokens spell "
        f"{spelt[at : at + _SHOWN]!r}"
    )
