"""What the documents of a source hold of the benchmarks, summed up as they go by.

Either while they are tokenised (`Scan` is an onlooker of `corpus.shards.write_tokens`), or in a
pass of its own over the same documents (`scan_documents`), when the tokens were there already or
a benchmark is new. Both see each document that was begun, and the last one whole, though its
tokens may be cut. The sums are for each part of the index, so they do not grow with the source.
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
    """A part that documents of a source have.

    `covered` is the largest share of its own words in one document, `documents` how many hold
    it. Documents count from 0; `first` is the first that is like the part, `first_held` holds it,
    `first_whole` has all of its words.
    """

    benchmark: str
    split: Split
    item: str
    kind: Kind
    covered: float
    documents: int
    first: int
    first_held: int | None
    first_whole: int | None


@dataclass(frozen=True)
class Amount:
    """Documents, and their length."""

    documents: int
    characters: int


@dataclass(frozen=True)
class Findings:
    """What the documents of a source have: `read` is all of them, `holding` those that hold a part.

    `holding` is keyed by benchmark and split.
    """

    read: Amount
    holding: dict[tuple[str, Split], Amount]
    parts: tuple[FoundPart, ...]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
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
    """Sums up what the documents hold, batch after batch; `ended` gets the sum at the end."""

    def __init__(self, index: LeakIndex, ended: Callable[[Findings], None] | None = None) -> None:
        self._index, self._ended = index, ended
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
        """Which parts the texts hold; changes nothing."""
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
        """There are no more documents."""
        if self._ended is not None:
            self._ended(self.findings())

    def findings(self) -> Findings:
        """What the documents held up to now."""
        held = np.flatnonzero(self._covered)
        return Findings(
            Amount(*self._read.tolist()),
            {key: Amount(*self._holding[i].tolist()) for key, i in self._groups.items()},
            tuple(self._found(int(i), self._index.parts[i]) for i in held),
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
    """What the first `documents` texts hold."""
    scan = Scan(index)
    for held in map_batches(islice(texts, documents), scan.scan, threads):
        scan.keep(held, len(held.characters))
    return scan.findings()
