"""Causal attention of one head and sequence, forward and backward, in tiles that stay in a cache.

Scores of 64 keys (rows) and 64 queries (columns) exist at a time: softmax then goes down the
columns, whole registers at once, and every product but two is as wide as the widest tile. Sums and
largest scores are kept while tiles pass by, as in FlashAttention (Dao et al., arXiv 2205.14135);
the backward pass computes the tiles again from the logarithms of the sums. A tile in which queries
meet their own keys is computed in strips of queries, each with no more keys than it may see.
"""

from typing import NamedTuple

import numpy as np

from dataselect.proxies.fused.compiling import LANES, Array, inner
from dataselect.proxies.fused.tiles import product
from dataselect.proxies.fused.turning import turn
from dataselect.proxies.fused.vectors import at_least, exponential, load, place, spread, store

SIDE = 64
"""Keys and queries of a tile."""
STRIP = 16
"""Queries of a strip; a multiple of LANES."""

_0, _1 = np.float32(0.0), np.float32(1.0)
_LEAST = np.float32(-1e30)


class Head(NamedTuple):
    """Memory for one head."""

    queries: Array
    """(size, length in whole tiles), turned."""
    upstream: Array
    """Likewise."""
    scores: Array
    """A tile."""
    gradients: Array
    """A tile."""
    later: Array
    """(STRIP, STRIP): far below zero where the query is before the key, else 0."""
    largest: Array
    """(SIDE,), as are the others."""
    total: Array
    shrink: Array


