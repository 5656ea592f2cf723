"""An index of the n-word runs of the benchmarks' parts, to find the parts that a document holds.

A document holds a part when enough of the part's own words are in it, in runs of n or more:
`share` of them, and at least 13 (or all, where there are fewer). Words are counted and not runs,
because one changed word breaks n runs: of a question of 40 words with a changed number, 39 words
still match. Where a document begins or ends inside the part, the share is of the words that it has
room for; so of a copy that is cut into two documents the longer one counts. With half of its words,
a part is only similar to the document: problems made from one template are similar to each other.

Runs that many items of a benchmark share ("how many does she have left", "let's think step by
step") say nothing about any one of them. They are left out, and words that are only in such runs
are not the part's own. A part with fewer than 13 own words, unless all are its own, is too general
to be searched for.

Memory is about 40 bytes for each word of the benchmarks. Part of it is a table that rejects most
runs of a document before the search.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataselect.leaks.parts import Part
from dataselect.leaks.words import MOST_CHARACTERS, Hashes, WordRuns

Whole = NDArray[np.int64]

FEWEST_WORDS = 13
"""Words that must be found; runs of 13 are a common criterion for a leak."""
MOST_ITEMS = 8
"""A run in more items of a benchmark than this is left out."""
# A text longer than a group of texts is cut; its pieces overlap by more than a run.
_LONGEST = MOST_CHARACTERS - 1
_OVERLAP_CHARACTERS = 1 << 12
_SLOTS_PER_RUN = 16


LIKE, HELD, WHOLE = 0, 1, 2
"""How much of a part a document has: half of its words, enough to hold it, or all."""
LIKE_SHARE = 0.5


@dataclass(frozen=True)
class Held:
    """The parts found in the documents of a batch: parallel arrays, a row per pair of the two."""

    documents: Whole
    """Number of the document in the batch, from 0, ascending."""
    parts: Whole
    """Index of the part."""
    covered: Whole
    """How many of the part's own words were found."""
    level: Whole
    """LIKE, HELD or WHOLE."""
    characters: Whole
    """Length of every document of the batch, shape (documents in the batch,)."""


class _Piece(NamedTuple):
    document: int
    text: str
    first: bool = True
    last: bool = True


