"""From a manifest to token streams in the store: one tokenizer, and one stream for each source.

Sources are tokenised, not candidates: a source in five mixtures is read once. The key of a stream
does not depend on its length, so a longer budget later does not invalidate proxies trained on its
beginning. A stream that is cut has another key, since a proxy that draws more than its tokens
repeats them.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.config.manifest import Manifest, Source
from dataselect.config.plan import Plan
from dataselect.corpus.files import describe_left_out
from dataselect.corpus.fingerprint import fingerprint, require_unchanged
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.sampling import peek
from dataselect.corpus.unusable import check_share, describe_share
from dataselect.errors import InputError
from dataselect.store import Artifact, Store, content_key
from dataselect.store.files import sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from dataselect.corpus.shards import Observer

Report = Callable[[str, Mapping[str, float]], None]
"""Called with the name of the work and its progress."""

Observers = Callable[[str], "Observer"]
"""Returns the observer for the source with this id; it gets the texts as they are tokenised."""


@dataclass(frozen=True)
class Tokenizer:
    """The run's tokenizer."""

    folder: Path
    hash: str
    """`tokenizer_hash` of the folder."""
    vocab_size: int
    """Number of entries, special tokens included."""
    before: tuple[int, ...] = ()
    """Special tokens that begin every text (a BOS, or nothing)."""
    notes: tuple[str, ...] = ()
    """Remarks on its files for readers of the report."""


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


def read_corpus(manifest: Manifest, plan: Plan, store: Store, report: Report) -> Corpus:
    """The plan's tokenizer and the fingerprints of all sources; no streams yet."""
    texts = fingerprints(manifest)
    tokenizer = prepare_tokenizer(manifest, plan, texts, store, report)
    sources = manifest.text_sources()
    left_out = {name: describe_left_out(each, manifest.base) for name, each in sources.items()}
    return Corpus(tokenizer, texts, {}, left_out)


