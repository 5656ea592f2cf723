"""The forward pass alone, for scoring: what texts that begin alike and branch cost a tiny model.

`read` leaves the last states of all tokens, `losses` compares them with what follows. Nothing is
kept for a backward pass, so a layer's arrays are used again by the next; keys and values stay, for
the texts that follow what was read.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused.arrays import CHUNK, Turned, Weights, zeros
from dataselect.proxies.fused.attention import SIDE, Head, make_head
from dataselect.proxies.fused.compiling import Array, inner, outer
from dataselect.proxies.fused.head import PANEL, ROWS, exponentials, output_layer
from dataselect.proxies.fused.rows import gate, norm, norm_added, rotate_row
from dataselect.proxies.fused.tiles import times
from dataselect.proxies.fused.tree_attention import attend_row
from dataselect.proxies.ladder import Shape

_PANELS = 16
"""Panels of words whose logits exist at a time; with `ROWS` they fit a core's cache."""

_1 = np.float32(1.0)
_LEAST = np.float32(-1e30)


class Memory(NamedTuple):
    """What passes over some tokens leave, and where they work."""

    x: Array
    """(tokens, hidden): the residual stream."""
    queries: Array
    mixed: Array
    some: Array
    keys: Array
    """(layers, tokens, width of the keys)."""
    values: Array
    scale: Array
    """(tokens,)."""
    wide: Array
    """(CHUNK, intermediate)."""
    wider: Array
    logits: Array
    """(ROWS, words of some panels, and a few more so that rows lie apart in a cache)."""
    head: Head


def make_memory(shape: Shape, tokens: int) -> Memory:
    """Memory for so many tokens at a time."""
    hidden, wide = shape.hidden_size, shape.intermediate_size
    size = hidden // shape.heads
    keys = size * shape.kv_heads
    return Memory._make(
        [
            *(zeros(tokens, hidden) for _ in range(4)),
            *(zeros(shape.layers, tokens, keys) for _ in range(2)),
            zeros(tokens),
            *(zeros(CHUNK, wide) for _ in range(2)),
            zeros(ROWS, _PANELS * PANEL + 16),
            make_head(size, SIDE),
        ]
    )


def angles(length: int, size: int, theta: float) -> tuple[Array, Array]:
    """Cosines and sines of the rotary angles of positions below `length`, (length, size / 2)."""
    steps = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = (1.0 / theta ** steps.astype(np.float64)).astype(np.float32)
    turns = np.outer(np.arange(length, dtype=np.float32), frequencies).astype(np.float64)
    return np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)


def turn_weights(w: Weights, turned: Turned) -> None:
    """Fill `turned` from the weights. Once for a model, so NumPy does it."""
    for name in Turned._fields[:-1]:
        getattr(turned, name)[...] = getattr(w, name).transpose(0, 2, 1)
    for place, panel in enumerate(turned.output.reshape(-1, w.output.shape[1], PANEL)):
        words = w.output[place * PANEL : (place + 1) * PANEL]
        panel[:, : len(words)] = words.T


@outer
def read(
    w: Weights, turned: Turned, room: Memory, cosine: Array, sine: Array,
    before_keys: Array, before_values: Array, before: int,
    tokens: NDArray[np.int64], positions: NDArray[np.int64], starts: NDArray[np.int64],
    ends: NDArray[np.int64], size: int, epsilon: np.float32,
) -> None:  # fmt: skip
    """From tokens to the residual stream after the last block, in `room.x`.

    Row r is of the tokens from `starts[r]` to `starts[r + 1]`, after `before` tokens of the keys
    and values (layers, tokens, width) of what all rows begin with. `ends`: see `attend_row`.
    """
    x, width = room.x, w.embeddings.shape[1]
    for row in range(tokens.size):
        for i in range(width):
            x[row, i] = w.embeddings[tokens[row], i]
    for layer in range(w.q.shape[0]):
        _block(
            w, turned, room, cosine, sine, before_keys[layer], before_values[layer], before, layer,
            positions, starts, ends, size, epsilon,
        )  # fmt: skip


