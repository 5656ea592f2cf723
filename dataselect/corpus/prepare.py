"""From a manifest to token streams in the store: one tokenizer, and one stream for each source.

Sources are tokenised, not candidates: a source in five mixtures is read once. The key of a stream
does not depend on its length, so a longer budget later does not invalidate proxies trained on its
beginning. A stream that is cut has another key, since a proxy that draws more than its tokens
repeats them.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.config.manifest import Manifest, Source
from dataselect.config.plan import Plan
from dataselect.corpus.fingerprint import fingerprint, fingerprint_and_note
from dataselect.corpus.kept_tokenizer import (
    Tokenizer,
    TokenizerRequest,
    keep_tokenizer,
    kept_tokenizer,
)
from dataselect.corpus.rows import RowCounts
from dataselect.corpus.sampling import peek
from dataselect.corpus.source_at import SourceAt
from dataselect.corpus.stream_request import StreamRequest
from dataselect.corpus.unusable import check_share, describe_share
from dataselect.errors import DataselectError, InputError
from dataselect.store import Store, content_key

if TYPE_CHECKING:
    from dataselect.corpus.shards import Observer

Report = Callable[[str, Mapping[str, float]], None]
"""Called with the name of the work and its progress."""

Observers = Callable[[str], "Observer"]
"""Returns the observer for the source with this id; it gets the texts as they are tokenised."""

Train = Callable[[TokenizerRequest], None]
"""Has a tokenizer trained elsewhere and put into the store; raises why it could not be."""

Tokenise = Callable[[Sequence[StreamRequest]], Mapping[str, DataselectError]]
"""Has streams made elsewhere and put into the store; returns what went wrong, by source id."""


@dataclass(frozen=True)
class Stream:
    """The tokens of one source, in the store."""

    source: str
    """Id of the source."""
    key: str
    """Identifies the stream, whatever its length."""
    folder: Path
    """A folder written by `write_tokens`."""
    tokens: int
    """Length of the stream."""
    budget: int
    """Tokens that were needed; `tokens` is less where the source is exhausted."""
    index: Mapping[str, Any]
    """The stream's index.json: counts of documents, and of rows by what became of them."""


@dataclass(frozen=True)
class Corpus:
    """The training data of one run."""

    tokenizer: Tokenizer
    fingerprints: Mapping[str, Mapping[str, Any]]
    """Fingerprint of every source, by id."""
    streams: Mapping[str, Stream]
    """Streams of the sources that are needed, by id."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """What the folders of sources hold besides and is not read, by id. Kept from the first look, so
    that what follows training needs neither the files nor a network."""


@dataclass(frozen=True)
class Share:
    """The part of a proxy's tokens that comes from one stream."""

    stream: str
    """Key of the stream."""
    folder: Path
    """Folder of the stream."""
    tokens: int
    """Tokens drawn from it; may exceed its length."""


def read_corpus(
    manifest: Manifest, plan: Plan, store: Store, report: Report, *, train: Train | None = None
) -> Corpus:
    """The plan's tokenizer and the fingerprints of all sources; no streams yet.

    `train` trains a tokenizer elsewhere, which else is trained here.
    """
    texts, left_out = fingerprints(manifest)
    tokenizer = prepare_tokenizer(manifest, plan, texts, store, report, train=train)
    return Corpus(tokenizer, texts, {}, left_out)


