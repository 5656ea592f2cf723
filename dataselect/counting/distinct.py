"""How many different tokens follow each context, in memory of a fixed size.

A bit for each pair of context and token, set when the pair is first seen. While there are bits for
all pairs the numbers are exact. With more pairs than bits they share bits, and a new pair is missed
where its bit is set already; each pair that is found then counts as 1 / (share of bits unset),
which makes the sum unbiased (the estimator of Cohen 2014 and Ting 2014 for such sketches).
"""

import numpy as np
from numpy.typing import NDArray

from dataselect.counting.trie import IntArray

BITS = 1 << 28
"""Bits for the contexts of one length: 32 MiB."""

# The finaliser of SplitMix64. One multiplication alone spreads neighbouring keys too evenly, and
# the estimate needs bits that are shared as by chance.
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


class DistinctFollowers:
    """Numbers of distinct followers by context, from 0 to `contexts` − 1."""

    def __init__(self, contexts: int, vocabulary: int, bits: int = BITS) -> None:
        """`bits` is a power of two."""
        pairs = contexts * vocabulary
        self._vocabulary = vocabulary
        self.exact = pairs <= bits
        """Whether every pair has a bit of its own."""
        self._bits = pairs if self.exact else bits
        self._shift = np.uint64(64 - (bits.bit_length() - 1))
        self._seen = np.zeros(-(-self._bits // 8), np.uint8)
        self._set = 0
        self.numbers: NDArray[np.float64] = np.zeros(contexts)
        """Distinct followers of each context so far."""

    def add(self, keys: IntArray) -> None:
        """Pairs that were seen, each as `context x vocabulary + token`."""
        places = keys if self.exact else self._scattered(keys)
        new = (self._seen[places >> 3] >> (places & 7).astype(np.uint8)) & 1 == 0
        places, first = np.unique(places[new], return_index=True)
        if not len(places):
            return
        weight = 1.0 if self.exact else 1 / (1 - self._set / self._bits)
        contexts = keys[new][first] // self._vocabulary
        np.add.at(self.numbers, contexts, weight)
        np.bitwise_or.at(self._seen, places >> 3, np.uint8(1) << (places & 7).astype(np.uint8))
        self._set += len(places)

    def _scattered(self, keys: IntArray) -> IntArray:
        mixed = keys.astype(np.uint64)
        for shift, factor in _MIX:
            mixed ^= mixed >> shift
            mixed *= factor
        mixed ^= mixed >> np.uint64(31)
        return (mixed >> self._shift).astype(np.int64)