def fingerprints(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The fingerprint of every source, by id."""
    sources = manifest.text_sources()
    return {name: fingerprint(source, manifest.base) for name, source in sources.items()}


def prepare_tokenizer(
    manifest: Manifest,
    plan: Plan,
    texts: Mapping[str, Mapping[str, Any]],
    store: Store,
    report: Report,
) -> Tokenizer:
    """The plan's tokenizer, as a folder in the store; `texts` are the sources' fingerprints."""
    chosen = plan.tokenizer
    assert chosen is not None, "called only where the plan has a tokenizer"
    training = chosen.train
    if training is None:
        assert chosen.path is not None, "the plan guarantees a path or training"
        return keep_tokenizer(chosen.path, chosen.revision, plan.base, store, report)
    spec = {
        "train": training.model_dump(),
        "seed": plan.seed,
        "texts": {name: texts[name] for name in sorted(texts)},
    }

    def build(folder: Path) -> None:
        from dataselect.corpus.tokenizer import train_tokenizer

        report("tokenizer", {})
        pooled = _pooled(manifest, training.characters, plan.seed)
        tokenizer = train_tokenizer(pooled, training.vocab_size, training.split_digits)
        for name, source in manifest.text_sources().items():
            require_unchanged(source, manifest.base, texts[name])
        _save_tokenizer(tokenizer, (), {}, folder)

    return _kept_tokenizer(store.get_or_build("tokenizer", spec, build, whole=True), ())


def keep_tokenizer(
    path: str, revision: str | None, base: Path, store: Store, report: Report
) -> Tokenizer:
    """The tokenizer of a folder relative to `base`, or of a name on the Hub, kept in the store.

    Raises InputError where there is none.
    """
    spec = _loaded_spec(path, revision, base)

    def build(folder: Path) -> None:
        from dataselect.corpus.tokenizer import load_saved_tokenizer

        report("tokenizer", {})
        saved = load_saved_tokenizer(spec["path"], revision)
        beside = {"beside": _beside(Path(spec["path"]))} if "hash" in spec else {}
        _save_tokenizer(saved.tokenizer, saved.notes, beside, folder)

    artifact = store.get_or_build("tokenizer", spec, build, whole=True)
    local = Path(spec["path"]) if "hash" in spec else None
    if local is not None:
        from dataselect.corpus.segmentation import segmentation_hash

        if segmentation_hash(artifact.path) != segmentation_hash(local):
            # Kept by an earlier release, which followed the class that is named beside the file.
            spec = {**spec, "tokens": "tokenizer.json"}
            artifact = store.get_or_build("tokenizer", spec, build, whole=True)
    notes = tuple(artifact.json("facts.json").get("notes", ()))
    if local is not None and artifact.json("facts.json").get("beside") != _beside(local):
        # A key holds the tokens, and not the class that is named beside them.
        from dataselect.corpus.tokenizer import load_saved_tokenizer

        notes = load_saved_tokenizer(local).notes
    return _kept_tokenizer(artifact, notes)


def _kept_tokenizer(artifact: Artifact, notes: tuple[str, ...]) -> Tokenizer:
    facts = artifact.json("facts.json")
    before = facts["before"] if "before" in facts else _before(artifact.path)
    return Tokenizer(artifact.path, facts["hash"], facts["vocab_size"], tuple(before), notes)


def _beside(folder: Path) -> dict[str, str]:
    """What the notes on a folder's tokenizer depend on, besides its tokenizer.json."""
    files = (path for path in sorted(folder.glob("*.json")) if path.name != "tokenizer.json")
    return {"transformers": version("transformers"), **{p.name: sha256_of(p) for p in files}}


def _before(folder: Path) -> list[int]:
    """What an artifact of before does not say."""
    from tokenizers import Tokenizer as Backend

    from dataselect.corpus.saved_tokenizer import special_tokens_before

    return special_tokens_before(Backend.from_file(str(folder / "tokenizer.json")))


def _loaded_spec(path: str, revision: str | None, base: Path) -> dict[str, Any]:
    local = base / path
    if local.is_dir():
        from dataselect.corpus.tokenizer import tokenizer_hash

        return {"path": str(local.resolve()), "hash": tokenizer_hash(local)}
    return {"path": path, "revision": revision}


def _save_tokenizer(
    tokenizer: "PreTrainedTokenizerFast",
    notes: Sequence[str],
    beside: Mapping[str, Any],
    folder: Path,
) -> None:
    from dataselect.corpus.saved_tokenizer import special_tokens_before
    from dataselect.corpus.tokenizer import tokenizer_hash

    tokenizer.save_pretrained(str(folder))
    facts = {
        "hash": tokenizer_hash(folder),
        "vocab_size": len(tokenizer),
        "before": special_tokens_before(tokenizer),
        "notes": notes,
        **beside,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _pooled(manifest: Manifest, characters: int, seed: int) -> Iterator[str]:
    """Equal parts of every source, so that the tokenizer favours no candidate."""
    sources = manifest.text_sources()
    for source in sources.values():
        left = characters // len(sources)
        for text in open_rows(source, manifest.base, seed):
            yield text[:left]
            left -= len(text)
            if left <= 0:
                break


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
) -> Corpus:
    """The corpus with a stream of every source in `needed`, which maps ids to tokens.

    Sources in `cut` end after the tokens needed, as if they had no more: the first documents in the
    order drawn from the seed. Streams that the corpus has already are kept where they have the same
    length and are not cut.

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
    identities = {
        name: _identity(corpus.fingerprints[name], corpus.tokenizer, plan.seed)
        | ({"cut": needed[name]} if name in cut else {})
        for name in sources
    }
    for name, source in sources.items():
        spec = identities[name] | {"budget": needed[name]}
        if name not in ready and store.find("tokens", spec) is None:
            # All before the first is tokenised: a fault in the last must show now, not in hours.
            peek(source, manifest.base)
    tokenising = _Tokenising(manifest.base, plan.seed, corpus.tokenizer, store, report, observers)
    streams = {}
    for name, source in sources.items():
        stream = ready.get(name) or tokenising.stream(source, identities[name], needed[name])
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
    identity = _identity(text, tokenizer, 0)
    if store.find("tokens", identity | {"budget": tokens}) is None:
        peek(source, base)
    tokenising = _Tokenising(base, 0, tokenizer, store, report, None)
    stream = tokenising.stream(source, identity, tokens)
    _check_usable(stream, source, text)
    return stream


def _identity(text: Mapping[str, Any], tokenizer: Tokenizer, seed: int) -> dict[str, Any]:
    """What determines a stream of the source with this fingerprint, whatever its length."""
    before = {"before": list(tokenizer.before)} if tokenizer.before else {}
    return {"source": dict(text), "tokenizer": tokenizer.hash, "seed": seed, **before}


@dataclass(frozen=True)
class _Tokenising:
    """Tokenises sources: what is the same for all streams of a run."""

    base: Path
    seed: int
    tokenizer: Tokenizer
    store: Store
    report: Report
    observers: Observers | None

    def stream(self, source: Source, identity: Mapping[str, Any], budget: int) -> Stream:
        """The source's stream of `budget` tokens; tokenised now unless it is in the store."""

        def build(folder: Path) -> None:
            # Imported here, so that streams found in the store load no tokenizer.
            from dataselect.corpus.shards import write_tokens

            counts = RowCounts()
            write_tokens(
                open_rows(source, self.base, self.seed, counts),
                self.tokenizer.folder,
                budget,
                folder,
                processes=len(os.sched_getaffinity(0)),
                progress=lambda fields: self.report(source.id, fields),
                rows=counts,
                observer=None if self.observers is None else self.observers(source.id),
            )
            require_unchanged(source, self.base, identity["source"])

        artifact = self.store.get_or_build("tokens", {**identity, "budget": budget}, build)
        index = artifact.json("index.json")
        key = content_key("stream", identity)
        return Stream(source.id, key, artifact.path, index["tokens"], budget, index)


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
