"""Search every source of a run for the benchmarks, each source once.

Findings are a separate artifact, with the text and the parts in its key: a new benchmark does not
cause tokenising again, and new tokens of the same text no search. Only the text of the run's token
streams, on which proxies train, is searched.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.corpus.fingerprint import require_unchanged
from dataselect.corpus.rows import open_rows
from dataselect.corpus.source_at import SourceAt
from dataselect.errors import DataselectError
from dataselect.leaks.index import LeakIndex
from dataselect.leaks.parts import Part, Split, parts_hash
from dataselect.leaks.scan import Findings, Scan, scan_documents
from dataselect.store import Store

LEAKS_VERSION = 1
"""Part of the key of the findings; raised when the same texts would give other findings."""

LEAKS, LEAKS_FILE = "leaks", "findings.json"
"""Kind of the artifacts, and the file in them."""


@dataclass(frozen=True)
class Text:
    """The part of a source that is searched."""

    source: Mapping[str, Any]
    """Fingerprint of the source."""
    seed: int
    """Seed of the order of its documents."""
    documents: int
    """Number of documents, from the first in that order."""


class LeakSearch:
    """The parts to search for, and when a document holds one: `share` of its words in runs of
    `ngram`."""

    sendable = True

    def __reduce__(self) -> tuple[type["LeakSearch"], tuple[tuple[Part, ...], int, float]]:
        # Without the index, which a job makes for itself.
        return LeakSearch, (self.parts, self.ngram, self.share)

    def __init__(self, parts: Sequence[Part], ngram: int, share: float) -> None:
        self.parts, self.ngram, self.share = tuple(parts), ngram, share

    @cached_property
    def index(self) -> LeakIndex:
        """The index; built on first use, since a run with all findings in the store needs none."""
        return LeakIndex(self.parts, self.ngram, self.share)

    @cached_property
    def items(self) -> dict[tuple[str, Split], tuple[str, ...]]:
        """The ids of all items, by benchmark and split."""
        unique: dict[tuple[str, Split], dict[str, None]] = {}
        for part in self.parts:
            unique.setdefault((part.benchmark, part.split), {})[part.item] = None
        return {key: tuple(ids) for key, ids in unique.items()}

    def spec(self, text: Text) -> dict[str, Any]:
        """Everything that determines the findings in a text."""
        return {
            "version": LEAKS_VERSION,
            "ngram": self.ngram,
            "share": self.share,
            "parts": self._parts_hash,
            "source": dict(text.source),
            "seed": text.seed,
            "documents": text.documents,
        }

    def observer(self, store: Store, source: Mapping[str, Any], seed: int) -> Scan:
        """An observer for a source that is tokenised; puts the findings into the store."""

        def keep(findings: Findings) -> None:
            self.keep(store, Text(source, seed, findings.read.documents), findings)

        return Scan(self.index, keep)

    def keep(self, store: Store, text: Text, findings: Findings) -> None:
        """Put the findings in a text into the store."""
        with store.publish(LEAKS, self.spec(text)) as folder:
            findings.write(folder / LEAKS_FILE)

    def find(self, store: Store, text: Text) -> Findings | None:
        """The stored findings in a text; None when it was not searched before."""
        artifact = store.find(LEAKS, self.spec(text))
        return None if artifact is None else Findings.from_json(artifact.json(LEAKS_FILE))

    @cached_property
    def _parts_hash(self) -> str:
        return parts_hash(self.parts)


@dataclass(frozen=True)
class SearchRequest:
    """A text of a source that is to be searched."""

    source: SourceAt
    """The source."""
    text: Text
    """The part of it."""

    def make(self, search: LeakSearch, store: Store, threads: int) -> Findings:
        """The findings, searched for now unless they are in the store; raises InputError."""
        text, source, base = self.text, self.source.source, self.source.base

        def build(folder: Path) -> None:
            rows = open_rows(source, base, text.seed)
            findings = scan_documents(rows, text.documents, search.index, threads)
            require_unchanged(source, base, text.source)
            findings.write(folder / LEAKS_FILE)

        artifact = store.get_or_build(LEAKS, search.spec(text), build)
        return Findings.from_json(artifact.json(LEAKS_FILE))


Scans = Callable[[Mapping[str, SearchRequest]], Mapping[str, DataselectError]]
"""Has texts searched elsewhere, and the findings put into the store; returns what went wrong, by
source id."""


def scan_sources(
    search: LeakSearch,
    manifest: Manifest,
    texts: Mapping[str, Text],
    store: Store,
    report: Callable[[str], None],
    scan: Scans | None = None,
) -> dict[str, Findings]:
    """The findings in each source, by id; sources not searched while tokenised are read again.

    `scan` reads them elsewhere; without it that is done here.
    """
    sources = manifest.text_sources()
    known = {name: search.find(store, text) for name, text in texts.items()}
    missing = {
        name: SearchRequest(SourceAt.of(sources[name], manifest.base), texts[name])
        for name, findings in known.items()
        if findings is None
    }
    failed = scan(missing) if scan is not None and missing else {}
    found = {}
    for name, findings in known.items():
        if name in failed:
            raise failed[name]
        if findings is None and scan is None:
            report(name)
        found[name] = findings or missing[name].make(search, store, len(os.sched_getaffinity(0)))
    return found
