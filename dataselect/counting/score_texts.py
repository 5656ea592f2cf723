"""`dataselect score ngram:TEXT`: texts scored by counting their words, beside models.

A text is tokenised into the store and counted there as a candidate of a run is, and has a table as
a model has, with a column for each order (`counting.column`). Models and texts are compared on the
same items: one that cannot be scored for one of them is left out for all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.benchmarks.items import Exclusion
from dataselect.corpus.kept_tokenizer import Tokenizer, keep_tokenizer
from dataselect.corpus.prepare import Share, read_stream
from dataselect.counting.counted import (
    COUNTING_VERSION,
    Counted,
    Questions,
    Text,
    Want,
    count_missing,
    find_counted,
    is_counted,
    mean_over_traces,
)
from dataselect.counting.named_texts import NamedText
from dataselect.errors import IncompleteError, InputError
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.store import Store
from dataselect.units import format_count

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[str], None]
Progress = Callable[[str, Mapping[str, float]], None]

_SECONDS_BETWEEN_LINES = 10.0
_ALL = 1 << 62
"""A budget that no text reaches."""
_UNLIKE = 1.02
"""Texts whose numbers of tokens differ by more than this factor are noted."""


@dataclass(frozen=True)
class CountedText:
    """A text in tokens, scored by counting. It stands beside models in results."""

    name: str
    """`ngram:` and the candidate's id or the file's name."""
    text: Text
    """The tokens that are counted."""
    notes: tuple[str, ...] = ()
    """Remarks for readers of the scores."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything about the text that its scores depend on."""
        data = [{"stream": each.stream, "tokens": each.tokens} for each in self.text.shares]
        counted = {"counting": COUNTING_VERSION, "tokenizer": self.text.tokenizer.hash}
        return {"text": {**counted, "data": data}}

    def folder(self) -> Path:
        """The tokenizer's folder."""
        return self.text.tokenizer.folder


def read_text(
    named: NamedText, tokenizer: Tokenizer, tokens: int | None, store: Store, report: Report
) -> CountedText:
    """Tokenise a text into the store, or find it there.

    `tokens` are those to count, None for all that it has. A text of one source that has fewer is
    counted once; the sources of a mixture are read again where they are too short, as in training.
    Raises InputError for text that cannot be read, and where all is asked of a text without an end.
    """
    if tokens is None and not named.has_an_end:
        raise InputError(
            named.where,
            f"{named.id!r} is a mixture, or not a local text, so it has no end",
            "say with --tokens how many of its tokens to count",
        )
    name = f"ngram:{named.id}"
    shares, notes = [], []
    for source, share in named.shares.items():
        budget = _ALL if tokens is None else max(1, round(share * tokens))
        stream = read_stream(
            named.sources[source],
            named.base,
            tokenizer,
            budget,
            store,
            _lines(report, f"{name}: tokenising" + (f" {source}" if named.is_mixture else "")),
        )
        drawn = budget if named.is_mixture else min(budget, stream.tokens)
        if tokens is not None and stream.tokens < budget:
            often = f"read {drawn / stream.tokens:.1f} times" if named.is_mixture else "read once"
            has = f"{source!r} has {format_count(stream.tokens)} of {format_count(budget)} tokens"
            notes.append(f"{name}: {has}, {often}")
        shares.append(Share(stream.key, stream.folder, drawn))
    return CountedText(name, Text(tuple(shares), tokenizer), tuple(notes))


def tokenizer_of(folder: str | Path, store: Store) -> Tokenizer:
    """The tokenizer in a folder or on the Hub, kept in the store. Raises InputError."""
    return keep_tokenizer(str(folder), None, Path.cwd(), store, lambda *_: None)


def count_texts(
    store: Store, texts: Sequence[CountedText], evaluations: Sequence[Evaluation], report: Report
) -> None:
    """Count every text that lacks a score in the store, each in one reading for all benchmarks.

    Raises InputError for a damaged stream.
    """
    wants = [Want(each, traces) for each in evaluations for traces in each.traces]
    questions: Questions | None = None
    for each in texts:
        if all(is_counted(store, each.text, want) for want in wants):
            continue
        questions = questions or Questions(wants, each.text.tokenizer)
        lines = _lines(report, f"{each.name}: counting")
        count_missing(store, each.text, wants, questions, partial(_told, lines))


