"""Counts of the n-grams in a trie, over the token streams that a proxy would be trained on.

Text is read once, in pieces from the memory map. Documents follow each other as they do in
training, so an n-gram may span the end-of-text token between two. A stream that is drawn from more
often than it has tokens is counted as often; the n-grams over the seam of two rounds are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.packing import Part
from dataselect.corpus.shards import TokenStream
from dataselect.counting.distinct import BITS, DistinctFollowers
from dataselect.counting.trie import ABSENT, IntArray, NgramTrie

_PIECE = 1 << 19
"""Tokens handled at once, a few MB for each array."""


@dataclass(frozen=True)
class Counts:
    """What a text says about the n-grams of a trie."""

    tokens: int
    """Tokens counted, repeats included."""
    unigrams: IntArray
    """Count of every token of the vocabulary."""
    ngrams: tuple[IntArray, ...]
    """By depth − 2, from bigrams on: the count of each node."""
    followed: tuple[IntArray, ...]
    """By depth − 1: how often each node is followed by any token."""
    followers: tuple[NDArray[np.float64], ...]
    """By depth − 1: how many different tokens follow each node; at least 1 where any does."""
    exact: bool
    """Whether `followers` is exact, and not an estimate within what the counts allow."""


def count(
    trie: NgramTrie,
    parts: Sequence[Part],
    progress: Callable[[int], object] = lambda _: None,
    bits: int = BITS,
) -> Counts:
    """Count the trie's n-grams in the first `tokens` of each part's stream, again from its start.

    `progress` gets the tokens counted so far. `bits` bounds the memory of distinct followers, for
    each length of a context. Raises InputError for a damaged stream, ValueError for an empty one or
    for a token that the vocabulary lacks.
    """
    walk = _Walk(trie, bits)
    done = 0
    for part in parts:
        stream = TokenStream(part.folder)
        if part.tokens and not len(stream):
            raise ValueError(f"{part.folder} has no tokens")
        rounds, rest = divmod(part.tokens, max(1, len(stream)))
        for end, times in ((len(stream), rounds), (rest, 1)):
            for start in range(0, end if times else 0, _PIECE):
                stop = min(start + _PIECE, end)
                # The n-grams that begin in this piece may end in the next.
                tokens = stream.read(start, min(stop + trie.order - 1, end)).astype(np.int64)
                walk.add(tokens, stop - start, times)
                done += (stop - start) * times
                progress(done)
    return walk.counts()


class _Walk:
    """Counts so far."""

    def __init__(self, trie: NgramTrie, bits: int) -> None:
        self._trie = trie
        self._tokens = 0
        self._unigrams = np.zeros(trie.vocabulary, np.int64)
        depths = range(1, trie.order)
        self._ngrams = [np.zeros(trie.size(depth + 1), np.int64) for depth in depths]
        self._followed = [np.zeros(trie.size(depth), np.int64) for depth in depths]
        self._followers = [
            DistinctFollowers(trie.size(depth), trie.vocabulary, bits) for depth in depths
        ]

    def add(self, tokens: IntArray, begin: int, times: int) -> None:
        """Count the n-grams that begin at one of the first `begin` tokens, `times` times each."""
        trie, vocabulary = self._trie, self._trie.vocabulary
        counts = np.bincount(tokens[:begin], minlength=vocabulary)
        if len(counts) > vocabulary:
            raise ValueError(f"a token of the text is not in the vocabulary of {vocabulary}")
        self._tokens += begin * times
        self._unigrams += times * counts
        if trie.order < 2:
            return
        nodes = trie.first(tokens[:begin])
        at = np.flatnonzero(nodes != ABSENT)
        nodes = nodes[at]
        for depth in range(2, trie.order + 1):
            inside = int(np.searchsorted(at, len(tokens) - depth + 1))
            at, nodes = at[:inside], nodes[:inside]
            if not inside:
                return
            level = depth - 2
            keys = nodes * vocabulary + tokens[at + depth - 1]
            followed = self._followed[level]
            followed += times * np.bincount(nodes, minlength=len(followed))
            self._followers[level].add(keys)
            nodes = trie.step(depth, keys)
            known = nodes != ABSENT
            at, nodes = at[known], nodes[known]
            ngrams = self._ngrams[level]
            ngrams += times * np.bincount(nodes, minlength=len(ngrams))

    def counts(self) -> Counts:
        """All that was counted."""
        return Counts(
            self._tokens,
            self._unigrams,
            tuple(self._ngrams),
            tuple(self._followed),
            tuple(
                self._bounded(depth, each.numbers)
                for depth, each in enumerate(self._followers, start=1)
            ),
            all(each.exact for each in self._followers),
        )

    def _bounded(self, depth: int, followers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers of followers of the nodes at a depth, within what the counts allow.

        An estimate may be 0 for a context that was seen, and then a token that did not follow it
        would be impossible. Each n-gram that was asked for and seen is a follower, and there are no
        more of them than times that any followed.
        """
        followed = self._followed[depth - 1]
        seen = self._trie.parents(depth + 1)[self._ngrams[depth - 1] > 0]
        known = np.bincount(seen, minlength=len(followed))
        fewest = np.maximum(known, followed > 0)
        return np.clip(followers, fewest, np.minimum(followed, self._trie.vocabulary))
