"""Attention of one head for rows of texts that begin alike and branch.

A row's tokens attend to a beginning that all rows share and to the tokens of their own row that
lead to them. A row is a tree in the order in which it is walked: what follows from a token is the
stretch of tokens up to its end. So two numbers say who sees a token: its place and its end.
"""

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused.attention import SIDE, STRIP, Head, mix, weigh
from dataselect.proxies.fused.compiling import LANES, Array, inner
from dataselect.proxies.fused.turning import turn
from dataselect.proxies.fused.vectors import place

_0, _1 = np.float32(0.0), np.float32(1.0)
_LEAST = np.float32(-1e30)


@inner
def _hide(
    room: Head, ends: NDArray[np.int64], start: int, key: int, many: int, query: int,
    strip: int, wide: int,
) -> None:  # fmt: skip
    """Put the scores of keys that a query does not see far below zero.

    The tile has `many` keys from `key` on and queries from `query` on, of the row that begins at
    `start`; its columns from `strip` on, `wide` of them, are looked at.
    """
    for j in range(many):
        begins, ends_at = key + j - query, ends[start + key + j] - query
        for r in range(strip, strip + wide, LANES):
            if begins <= r and r + LANES <= ends_at:
                continue
            for i in range(r, r + LANES):
                if i < begins or i >= ends_at:
                    room.scores[j, i] = _LEAST


@inner
def _reaches(
    ends: NDArray[np.int64], start: int, key: int, many: int, query: int, end: int
) -> tuple[bool, bool]:
    """Whether any of some keys is seen by any query from `query` to `end`, which come after them,
    and whether all are by all."""
    most, least = 0, ends[start + key]
    for j in range(start + key, start + key + many):
        most, least = max(most, ends[j]), min(least, ends[j])
    return most > query, least >= end


@inner
def attend_row(
    queries: Array, keys: Array, values: Array, before_keys: Array, before_values: Array,
    before: int, start: int, length: int, ends: NDArray[np.int64], head: int, key_head: int,
    size: int, mixed: Array, room: Head,
) -> None:  # fmt: skip
    """Mix values of one head for the row of `length` tokens from `start` on.

    Arrays are (tokens, heads * size). `before_keys` and `before_values` hold the `before` tokens of
    the shared beginning. `ends` has for each token where in its row those end that follow from it.
    """
    at, width, key_width = head * size, queries.shape[1], keys.shape[1]
    factor = _1 / np.sqrt(np.float32(size))
    for first in range(0, length, SIDE):
        rows, row = min(SIDE, length - first), start + first
        whole = -(-rows // STRIP) * STRIP
        q, turned = place(queries, row * width + at), place(room.queries, 0)
        turn(q, width, rows, size, factor, turned, SIDE)
        for r in range(SIDE):
            room.largest[r] = _LEAST
            room.total[r] = _0
        for key in range(0, before, SIDE):
            many, spot = min(SIDE, before - key), key * key_width + key_head * size
            k, v = place(before_keys, spot), place(before_values, spot)
            weigh(room, k, key_width, size, many, 0, whole, turned, SIDE)
            mix(room, mixed, row, at, size, v, key_width, many, 0, whole, rows, key)
        for key in range(0, first + rows, SIDE):
            many, spot = min(SIDE, length - key), (start + key) * key_width + key_head * size
            k, v = place(keys, spot), place(values, spot)
            # The first token is seen by all of its row, so its tile is never passed over.
            earlier = before + key
            if key < first:
                some, every = _reaches(ends, start, key, many, first, first + rows)
                if some:
                    weigh(room, k, key_width, size, many, 0, whole, turned, SIDE)
                    if not every:
                        _hide(room, ends, start, key, many, first, 0, whole)
                    mix(room, mixed, row, at, size, v, key_width, many, 0, whole, rows, earlier)
                continue
            for strip in range(0, rows, STRIP):
                # No query of the strip sees a key after it.
                seen, inside, of = min(many, strip + STRIP), min(STRIP, rows - strip), row + strip
                weigh(room, k, key_width, size, seen, strip, STRIP, turned, SIDE)
                _hide(room, ends, start, key, seen, first, strip, STRIP)
                mix(
                    room, mixed, of, at, size, v, key_width, seen, strip, STRIP, inside, earlier
                )  # fmt: skip
        for r in range(rows):
            share = _1 / room.total[r]
            for i in range(at, at + size):
                mixed[row + r, i] *= share