def _told(lines: Progress, tokens: int) -> None:
    lines("", {"tokens": tokens})


def with_texts(
    store: Store,
    scores: Sequence[BenchmarkScores],
    evaluations: Sequence[Evaluation],
    texts: Sequence[CountedText],
) -> list[BenchmarkScores]:
    """The models' scores with a table for each text behind them, on the items that all have.

    `scores` are empty where there are no models. Raises IncompleteError for a text whose counts
    have gone from the store.
    """
    if not texts:
        return list(scores)
    of_models = scores or [
        BenchmarkScores(each, (), each.left_out, (), 0.0) for each in evaluations
    ]
    size = _size_notes(texts)
    return [_beside(store, each, texts, size) for each in of_models]


def _beside(
    store: Store, scores: BenchmarkScores, texts: Sequence[CountedText], size: Sequence[str]
) -> BenchmarkScores:
    evaluation = scores.evaluation
    counted = [
        [_read(store, each, Want(evaluation, t)) for t in evaluation.traces] for each in texts
    ]
    tables = [mean_over_traces(sets) for sets in counted]
    items = set.intersection(
        *(set(table.index) for table in tables), *(set(table["item"]) for table in scores.tables)
    )
    order = [item.id for item in evaluation.benchmark.items if item.id in items]
    excluded = {each.item: each for each in scores.exclusions}
    for each in _left_out(evaluation, texts[0].text.tokenizer, items | set(excluded)):
        excluded.setdefault(each.item, each)
    estimated = [
        text.name
        for text, sets in zip(texts, counted, strict=True)
        if not all(each.facts["exact"] for each in sets)
    ]
    notes = [*scores.notes, *evaluation.notes, *(n for each in texts for n in each.notes), *size]
    if estimated:
        notes.append(
            f"{', '.join(estimated)}: numbers of distinct followers are estimates; counts are exact"
        )
    return replace(
        scores,
        tables=(
            *(_kept(table, items) for table in scores.tables),
            *(table.loc[order].rename_axis("item").reset_index() for table in tables),
        ),
        exclusions=tuple(excluded.values()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _kept(table: "pd.DataFrame", items: set[str]) -> "pd.DataFrame":
    return table[table["item"].isin(items)].reset_index(drop=True)


def _left_out(evaluation: Evaluation, tokenizer: Tokenizer, known: set[str]) -> list[Exclusion]:
    """Why items that are not `known` have no score by counting."""
    if all(item.id in known for item in evaluation.benchmark.items):
        return []
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.counting.counted import UNBOUNDED
    from dataselect.scoring.prepare import prepare

    loaded = load_tokenizer(tokenizer.folder)
    return [
        reason
        for traces in evaluation.traces
        for reason in prepare(
            evaluation.benchmark, traces, loaded, UNBOUNDED, evaluation.weight_scope
        ).exclusions
        if reason.item not in known
    ]


def _size_notes(texts: Sequence[CountedText]) -> list[str]:
    """A note where texts differ in length, since more text gives better scores whatever it says."""
    sizes = {each.name: each.text.tokens for each in texts}
    if max(sizes.values()) <= _UNLIKE * min(sizes.values()):
        return []
    shown = ", ".join(f"{name} {format_count(tokens)}" for name, tokens in sizes.items())
    return [
        f"texts of different length ({shown} tokens): more text gives a better score; --tokens "
        "counts as many of each"
    ]


def _read(store: Store, text: CountedText, want: Want) -> Counted:
    counted = find_counted(store, text.text, want)
    if counted is None:
        raise IncompleteError(
            f"counts of {text.name} have gone from the store {store.root}; run the same command "
            "again"
        )
    return counted


def _lines(report: Report, what: str) -> Progress:
    """A line when work begins, and one for each ten seconds of it; none if it is done already."""
    reported = float("-inf")

    def progress(_: str, fields: Mapping[str, float]) -> None:
        nonlocal reported
        now = time.monotonic()
        if "tokens" in fields and now - reported >= _SECONDS_BETWEEN_LINES:
            reported = now
            report(f"{what}: {format_count(int(fields['tokens']))} tokens")

    return progress
