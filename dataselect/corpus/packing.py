"""Training sequences cut from token streams, mixed in a seeded order.

Each part (a source with the tokens asked of it) gives as many sequences as its share; sequences of
all parts are then shuffled together, so a mixture interleaves its sources at every moment of
training. A part asked for more than it has starts again from its beginning: its stream is read as
a ring, whose further rounds cut at other places. Sequences may hold several documents, parted by
the end-of-text token; nothing masks attention between them. Only the order is held in memory, four
bytes for each sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.shards import TokenStream


@dataclass(frozen=True)
class Part:
    """A folder written by `write_tokens` and the tokens asked of it, which may exceed its own."""

    folder: str
    tokens: int


class PackedData:
    """Sequences of `sequence_length` + 1 token ids: the inputs and, one further, the targets.

    There are `total_tokens // sequence_length` of them, shared out over the parts in proportion to
    the tokens asked of each (largest remainder), and ordered by `seed`.
    """

    def __init__(
        self, parts: Sequence[Part], sequence_length: int, seed: int, total_tokens: int
    ) -> None:
        assert sequence_length > 0, "a sequence has tokens"
        assert any(part.tokens > 0 for part in parts), "no tokens are asked of any part"
        self._length = sequence_length
        self._streams = [TokenStream(part.folder) for part in parts]
        shares = _shares([part.tokens for part in parts], total_tokens // sequence_length)
        empty = [
            p.folder
            for p, n, s in zip(parts, shares, self._streams, strict=True)
            if n and not len(s)
        ]
        assert not empty, f"open_rows refuses a source without text, but {empty} has no tokens"
        self._ends = np.cumsum(shares)
        self._starts = self._ends - shares
        indices = np.arange(self._ends[-1], dtype=np.uint32)
        self._order = np.random.default_rng(seed).permutation(indices)

    def __len__(self) -> int:
        return len(self._order)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        """Give sequences first to first + count of the order, shape (count, sequence_length + 1).

        Raises IndexError beyond the last sequence.
        """
        if first < 0 or count < 0 or first + count > len(self):
            raise IndexError(f"sequences {first} to {first + count} of {len(self)}")
        chosen = self._order[first : first + count].astype(np.int64)
        part_of = np.searchsorted(self._ends, chosen, side="right")
        offsets = (chosen - self._starts[part_of]) * self._length
        out = np.empty((count, self._length + 1), np.int64)
        for row, part, offset in zip(out, part_of.tolist(), offsets.tolist(), strict=True):
            _read_ring(self._streams[part], offset, row)
        return out


def _shares(weights: Sequence[int], total: int) -> NDArray[np.int64]:
    """Split `total` in proportion to weights by largest remainder, ties to the earlier."""
    whole = [weight * total // sum(weights) for weight in weights]
    remainders = [weight * total % sum(weights) for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -remainders[i])
    for i in by_remainder[: total - sum(whole)]:
        whole[i] += 1
    return np.array(whole, np.int64)


def _read_ring(stream: TokenStream, offset: int, out: NDArray[np.int64]) -> None:
    size = len(stream)
    start = offset % size
    if start + len(out) <= size:
        out[:] = stream.read(start, start + len(out))
        return
    filled = 0
    while filled < len(out):
        count = min(size - start, len(out) - filled)
        out[filled : filled + count] = stream.read(start, start + count)
        filled, start = filled + count, 0
