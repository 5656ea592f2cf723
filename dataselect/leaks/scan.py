"""Scan the documents of a source for benchmark parts, with running sums.

The scan runs while the source is tokenised (`Scan` is an observer of `corpus.shards.write_tokens`),
or in a separate pass over the same documents (`scan_documents`) when the tokens exist already or a
benchmark is new. Both scan every document that was begun, and the last one whole, though its tokens
may be cut. The sums are per part of the index, so memory does not grow with the source.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dataselect.corpus.batches import map_batches
from dataselect.leaks.index import HELD, LIKE, WHOLE, Held, LeakIndex, changes
from dataselect.leaks.parts import Kind, Part, Split

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class FoundPart:
    """A part that was found in documents of a source. Stored by field order."""

    benchmark: str
    split: Split
    item: str
    kind: Kind
    covered: float
    """Largest fraction of the part's own words in one document, in 0..1."""
    documents: int
    """How many documents hold the part."""
    first: int
    """First document, counted from 0, that is at least similar to the part."""
    first_held: int | None
    """First document that holds the part; None without one."""
    first_whole: int | None
    """First document with all of the part's words; None without one."""


@dataclass(frozen=True)
class Amount:
    """A number of documents and their total length."""

    documents: int
    characters: int


@dataclass(frozen=True)
class Findings:
    """The parts found in the documents of a source."""

    read: Amount
    """All documents scanned."""
    holding: dict[tuple[str, Split], Amount]
    """Documents that hold a part, by benchmark and split."""
    parts: tuple[FoundPart, ...]

    def write(self, path: Path) -> None:
        """Write the findings as JSON."""
        content = {
            "read": asdict(self.read),
            "holding": [[*key, asdict(amount)] for key, amount in self.holding.items()],
            "parts": [list(asdict(part).values()) for part in self.parts],
        }
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Findings":
        """The findings in the content of a file that `write` wrote."""
        return Findings(
            Amount(**content["read"]),
            {(name, split): Amount(**amount) for name, split, amount in content["holding"]},
            tuple(FoundPart(*values) for values in content["parts"]),
        )


class Scan:
    """Sums over the documents, batch by batch; `on_end` is called with the findings at the end."""

    def __init__(self, index: LeakIndex, on_end: Callable[[Findings], None] | None = None) -> None:
        self._index, self._on_end = index, on_end
        parts = len(index.parts)
        self._documents = np.zeros(parts, np.int64)
        self._covered = np.zeros(parts, np.int64)
        self._first = np.full((WHOLE + 1, parts), _NEVER)
        groups: dict[tuple[str, Split], int] = {}
        for part in index.parts:
            groups.setdefault((part.benchmark, part.split), len(groups))
        self._groups = groups
        self._group = np.array([groups[p.benchmark, p.split] for p in index.parts], np.int64)
        self._holding = np.zeros((len(groups), 2), np.int64)
        self._read = np.zeros(2, np.int64)

    def scan(self, texts: Sequence[str]) -> Held:
        """The parts that the texts have; does not change the sums."""
        return self._index.scan(texts)

    def keep(self, scanned: Held, documents: int) -> None:
        """Add the first `documents` documents of a batch."""
        kept = scanned.documents < documents
        place, parts = scanned.documents[kept], scanned.parts[kept]
        number, level = place + self._read[0], scanned.level[kept]
        np.maximum.at(self._covered, parts, scanned.covered[kept])
        for least, first in enumerate(self._first):
            reached = level >= least
            np.minimum.at(first, parts[reached], number[reached])
        place, parts = place[level >= HELD], parts[level >= HELD]
        np.add.at(self._documents, parts, 1)
        groups = self._group[parts]
        order = np.lexsort((groups, place))
        place, groups = place[order], groups[order]
        once = changes(place, groups)
        place, groups = place[once], groups[once]
        np.add.at(self._holding[:, 0], groups, 1)
        np.add.at(self._holding[:, 1], groups, scanned.characters[place])
        self._read += documents, scanned.characters[:documents].sum()

    def end(self) -> None:
        """Call `on_end` with the findings; there are no more documents."""
        if self._on_end is not None:
            self._on_end(self.findings())

    def findings(self) -> Findings:
        """The findings up to now."""
        parts = np.flatnonzero(self._covered)
        return Findings(
            Amount(*self._read.tolist()),
            {key: Amount(*self._holding[i].tolist()) for key, i in self._groups.items()},
            tuple(self._found(int(i), self._index.parts[i]) for i in parts),
        )

    def _found(self, i: int, part: Part) -> FoundPart:
        return FoundPart(
            part.benchmark,
            part.split,
            part.item,
            part.kind,
            float(self._covered[i] / self._index.own[i]),
            int(self._documents[i]),
            int(self._first[LIKE, i]),
            *(None if first == _NEVER else int(first) for first in self._first[HELD:, i]),
        )


def scan_documents(
    texts: Iterator[str], documents: int, index: LeakIndex, threads: int
) -> Findings:
    """The findings in the first `documents` texts."""
    scan = Scan(index)
    for held in map_batches(islice(texts, documents), scan.scan, threads):
        scan.keep(held, len(held.characters))
    return scan.findings()