@inner
def _block(
    w: Weights, turned: Turned, room: Memory, cosine: Array, sine: Array,
    before_keys: Array, before_values: Array, before: int, layer: int,
    positions: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64],
    size: int, epsilon: np.float32,
) -> None:  # fmt: skip
    x, queries, mixed, some, scale = room.x, room.queries, room.mixed, room.some, room.scale
    keys, values = room.keys[layer], room.values[layer]
    rows = positions.size
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        times(x, first, end - first, turned.q[layer], queries, first)
        times(x, first, end - first, turned.k[layer], keys, first)
        times(x, first, end - first, turned.v[layer], values, first)
        norm(queries, w.q_norm[layer], queries, scale, first, end, first, epsilon)
        norm(keys, w.k_norm[layer], keys, scale, first, end, first, epsilon)
        for row in range(first, end):
            rotate_row(queries, row, positions[row], cosine, sine, _1)
            rotate_row(keys, row, positions[row], cosine, sine, _1)
    heads, key_heads = queries.shape[1] // size, keys.shape[1] // size
    for r in range(starts.size - 1):
        for head in range(heads):
            attend_row(
                queries, keys, values, before_keys, before_values, before, starts[r],
                starts[r + 1] - starts[r], ends, head, head * key_heads // heads, size, mixed,
                room.head,
            )  # fmt: skip
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        many, top = end - first, first - first
        times(mixed, first, many, turned.o[layer], some, first)
        norm_added(some, w.attention_norm[layer], x, x, scale, first, end, epsilon)
        times(x, first, many, turned.gate[layer], room.wide, top)
        times(x, first, many, turned.up[layer], room.wider, top)
        gate(room.wide, room.wider, room.wide, top, many)
        times(room.wide, top, many, turned.down[layer], some, first)
        norm_added(some, w.feed_forward_norm[layer], x, x, scale, first, end, epsilon)


@outer
def losses(
    w: Weights, turned: Turned, room: Memory, sources: NDArray[np.int64],
    targets: NDArray[np.int64], states: NDArray[np.int64], epsilon: np.float32,
    nats: NDArray[np.float64],
) -> None:  # fmt: skip
    """The cross-entropy of each target, in `nats`.

    `sources` are the tokens of `read` that predict something, `states` for each target its place
    among them.
    """
    width, many = w.output.shape[1], sources.size
    hidden, totals = room.some, np.empty(many)
    for place in range(many):
        for i in range(width):
            hidden[place, i] = room.x[sources[place], i]
    norm(hidden, w.last_norm, hidden, room.scale, 0, many, 0, epsilon)
    for first in range(0, many, ROWS):
        end = min(first + ROWS, many)
        _log_totals(w, turned, room, hidden[first:end], totals[first:end])
    for n in range(targets.size):
        right = 0.0
        for i in range(width):
            right += float(hidden[states[n], i]) * float(w.output[targets[n], i])
        nats[n] = totals[states[n]] - right


@inner
def _log_totals(
    w: Weights, turned: Turned, room: Memory, hidden: Array, totals: NDArray[np.float64]
) -> None:
    """Logarithms of the sums of exponentiated logits of at most `ROWS` states."""
    words, width = w.output.shape
    rows, panels = hidden.shape[0], turned.output.shape[0] // width
    largest, summed = np.full(rows, -1e30), np.zeros(rows)
    for panel in range(0, panels, _PANELS):
        end = min(panel + _PANELS, panels)
        wide = (end - panel) * PANEL
        output_layer(hidden, turned.output[panel * width : end * width], rows, room.logits)
        for row in range(rows):
            for j in range(words - panel * PANEL, wide):
                room.logits[row, j] = _LEAST
            found, most = exponentials(room.logits, row, wide)
            higher = max(largest[row], float(most))
            summed[row] = summed[row] * math.exp(largest[row] - higher)
            summed[row] += float(found) * math.exp(float(most) - higher)
            largest[row] = higher
    for row in range(rows):
        totals[row] = largest[row] + math.log(summed[row])
