"""Runs of n words of many texts at once, each run as one 64-bit hash.

Two copies of a text are seldom identical: case, punctuation, spacing and the kind of quotation mark
change from site to site. So words are compared: runs of letters and digits without case and
accents. Everything between them is one boundary, so "$1.50" and "1 50" are the same two words. In
scripts that are written without spaces every character is a word.

A loop over words in Python would be slower and hold the GIL, so that tokenising threads would wait
for each other. Here a text is an array of characters, each mapped to a random 64-bit number, and a
polynomial over them is summed once: the hash of any run is then a difference of two prefix sums.
The first character of a word counts differently from the others, which distinguishes "ab c" from
"a bc".

Not covered: characters beyond the basic plane are boundaries, and a letter that folds into two
counts as the first ("ß" as "s"), on both sides of a comparison.
"""

import unicodedata
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Whole = NDArray[np.int64]

MOST_CHARACTERS = 1 << 18
"""Largest total length of texts that are hashed together, with one separator per text."""

_ASCII, _PLANE = 1 << 7, 1 << 16
_BASE, _FIRST = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_BOUNDARY, _IGNORED = np.uint64(0), np.uint64(1)
# Thai to Khmer, kana and Han.
_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
)


class WordRuns:
    """The words of some texts, and the hashes of their runs of n words."""

    def __init__(self, texts: Sequence[str]) -> None:
        values, ends, unspaced = _characters(texts)
        kept = values != _IGNORED
        if not kept.all():
            ends = np.cumsum(kept)[ends - 1]
            values = values[kept]
            unspaced = None if unspaced is None else unspaced[kept]
        inside = values != _BOUNDARY
        first = inside.copy()
        first[1:] &= ~inside[:-1]
        if unspaced is not None:
            first[1:] |= inside[1:] & (unspaced[1:] | unspaced[:-1])
        letters = values[inside]
        begins = np.flatnonzero(first[inside])
        letters[begins] += _FIRST
        sums = np.zeros(len(letters) + 1, np.uint64)
        np.cumsum(letters * _powers()[: len(letters)], out=sums[1:])
        self._begins = np.append(begins, len(letters))
        self._sums = sums[self._begins]
        self._first, self._ends = first, ends

    @cached_property
    def words(self) -> Whole:
        """Index of the first word of each text, and the total number; shape (texts + 1,)."""
        begun = np.searchsorted(np.flatnonzero(self._first), self._ends)
        return np.concatenate([[0], begun])

    def hashes(self, n: int) -> Hashes:
        """The hash of the run of n words at each word.

        Includes runs that begin in one text and end in another; `within` identifies them.
        """
        # Divided by the power of its place, so that the hash does not depend on the place.
        places = _inverse_powers()[self._begins[:-n]]
        runs: Hashes = (self._sums[n:] - self._sums[:-n]) * places
        return runs

    def within(self, runs: Whole, n: int) -> tuple[Whole, NDArray[np.bool_]]:
        """The text in which each run of n words begins, and whether it ends in the same text."""
        texts = np.searchsorted(self.words, runs, side="right") - 1
        return texts, runs + n <= self.words[texts + 1]


def _characters(texts: Sequence[str]) -> tuple[Hashes, Whole, NDArray[np.bool_] | None]:
    """The number of each character, the end of each text, and a mask of the characters of scripts
    without spaces (None when there are none)."""
    joined = "\n".join([*texts, ""])
    if joined.isascii():
        lengths = [len(text) + 1 for text in texts]
        codes = np.frombuffer(joined.encode("ascii"), np.uint8)
        return _numbers(_ASCII)[codes], np.cumsum(lengths, dtype=np.int64), None
    lengths = [_units(text) + 1 for text in texts]
    units = np.frombuffer(joined.encode("utf-16-le"), np.uint16)
    unspaced = _unspaced()[units]
    ends = np.cumsum(lengths, dtype=np.int64)
    return _numbers(_PLANE)[units], ends, unspaced if unspaced.any() else None


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


@lru_cache
def _numbers(size: int) -> Hashes:
    random = np.random.default_rng(0).integers(2, 1 << 63, _PLANE, np.uint64)
    table = np.full(size, _BOUNDARY)
    for code in range(size):
        letter = folded(chr(code))
        if letter is None:
            table[code] = _IGNORED
        elif letter:
            table[code] = random[ord(letter)]
    return table


def folded(character: str) -> str | None:
    """The letter or digit that a character counts as; "" for a boundary, None to ignore it."""
    if not ord(character) < _PLANE or 0xD800 <= ord(character) < 0xE000:
        return ""
    parts = unicodedata.normalize("NFKD", character).casefold()
    letter = next((part for part in parts if part.isalnum() and ord(part) < _PLANE), "")
    # Accents written after their letter, soft hyphens, joiners.
    ignored = unicodedata.category(character) in ("Mn", "Me", "Cf")
    return None if ignored and not letter else letter


@lru_cache
def _unspaced() -> NDArray[np.bool_]:
    table = np.zeros(_PLANE, np.bool_)
    for first, last in _UNSPACED:
        table[first : last + 1] = True
    return table


@lru_cache
def _powers() -> Hashes:
    return _series(_BASE)


@lru_cache
def _inverse_powers() -> Hashes:
    return _series(np.uint64(pow(int(_BASE), -1, 1 << 64)))


def _series(base: np.uint64) -> Hashes:
    # Twice the characters: those beyond the basic plane take two places.
    factors = np.full(2 * MOST_CHARACTERS + 1, base)
    factors[0] = 1
    return np.asarray(np.multiply.accumulate(factors), np.uint64)
