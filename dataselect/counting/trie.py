"""The n-grams that are asked for, as a trie that a text is walked through.

The likelihood of given traces needs the counts of their own n-grams and of nothing else. So only
these are counted, exactly, and memory grows with the traces and not with the text. A node at depth
d stands for d tokens in a row; its children are found by the key `node x vocabulary + token`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

ABSENT = -1
"""In place of a node, for an n-gram that nobody asked for."""


class NgramTrie:
    """Every n-gram of up to `order` tokens in the given sequences."""

    def __init__(self, sequences: Sequence[Sequence[int]], order: int, vocabulary: int) -> None:
        """`sequences` are token ids below `vocabulary`; ValueError for others."""
        self.order, self.vocabulary = order, vocabulary
        lengths = np.array([len(each) for each in sequences], np.int64)
        self.starts = np.cumsum(lengths) - lengths
        """Where each sequence begins in `tokens`."""
        self.tokens: IntArray = np.concatenate(
            [np.empty(0, np.int64), *(np.asarray(each, np.int64) for each in sequences)]
        )
        """The sequences one after the other."""
        if len(self.tokens) and not 0 <= self.tokens.min() <= self.tokens.max() < vocabulary:
            raise ValueError(f"a token is not in the vocabulary of {vocabulary}")
        ends = np.repeat(self.starts + lengths, lengths)
        places = np.arange(len(self.tokens))
        self.windows: list[IntArray] = []
        """By depth − 1, the node of the n-gram that begins at each place of `tokens`; ABSENT where
        the sequence ends before."""
        self._levels: list[pd.Index] = []
        parents = np.zeros(len(self.tokens), np.int64)
        for depth in range(1, order + 1):
            inside = places[places + depth <= ends]
            keys = parents[inside] * vocabulary + self.tokens[inside + depth - 1]
            level, nodes = np.unique(keys, return_inverse=True)
            parents = np.full(len(self.tokens), ABSENT, np.int64)
            parents[inside] = nodes
            self.windows.append(parents)
            self._levels.append(pd.Index(level))
        self._first = np.full(vocabulary, ABSENT, np.int64)
        if order:
            self._first[self._levels[0].to_numpy()] = np.arange(len(self._levels[0]))

    def size(self, depth: int) -> int:
        """Nodes at this depth, from 1."""
        return len(self._levels[depth - 1])

    def parents(self, depth: int) -> IntArray:
        """Of each node at `depth` (from 2), its node one token shorter."""
        return np.asarray(self._levels[depth - 1].to_numpy(), np.int64) // self.vocabulary

    def first(self, tokens: IntArray) -> IntArray:
        """The node at depth 1 of each token, or ABSENT."""
        return self._first[tokens]

    def step(self, depth: int, keys: IntArray) -> IntArray:
        """The node at `depth` (from 2) of each key, or ABSENT."""
        return np.asarray(self._levels[depth - 1].get_indexer(pd.Index(keys)), np.int64)
