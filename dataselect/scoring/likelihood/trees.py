"""Rows of continuations as arrays of tokens: one behind the other, or as the rows of a matrix.

A row is a tree, walked from its context on: each token follows one before it, and what follows from
a token, all that sees it, is a stretch up to the token's end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.scoring.likelihood.packing import Row

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """A batch of rows, one behind the other: T tokens, after a prefix that all of them see."""

    tokens: Numbers
    """Token ids, shape (T,)."""
    positions: Numbers
    """Shape (T,)."""
    starts: Numbers
    """Where each row begins, and T; shape (rows + 1,)."""
    ends: Numbers
    """For each token where in its row the tokens end that see it, shape (T,)."""
    sources: Numbers
    """Tokens that predict something."""
    targets: Numbers
    """Tokens of all continuations, one after the other."""
    states: Numbers
    """For each target the place in `sources` of the token that predicts it."""
    lengths: tuple[int, ...]
    """Tokens of each continuation."""
    numbers: tuple[int, ...]
    """Index of each continuation's pair."""

    def by_pair(self, losses: NDArray[np.float64]) -> list[tuple[int, NDArray[np.float64]]]:
        """The losses of all targets as (index of a pair, its losses)."""
        parts = np.split(losses, np.cumsum(self.lengths)[:-1])
        return list(zip(self.numbers, parts, strict=True))


def as_trees(rows: Sequence[Row], prefix: int) -> Trees:
    """The rows after `prefix` tokens."""
    tokens: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    sources: list[int] = []
    states: list[int] = []
    starts = [0]
    for row in rows:
        start, rest, width = starts[-1], len(row.rest), row.width
        tokens += row.rest
        positions += range(prefix, prefix + rest)
        ends_here = [width] * width
        # The last token of the context predicts the first ones, and all later tokens something.
        first_state = len(sources) - (rest - 1)
        sources += range(start + rest - 1, start + width)
        at, path = rest, [rest - 1]
        for ids, shared in zip(row.continuations, row.shared, strict=True):
            for left in path[shared + 1 :]:
                ends_here[left] = at
            end = at + len(ids) - 1 - shared
            tokens += ids[shared:-1]
            positions += range(prefix + rest + shared, prefix + rest + shared + end - at)
            path = [*path[: shared + 1], *range(at, end)]
            states += [first_state + place for place in path]
            at = end
        ends += ends_here
        starts.append(start + width)
    return Trees(
        _numbers(tokens),
        _numbers(positions),
        _numbers(starts),
        _numbers(ends),
        _numbers(sources),
        _numbers(token for row in rows for ids in row.continuations for token in ids),
        _numbers(states),
        tuple(len(ids) for row in rows for ids in row.continuations),
        tuple(number for row in rows for number in row.numbers),
    )


@dataclass(frozen=True)
class Padded:
    """The same as R rows of W tokens, padded on the right."""

    inputs: Numbers
    """Token ids, shape (R, W)."""
    positions: Numbers
    """Shape (R, W)."""
    visible: NDArray[np.bool_]
    """Shape (R, W, W): the tokens of its row that each token sees. Padding sees everything, nothing
    sees it."""
    sources: tuple[Numbers, Numbers]
    """Rows and columns of the tokens that predict something."""


def padded(trees: Trees) -> Padded:
    """The trees as rows of one width."""
    widths = np.diff(trees.starts)
    rows, width = np.repeat(np.arange(len(widths)), widths), int(widths.max())
    columns = np.arange(len(trees.tokens)) - trees.starts[rows]
    inputs = np.zeros((len(widths), width), dtype=np.int64)
    positions, ends = np.zeros_like(inputs), np.zeros_like(inputs)
    inputs[rows, columns] = trees.tokens
    positions[rows, columns] = trees.positions
    ends[rows, columns] = trees.ends
    place = np.arange(width)
    visible = (place <= place[:, None]) & (place[:, None] < ends[:, None])
    visible |= place[:, None] >= widths[:, None, None]
    sources = rows[trees.sources], columns[trees.sources]
    return Padded(inputs, positions, visible, sources)


def _numbers(found: Iterable[int]) -> Numbers:
    return np.fromiter(found, dtype=np.int64)