def fingerprints(manifest: Manifest) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The fingerprint of every source, by id, and what is left out of their folders."""
    texts, left_out = {}, {}
    for name, source in manifest.text_sources().items():
        texts[name], left_out[name] = fingerprint_and_note(source, manifest.base)
    return texts, left_out


def prepare_tokenizer(
    manifest: Manifest,
    plan: Plan,
    texts: Mapping[str, Mapping[str, Any]],
    store: Store,
    report: Report,
    *,
    train: Train | None = None,
) -> Tokenizer:
    """The plan's tokenizer, as a folder in the store; `texts` are the sources' fingerprints."""
    chosen = plan.tokenizer
    assert chosen is not None, "the plan has a tokenizer wherever this is called"
    training = chosen.train
    if training is None:
        assert chosen.path is not None, "the plan guarantees a path or training"
        return keep_tokenizer(chosen.path, chosen.revision, plan.base, store, report)
    sources = manifest.text_sources()
    request = TokenizerRequest(
        {name: SourceAt.of(source, manifest.base) for name, source in sources.items()},
        texts,
        training.model_dump(),
        plan.seed,
    )
    if train is not None and request.find(store) is None:
        train(request)
    return kept_tokenizer(request.make(store, lambda fields: report("tokenizer", fields)))


Budgets = Mapping[str, Collection[tuple[int, int]]]
"""By candidate, (tokens, sequence length) of each training on its text."""


def tokens_needed(manifest: Manifest, budgets: Budgets) -> dict[str, int]:
    """Tokens to prepare of every source, by id: the most that any training run draws from it.

    Candidates without a budget need none.
    """
    needed: dict[str, int] = {}
    for candidate in manifest.candidates:
        for source, share in manifest.shares(candidate.id).items():
            for budget, length in budgets.get(candidate.id, ()):
                tokens = tokens_drawn(budget, length, share)
                needed[source] = max(needed.get(source, 0), tokens)
    return needed


def tokens_drawn(budget: int, length: int, share: float) -> int:
    """Tokens that a training run draws from a source that is `share` of its `budget`.

    Rounded up to whole sequences of `length`, and one more: the last sequence's last target.
    """
    return -(-round(budget * share) // length) * length + 1


def prepare_streams(
    manifest: Manifest,
    plan: Plan,
    corpus: Corpus,
    needed: Mapping[str, int],
    store: Store,
    report: Report,
    *,
    observers: Observers | None = None,
    cut: Collection[str] = (),
    tokenise: Tokenise | None = None,
) -> Corpus:
    """The corpus with a stream of every source in `needed`, which maps ids to tokens.

    Sources in `cut` end after the tokens needed, as if they had no more: the first documents in the
    order drawn from the seed. Streams that the corpus has already are kept where they have the same
    length and are not cut. `tokenise` makes elsewhere what the store lacks, with its observers;
    without it that is done here, one source after the other.

    Raises InputError for bad rows, for a source with more rows without usable text than it allows,
    and for one with fewer tokens than its share of the budget even with as many epochs as are
    allowed.
    """
    sources = {name: s for name, s in manifest.text_sources().items() if name in needed}
    ready = {
        name: stream
        for name, stream in corpus.streams.items()
        if name not in cut and stream.budget == needed.get(name)
    }
    requests = {
        name: StreamRequest(
            SourceAt.of(source, manifest.base),
            corpus.fingerprints[name],
            plan.seed,
            corpus.tokenizer,
            needed[name],
            cut=name in cut,
        )
        for name, source in sources.items()
    }
    missing = [r for n, r in requests.items() if n not in ready and r.find(store) is None]
    for request in missing:
        # All before the first is tokenised: a fault in the last must show now, not in hours.
        peek(sources[request.id], manifest.base)
    failed = tokenise(missing) if tokenise is not None and missing else {}
    streams = {}
    for name, source in sources.items():
        if name in failed:
            raise failed[name]
        stream = ready.get(name) or _stream(requests[name], store, report, observers)
        _check_usable(stream, source, corpus.fingerprints[name])
        _check_enough(stream, source, manifest, plan)
        streams[name] = stream
    return replace(corpus, streams=streams)


def read_stream(
    source: Source, base: Path, tokenizer: Tokenizer, tokens: int, store: Store, report: Report
) -> Stream:
    """The first `tokens` tokens of a source, or all that it has, in the order of the seed 0.

    The same stream as that of a run with the same tokenizer, seed and budget. Raises InputError for
    bad rows, and for a source with more rows without usable text than it allows.
    """
    text = fingerprint(source, base)
    request = StreamRequest(SourceAt.of(source, base), text, 0, tokenizer, tokens)
    if request.find(store) is None:
        peek(source, base)
    stream = _stream(request, store, report, None)
    _check_usable(stream, source, text)
    return stream


def _stream(
    request: StreamRequest, store: Store, report: Report, observers: Observers | None
) -> Stream:
    """The stream of a request; tokenised now unless it is in the store."""
    artifact = request.make(
        store,
        lambda fields: report(request.id, fields),
        threads=len(os.sched_getaffinity(0)),
        observer=None if observers is None else lambda: observers(request.id),
    )
    index = artifact.json("index.json")
    key = content_key("stream", request.identity)
    return Stream(request.id, key, artifact.path, index["tokens"], request.budget, index)


def _check_enough(stream: Stream, source: Source, manifest: Manifest, plan: Plan) -> None:
    allowed, needed = source.max_repeats or plan.max_repeats, stream.budget
    # One token fewer is enough: the last target may be the first token again.
    if stream.tokens * allowed + 1 >= needed or not stream.index["exhausted"]:
        return
    raise InputError(
        manifest.where_text(stream.source),
        f"{stream.source!r} has {stream.tokens:,} tokens and its share of the budget is {needed:,}",
        f"lower the plan's tokens, add text, or set max_repeats: {-(-needed // stream.tokens)}",
    )


def draw_shares(
    manifest: Manifest, candidate: str, streams: Mapping[str, Stream], tokens: int
) -> tuple[Share, ...]:
    """How many of a candidate's `tokens` each of its sources' streams gives."""
    return tuple(
        Share(streams[source].key, streams[source].folder, round(share * tokens))
        for source, share in manifest.shares(candidate).items()
    )


def repeats(
    manifest: Manifest, streams: Mapping[str, Stream], budgets: Budgets
) -> dict[str, float]:
    """Epochs over the scarcest source, for each candidate that reads any text more than once."""
    epochs = {
        candidate: max(
            share * max(tokens for tokens, _ in runs) / streams[source].tokens
            for source, share in manifest.shares(candidate).items()
        )
        for candidate, runs in budgets.items()
        if runs
    }
    return {name: value for name, value in epochs.items() if value > 1}


def _check_usable(stream: Stream, source: Source, text: Mapping[str, Any]) -> None:
    """Refuse a source by all rows that were read, since a look beforehand sees some of them."""
    counts = stream.index.get("counts")
    if counts is not None:
        check_share(source, RowCounts(**counts), plain_text=_plain_text(text), of="rows read")


def _plain_text(text: Mapping[str, Any]) -> bool:
    """Whether a source with this fingerprint is lines of plain text."""
    return any(file["form"] == "text" for file in text.get("files", ()))


def corpus_notes(corpus: Corpus) -> list[str]:
    """A line for each source with rows that were left out, or files of its folder."""
    notes = []
    for name, stream in corpus.streams.items():
        counts = stream.index.get("counts")
        rows = ""
        if counts is not None:
            plain_text = _plain_text(corpus.fingerprints[name])
            rows = describe_share(RowCounts(**counts), plain_text=plain_text, of="rows read")
        notes += [f"{name}: {each}" for each in (corpus.left_out.get(name, ""), rows) if each]
    return notes