def make_head(size: int, length: int) -> Head:
    """Memory for one head of `size` in sequences of `length`."""
    whole = -(-length // SIDE) * SIDE
    shapes = [(size, whole)] * 2 + [(SIDE, SIDE)] * 2 + [(STRIP, STRIP)] + [(SIDE,)] * 3
    made = Head(*(np.zeros(shape, dtype=np.float32) for shape in shapes))
    return made._replace(later=np.tril(np.full((STRIP, STRIP), _LEAST), -1))


@inner
def _seen(strip: int, many: int, is_diagonal: bool) -> int:
    """How many of a tile's keys a strip's queries see some of."""
    return min(many, strip + STRIP) if is_diagonal else many


@inner
def _hide(room: Head, strip: int, many: int) -> None:
    """Put scores of keys after a strip's queries far below zero; `many` keys are there."""
    tile, later, line = place(room.scores, 0), place(room.later, 0), 4 * SIDE
    for j in range(strip, many):
        for r in range(0, 4 * STRIP, 4 * LANES):
            at, hidden = tile + j * line + 4 * strip + r, later + (j - strip) * 4 * STRIP + r
            store(at, load(at) + load(hidden))


@inner
def _softmax(room: Head, start: int, end: int, many: int) -> None:
    """Exponentials of columns of a tile in place, less the largest score of the query so far.

    `room.shrink` gets what moves earlier sums to the same scale.
    """
    tile = place(room.scores, 0)
    largest, sums = place(room.largest, 0), place(room.total, 0)
    line = 4 * SIDE
    for r in range(4 * start, 4 * end, 4 * LANES):
        before = load(largest + r)
        most = before
        for j in range(r, r + many * line, line):
            most = at_least(most, load(tile + j))
        store(largest + r, most)
        shrink = exponential(before - most)
        store(place(room.shrink, 0) + r, shrink)
        summed = load(sums + r) * shrink
        for j in range(r, r + many * line, line):
            e = exponential(load(tile + j) - most)
            store(tile + j, e)
            summed = summed + e
        store(sums + r, summed)


@inner
def _softmax_backward(room: Head, start: int, end: int, many: int, factor: np.float32) -> None:
    """Attention weights from scores, and gradients of scores from those of weights, in place."""
    tile, upstream = place(room.scores, 0), place(room.gradients, 0)
    line = 4 * SIDE
    scale = spread(factor)
    for r in range(4 * start, 4 * end, 4 * LANES):
        sums, average = load(place(room.total, 0) + r), load(place(room.largest, 0) + r)
        for j in range(r, r + many * line, line):
            weight = exponential(load(tile + j) - sums)
            store(tile + j, weight)
            store(upstream + j, weight * (load(upstream + j) - average) * scale)


@inner
def weigh(
    room: Head, k: int, key_width: int, size: int, many: int, strip: int, wide: int, q: int,
    whole: int,
) -> None:  # fmt: skip
    """Scores of `many` keys for `wide` queries of a tile from `strip` on.

    `q` is the address of the tile's turned queries, which lie `whole` numbers apart.
    """
    scores = place(room.scores, strip)
    product(many, wide, size, k, key_width, 1, q + 4 * strip, whole, scores, SIDE, 0)


@inner
def mix(
    room: Head, mixed: Array, row: int, at: int, size: int, v: int, key_width: int, many: int,
    strip: int, wide: int, inside: int, add: int,
) -> None:  # fmt: skip
    """Mix the values of some keys, by the scores in the tile, into `inside` rows from `row` on.

    `add`: whether the rows have values of other keys already, which are moved to the same scale.
    """
    _softmax(room, strip, strip + wide, many)
    width = mixed.shape[1]
    if add > 0:
        for r in range(inside):
            for i in range(at, at + size):
                mixed[row + r, i] *= room.shrink[strip + r]
    to = place(mixed, row * width + at)
    product(inside, size, many, place(room.scores, strip), 1, SIDE, v, key_width, to, width, add)


@inner
def attend(
    queries: Array, keys: Array, values: Array, start: int, length: int,
    head: int, key_head: int, size: int, mixed: Array, sums: Array, room: Head,
) -> None:  # fmt: skip
    """Mix the values of one head for the sequence of rows from `start` on.

    All but `sums` are (rows, heads * size). `sums` (heads, rows) gets the logarithm of the sum of
    exponentials of each query's scores.
    """
    at, key_width = head * size, keys.shape[1]
    width, whole = queries.shape[1], room.queries.shape[1]
    factor = _1 / np.sqrt(np.float32(size))
    q_rows = place(queries, start * width + at)
    turn(q_rows, width, length, size, factor, place(room.queries, 0), whole)
    for first in range(0, length, SIDE):
        rows = min(SIDE, length - first)
        for r in range(SIDE):
            room.largest[r] = _LEAST
            room.total[r] = _0
        for key in range(0, first + 1, SIDE):
            many = min(SIDE, length - key)
            spot = (start + key) * key_width + key_head * size
            k, v = place(keys, spot), place(values, spot)
            q = place(room.queries, first)
            wide = STRIP if key == first else SIDE
            for strip in range(0, rows, wide):
                seen, inside = _seen(strip, many, key == first), min(wide, rows - strip)
                weigh(room, k, key_width, size, seen, strip, wide, q, whole)
                if key == first:
                    _hide(room, strip, seen)
                row = start + first + strip
                mix(room, mixed, row, at, size, v, key_width, seen, strip, wide, inside, key)
        for r in range(rows):
            row = start + first + r
            sums[head, row] = room.largest[r] + np.log(room.total[r])
            share = _1 / room.total[r]
            for i in range(at, at + size):
                mixed[row, i] *= share


@inner
def attend_backward(
    queries: Array, keys: Array, values: Array, mixed: Array, sums: Array, upstream: Array,
    start: int, length: int, head: int, key_head: int, size: int,
    query_gradient: Array, key_gradient: Array, value_gradient: Array, room: Head,
) -> None:  # fmt: skip
    """The gradient of the queries, and what is added to those of keys and values."""
    at, width, key_width = head * size, queries.shape[1], keys.shape[1]
    factor = _1 / np.sqrt(np.float32(size))
    whole, corner = room.queries.shape[1], start * width + at
    turn(place(queries, corner), width, length, size, factor, place(room.queries, 0), whole)
    turn(place(upstream, corner), width, length, size, _1, place(room.upstream, 0), whole)
    tile, gradients = place(room.scores, 0), place(room.gradients, 0)
    for first in range(0, length, SIDE):
        rows = min(SIDE, length - first)
        for r in range(rows):
            row = start + first + r
            room.total[r] = sums[head, row]
            both = _0
            for i in range(size):
                both += upstream[row, at + i] * mixed[row, at + i]
            room.largest[r] = both
        query_spot = (start + first) * width + at
        q, u = place(room.queries, first), place(room.upstream, first)
        q_rows, u_rows = place(queries, query_spot), place(upstream, query_spot)
        to_q = place(query_gradient, query_spot)
        for key in range(0, first + 1, SIDE):
            many = min(SIDE, length - key)
            spot = (start + key) * key_width + key_head * size
            k, v = place(keys, spot), place(values, spot)
            to_k, to_v = place(key_gradient, spot), place(value_gradient, spot)
            wide = STRIP if key == first else SIDE
            for strip in range(0, rows, wide):
                seen, inside = _seen(strip, many, key == first), min(wide, rows - strip)
                here, below = 4 * strip, 4 * strip * width
                s, d = tile + here, gradients + here
                product(seen, wide, size, k, key_width, 1, q + here, whole, s, SIDE, 0)
                product(seen, wide, size, v, key_width, 1, u + here, whole, d, SIDE, 0)
                if key == first:
                    _hide(room, strip, seen)
                _softmax_backward(room, strip, strip + wide, seen, factor)
                product(seen, size, inside, s, SIDE, 1, u_rows + below, width, to_v, key_width, 1)
                product(seen, size, inside, d, SIDE, 1, q_rows + below, width, to_k, key_width, 1)
                product(inside, size, seen, d, 1, SIDE, k, key_width, to_q + below, width, key)