class LeakIndex:
    """The runs of `ngram` words of `parts`, indexed for the search in documents."""

    def __init__(self, parts: Sequence[Part], ngram: int, share: float) -> None:
        self.parts, self.ngram, self.share = tuple(parts), ngram, share
        # Of an extremely long part only the beginning is used.
        texts = [part.text[:_LONGEST] for part in parts]
        runs = [_runs(group, ngram) for group in _groups(texts)]
        hashes = np.concatenate([h for h, _, _ in runs] or [np.empty(0, np.uint64)])
        part = np.concatenate([p for _, p, _ in runs] or [np.empty(0, np.int64)])
        position = np.concatenate([p for _, _, p in runs] or [np.empty(0, np.int64)])
        words = np.zeros(len(parts), np.int64)
        np.maximum.at(words, part, position + ngram)
        self.words = words
        """Words of each part; 0 where it has fewer than n."""
        distinctive = _distinctive(hashes, part, self.parts)
        hashes, part, position = hashes[distinctive], part[distinctive], position[distinctive]
        self.own = _covered_by_part(part, position, ngram, len(parts))
        """Own words of each part; 0 where it is too short or too general to be searched for."""
        self.own[self.own < np.minimum(words, FEWEST_WORDS)] = 0
        kept = self.own[part] > 0
        hashes, part, position = hashes[kept], part[kept], position[kept]
        order = np.argsort(hashes, kind="stable")
        self._runs, first = np.unique(hashes[order], return_index=True)
        self._first = np.append(first, len(order))
        self._part = part[order].astype(np.int32)
        self._position = position[order].astype(np.int32)
        bits = max(10, int(_SLOTS_PER_RUN * len(self._runs)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._taken = np.zeros(1 << bits, np.bool_)
        self._taken[self._runs >> self._shift] = True

    def scan(self, texts: Sequence[str]) -> Held:
        """The parts that each text has."""
        hits = [self._hits(group) for group in _groups(texts)]
        columns = np.concatenate([np.empty((4, 0), np.int64), *hits], axis=1)
        documents, runs, first, last = _distinct(columns)
        count = self._first[runs + 1] - self._first[runs]
        places = np.repeat(self._first[runs] - np.cumsum(count) + count, count)
        places += np.arange(len(places))
        documents, first, last = (np.repeat(column, count) for column in (documents, first, last))
        parts, positions = self._part[places], self._position[places].astype(np.int64)
        order = np.lexsort((positions, parts, documents))
        documents, parts, positions = documents[order], parts[order], positions[order]
        begins = changes(documents, parts)
        covered = _covered(positions, begins, self.ngram)
        # The document has no room for the part's words before its first run and behind its last.
        cut = np.where(first[order] > 0, positions, 0)
        left = np.where(last[order] > 0, positions + self.ngram, self.words[parts])
        documents, parts = documents[begins], parts[begins].astype(np.int64)
        if len(begins):
            cut, left = np.maximum.reduceat(cut, begins), np.minimum.reduceat(left, begins)
        own = self.own[parts]
        level = np.full(len(begins), LIKE)
        level[covered >= self.share * np.minimum(own, left - cut)] = HELD
        level[covered == own] = WHOLE
        enough = covered >= np.minimum(own, FEWEST_WORDS)
        enough &= covered >= min(LIKE_SHARE, self.share) * own
        characters = np.array([len(text) for text in texts], np.int64)
        return Held(documents[enough], parts[enough], covered[enough], level[enough], characters)

    def _hits(self, group: list[_Piece]) -> Whole:
        """Document, place in the index, and whether it is at the document's begin or end, of each
        run that is in the index; shape (4, runs)."""
        words = WordRuns([piece.text for piece in group])
        hashes = words.hashes(self.ngram)
        near = np.flatnonzero(self._taken[hashes >> self._shift])
        places = np.searchsorted(self._runs, hashes[near])
        places[places == len(self._runs)] = 0
        same = self._runs[places] == hashes[near] if len(self._runs) else near < 0
        near, places = near[same], places[same]
        texts, whole = words.within(near, self.ngram)
        near, places, texts = near[whole], places[whole], texts[whole]
        numbers, firsts, lasts = np.array([(p.document, p.first, p.last) for p in group]).T
        # A cut may leave half a word at the end of a piece.
        first = firsts[texts] * (near <= words.words[texts] + 1)
        last = lasts[texts] * (near + self.ngram >= words.words[texts + 1] - 1)
        return np.stack([numbers[texts], places, first, last])


def _groups(texts: Sequence[str]) -> Iterator[list[_Piece]]:
    """Texts in groups of bounded size; a long one is cut into pieces."""
    group: list[_Piece] = []
    size = 0
    for number, text in enumerate(texts):
        for piece in _pieces(number, text):
            if size + len(piece.text) + 1 > MOST_CHARACTERS:
                yield group
                group, size = [], 0
            group.append(piece)
            size += len(piece.text) + 1
    if group:
        yield group


def _pieces(number: int, text: str) -> Iterator[_Piece]:
    if len(text) <= _LONGEST:
        yield _Piece(number, text)
        return
    for start in range(0, len(text) - _OVERLAP_CHARACTERS, _LONGEST - _OVERLAP_CHARACTERS):
        end = start + _LONGEST
        yield _Piece(number, text[start:end], start == 0, end >= len(text))


def _runs(group: list[_Piece], ngram: int) -> tuple[Hashes, Whole, Whole]:
    """Hash, part, and position in the part, of every run."""
    words = WordRuns([piece.text for piece in group])
    hashes = words.hashes(ngram)
    every = np.arange(len(hashes))
    texts, whole = words.within(every, ngram)
    hashes, every, texts = hashes[whole], every[whole], texts[whole]
    numbers = np.array([piece.document for piece in group], np.int64)
    return hashes, numbers[texts], every - words.words[texts]


def _distinctive(hashes: Hashes, part: Whole, parts: Sequence[Part]) -> NDArray[np.bool_]:
    """Which runs are in at most `MOST_ITEMS` items of their benchmark."""
    benchmarks = {name: i for i, name in enumerate(dict.fromkeys(p.benchmark for p in parts))}
    of = np.array([benchmarks[p.benchmark] for p in parts], np.int64)[part]
    items: dict[tuple[str, str, str], int] = {}
    item = [items.setdefault((p.benchmark, p.split, p.item), len(items)) for p in parts]
    order = np.lexsort((np.array(item, np.int64)[part], of, hashes))
    hashes, of, item_of = hashes[order], of[order], np.array(item, np.int64)[part][order]
    begins = changes(hashes, of)
    fresh = np.zeros(len(order), np.int64)
    fresh[changes(hashes, of, item_of)] = 1
    items_with = np.add.reduceat(fresh, begins) if len(begins) else fresh
    distinctive = np.empty(len(order), np.bool_)
    distinctive[order] = np.repeat(items_with <= MOST_ITEMS, np.diff(np.append(begins, len(order))))
    return distinctive


def _covered_by_part(part: Whole, position: Whole, ngram: int, parts: int) -> Whole:
    order = np.lexsort((position, part))
    part, position = part[order], position[order]
    begins = changes(part)
    covered = np.zeros(parts, np.int64)
    covered[part[begins]] = _covered(position, begins, ngram)
    return covered


def _covered(positions: Whole, begins: Whole, ngram: int) -> Whole:
    """Words that the runs of each group cover together; positions ascend within a group."""
    if not len(positions):
        return np.empty(0, np.int64)
    new = np.full(len(positions), ngram, np.int64)
    new[1:] = np.minimum(ngram, positions[1:] - positions[:-1])
    new[begins] = ngram
    return np.add.reduceat(new, begins)


def changes(*columns: NDArray[np.integer]) -> Whole:
    """Indices where sorted rows differ from the row before: the first row of each group."""
    different = np.ones(len(columns[0]), np.bool_)
    different[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(different)


def _distinct(columns: Whole) -> Whole:
    """`columns` without repeats of their first two rows (document, run); the others are or-ed."""
    columns = columns[:, np.lexsort((columns[1], columns[0]))]
    begins = changes(columns[0], columns[1])
    if not len(begins):
        return columns
    joined = np.bitwise_or.reduceat(columns[2:], begins, axis=1)
    return np.concatenate([columns[:2, begins], joined])
