"""Training sequences cut from token streams, mixed in a seeded order.

Each part (a source and the tokens to draw from it) gives sequences in proportion to its tokens;
the sequences of all parts are shuffled together, so a mixture interleaves its sources throughout
training. A part that has fewer tokens than are drawn starts again from its beginning: its stream is
read as a ring, and later rounds cut at other places. A sequence may hold several documents,
separated by the end-of-text token; attention is not masked between them. Only the order is held in
memory, four bytes for each sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.shards import TokenStream


@dataclass(frozen=True)
class Part:
    """A token stream and how much of it to draw."""

    folder: str
    """A folder written by `write_tokens`."""
    tokens: int
    """Tokens to draw; may exceed what the folder holds."""


class PackedData:
    """Sequences of `sequence_length` + 1 token ids: the inputs and, one further, the targets.

    There are `total_tokens // sequence_length` of them, split over the parts in proportion to
    their tokens (largest remainder), and ordered by `seed`.
    """

    def __init__(
        self, parts: Sequence[Part], sequence_length: int, seed: int, total_tokens: int
    ) -> None:
        assert sequence_length > 0, "a sequence has tokens"
        assert any(part.tokens > 0 for part in parts), "no part has tokens to draw"
        self._length = sequence_length
        self._streams = [TokenStream(part.folder) for part in parts]
        counts = _apportion([part.tokens for part in parts], total_tokens // sequence_length)
        empty = [
            part.folder
            for part, count, stream in zip(parts, counts, self._streams, strict=True)
            if count and not len(stream)
        ]
        assert not empty, f"open_rows refuses a source without text, but {empty} has no tokens"
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        indices = np.arange(self._ends[-1], dtype=np.uint32)
        self._order = np.random.default_rng(seed).permutation(indices)

    def __len__(self) -> int:
        return len(self._order)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        """Sequences first to first + count of the order, shape (count, sequence_length + 1).

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


def _apportion(tokens: Sequence[int], total: int) -> NDArray[np.int64]:
    """Split `total` in proportion to `tokens` by largest remainder, ties to the earlier."""
    whole = [count * total // sum(tokens) for count in tokens]
    remainders = [count * total % sum(tokens) for count in tokens]
    by_remainder = sorted(range(len(tokens)), key=lambda i: -remainders[i])
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
