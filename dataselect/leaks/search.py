"""Look for the benchmarks in every source of a run, each source once.

What was found is an artifact of its own, known by the text that was read and by what was looked
for: tokens that were made before are not made again because a benchmark is new, and the other
way round. The text is only that of the run's token streams, which is what proxies train on.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.corpus.rows import open_rows
from dataselect.leaks.index import LeakIndex
from dataselect.leaks.parts import Part, Split, parts_hash
from dataselect.leaks.scan import Findings, Scan, scan_documents
from dataselect.store import Store

LEAKS_VERSION = 1
"""Part of the key of what was found; raised when the same texts would give something else."""

_KIND, _FILE = "leaks", "findings.json"


@dataclass(frozen=True)
class Text:
    """What was read of a source: its fingerprint, the seed of its order, and documents begun."""

    source: Mapping[str, Any]
    seed: int
    documents: int


class LeakSearch:
    """The parts to look for, and how: runs of `ngram` words that hold `share` of a part."""

    def __init__(self, parts: Sequence[Part], ngram: int, share: float) -> None:
        self.parts, self.ngram, self.share = tuple(parts), ngram, share

    @cached_property
    def index(self) -> LeakIndex:
        """Made when it is first needed: a run in which all is known looks for nothing."""
        return LeakIndex(self.parts, self.ngram, self.share)

    @cached_property
    def items(self) -> dict[tuple[str, Split], tuple[str, ...]]:
        """The ids of all items, by benchmark and split."""
        found: dict[tuple[str, Split], dict[str, None]] = {}
        for part in self.parts:
            found.setdefault((part.benchmark, part.split), {})[part.item] = None
        return {key: tuple(ids) for key, ids in found.items()}

    def spec(self, text: Text) -> dict[str, Any]:
        """All that determines what is found in a text."""
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
        """For a source that is tokenised: keeps in the store what it held."""

        def keep(findings: Findings) -> None:
            self.keep(store, Text(source, seed, findings.read.documents), findings)

        return Scan(self.index, keep)

    def keep(self, store: Store, text: Text, findings: Findings) -> None:
        """Put what was found into the store."""
        with store.publish(_KIND, self.spec(text)) as folder:
            findings.write(folder / _FILE)

    def find(self, store: Store, text: Text) -> Findings | None:
        """What was found in a text before."""
        artifact = store.find(_KIND, self.spec(text))
        return None if artifact is None else Findings.from_json(artifact.json(_FILE))

    @cached_property
    def _parts_hash(self) -> str:
        return parts_hash(self.parts)


def scan_sources(
    search: LeakSearch,
    manifest: Manifest,
    texts: Mapping[str, Text],
    store: Store,
    report: Callable[[str], None],
) -> dict[str, Findings]:
    """What each source holds, by id; read again where it was not looked at while tokenised."""
    sources, found = manifest.text_sources(), {}
    for name, text in texts.items():
        findings = search.find(store, text)
        if findings is None:
            report(name)
            rows = open_rows(sources[name], manifest.base, text.seed)
            threads = len(os.sched_getaffinity(0))
            findings = scan_documents(rows, text.documents, search.index, threads)
            search.keep(store, text, findings)
        found[name] = findings
    return found
