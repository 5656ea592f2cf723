"""The benchmarks' parts as an index of their runs of n words, and which parts a document holds.

A part counts as held by a document when enough of its own words stand there in runs of n or
more: `share` of them, and 13 at least (all of them, where there are fewer). Words are counted
and not runs, because one changed word spoils n runs: of a question of 40 words with a changed
number, 39 words are still there. Where a document begins or ends inside the part, the share is
that of the words which it has room for; so of a copy cut into two documents the longer one
counts. With half of its words, a part is only like what stands in the document: problems made
after one pattern are like each other.

Runs that many items of a benchmark share ("how many does she have left", "let's think step by
step") say nothing about any one of them; they are left out, and the words that are in such runs
alone are not the part's own. A part with fewer than 13 own words, unless all are its own, is too
general to be looked for.

Memory is that of the benchmarks, some 40 bytes for each of their words. Part of it is a table that
turns most runs of a document away before they are searched for.
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
"""Words that must be found; runs of 13 are what others take as a sign of a leak."""
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
    """Which parts the documents of a batch have: parallel arrays, by document.

    `documents` count from the batch's first; `covered` is how many of a part's own words were
    found, `level` what that amounts to. `characters` are those of every document.
    """

    documents: Whole
    parts: Whole
    covered: Whole
    level: Whole
    characters: Whole


class _Piece(NamedTuple):
    document: int
    text: str
    first: bool = True
    last: bool = True


class LeakIndex:
    """The runs of n words of `parts`, ready to be looked for."""

    def __init__(self, parts: Sequence[Part], ngram: int, share: float) -> None:
        self.parts, self.ngram, self.share = tuple(parts), ngram, share
        # The beginning of an extremely long part stands for all of it.
        texts = [part.text[:_LONGEST] for part in parts]
        found = [_runs(group, ngram) for group in _groups(texts)]
        hashes = np.concatenate([h for h, _, _ in found] or [np.empty(0, np.uint64)])
        part = np.concatenate([p for _, p, _ in found] or [np.empty(0, np.int64)])
        position = np.concatenate([p for _, _, p in found] or [np.empty(0, np.int64)])
        words = np.zeros(len(parts), np.int64)
        np.maximum.at(words, part, position + ngram)
        self.words = words
        """Words of each part; 0 where it has fewer than n."""
        telling = _telling(hashes, part, self.parts)
        hashes, part, position = hashes[telling], part[telling], position[telling]
        self.own = _covered_by_part(part, position, ngram, len(parts))
        """Own words of each part; 0 where it is too short or too general to be looked for."""
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
        """Which parts each text has."""
        found = [self._hits(group) for group in _groups(texts)]
        columns = np.concatenate([np.empty((4, 0), np.int64), *found], axis=1)
        documents, runs, first, last = _distinct(columns)
        count = self._first[runs + 1] - self._first[runs]
        places = np.repeat(self._first[runs] - np.cumsum(count) + count, count)
        places += np.arange(len(places))
        documents, first, last = (np.repeat(each, count) for each in (documents, first, last))
        parts, positions = self._part[places], self._position[places].astype(np.int64)
        order = np.lexsort((positions, parts, documents))
        documents, parts, positions = documents[order], parts[order], positions[order]
        begins = changes(documents, parts)
        covered = _covered(positions, begins, self.ngram)
        # The part's words before the document's first run, and behind its last, have no room.
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
        """Document and place in the index of each run there, and whether it begins or ends it."""
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
        # The cut may have left half a word at the end.
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
    """Hash, part and position in it of every run."""
    words = WordRuns([piece.text for piece in group])
    hashes = words.hashes(ngram)
    every = np.arange(len(hashes))
    texts, whole = words.within(every, ngram)
    hashes, every, texts = hashes[whole], every[whole], texts[whole]
    numbers = np.array([piece.document for piece in group], np.int64)
    return hashes, numbers[texts], every - words.words[texts]


def _telling(hashes: Hashes, part: Whole, parts: Sequence[Part]) -> NDArray[np.bool_]:
    """Which runs are in few items of their benchmark."""
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
    telling = np.empty(len(order), np.bool_)
    telling[order] = np.repeat(items_with <= MOST_ITEMS, np.diff(np.append(begins, len(order))))
    return telling


def _covered_by_part(part: Whole, position: Whole, ngram: int, parts: int) -> Whole:
    order = np.lexsort((position, part))
    part, position = part[order], position[order]
    begins = changes(part)
    covered = np.zeros(parts, np.int64)
    covered[part[begins]] = _covered(position, begins, ngram)
    return covered


def _covered(positions: Whole, begins: Whole, ngram: int) -> Whole:
    """How many words the runs of each group cover together; positions ascend in a group."""
    if not len(positions):
        return np.empty(0, np.int64)
    new = np.full(len(positions), ngram, np.int64)
    new[1:] = np.minimum(ngram, positions[1:] - positions[:-1])
    new[begins] = ngram
    return np.add.reduceat(new, begins)


def changes(*columns: NDArray[np.integer]) -> Whole:
    """Where sorted rows differ from the row before: the first of each group."""
    different = np.ones(len(columns[0]), np.bool_)
    different[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(different)


def _distinct(columns: Whole) -> Whole:
    """Each document's runs once; the first two rows say which, the others are joined by "or"."""
    columns = columns[:, np.lexsort((columns[1], columns[0]))]
    begins = changes(columns[0], columns[1])
    if not len(begins):
        return columns
    joined = np.bitwise_or.reduceat(columns[2:], begins, axis=1)
    return np.concatenate([columns[:2, begins], joined])
