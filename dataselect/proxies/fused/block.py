"""One block of the model, forward and backward, over some rows of whole sequences."""

import numpy as np

from dataselect.proxies.fused.arrays import CHUNK, Kept, Room, Turned, Weights
from dataselect.proxies.fused.attention import attend, attend_backward
from dataselect.proxies.fused.compiling import Array, inner
from dataselect.proxies.fused.rows import (
    gate,
    gate_backward,
    norm,
    norm_added,
    norm_backward,
    rotate,
)
from dataselect.proxies.fused.tiles import add_outer, add_times, times

_0, _1 = np.float32(0.0), np.float32(1.0)


@inner
def forward(
    w: Weights, turned: Turned, kept: Kept, room: Room, layer: int, rows: int, length: int,
    size: int, epsilon: np.float32,
) -> None:  # fmt: skip
    """From kept.x of this layer to that of the next."""
    x, top = kept.x[layer], rows - rows
    plain_queries, plain_keys = kept.plain_queries[layer], kept.plain_keys[layer]
    queries, keys, values = kept.queries[layer], kept.keys[layer], kept.values[layer]
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        times(x, first, end - first, turned.q[layer], plain_queries, first)
        times(x, first, end - first, turned.k[layer], plain_keys, first)
        times(x, first, end - first, turned.v[layer], values, first)
        scale = kept.query_scale[layer]
        norm(plain_queries, w.q_norm[layer], queries, scale, first, end, first, epsilon)
        scale = kept.key_scale[layer]
        norm(plain_keys, w.k_norm[layer], keys, scale, first, end, first, epsilon)
        rotate(queries, room.cosine, room.sine, first, end, length, _1)
        rotate(keys, room.cosine, room.sine, first, end, length, _1)
    heads, key_heads = queries.shape[1] // size, keys.shape[1] // size
    mixed, attended, middle = kept.mixed[layer], kept.attended[layer], kept.middle[layer]
    for start in range(0, rows, length):
        for head in range(heads):
            attend(
                queries, keys, values, start, length, head, head * key_heads // heads, size, mixed,
                kept.sums[layer], room.head,
            )  # fmt: skip
    gates, ups, down = kept.gates[layer], kept.ups[layer], kept.down[layer]
    y = kept.x[layer + 1]
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        times(mixed, first, end - first, turned.o[layer], attended, first)
        scale = kept.attention_scale[layer]
        norm_added(attended, w.attention_norm[layer], x, middle, scale, first, end, epsilon)
        times(middle, first, end - first, turned.gate[layer], gates, first)
        times(middle, first, end - first, turned.up[layer], ups, first)
        gate(gates, ups, room.wide, first, end)
        times(room.wide, top, end - first, turned.down[layer], down, first)
        scale = kept.feed_forward_scale[layer]
        norm_added(down, w.feed_forward_norm[layer], middle, y, scale, first, end, epsilon)


@inner
def backward(
    w: Weights, g: Weights, kept: Kept, room: Room, layer: int, rows: int, length: int, size: int
) -> None:
    """Room's gradient, from that of the block's result to that of its input; adds to weights'."""
    _feed_forward_backward(w, g, kept, room, layer, rows)
    _clear(room.keys, rows)
    _clear(room.values, rows)
    queries, keys, values = kept.queries[layer], kept.keys[layer], kept.values[layer]
    heads, key_heads = queries.shape[1] // size, keys.shape[1] // size
    for start in range(0, rows, length):
        for head in range(heads):
            attend_backward(
                queries, keys, values, kept.mixed[layer], kept.sums[layer], room.mixed, start,
                length, head, head * key_heads // heads, size, room.queries, room.keys, room.values,
                room.head,
            )  # fmt: skip
    x, gradient = kept.x[layer], room.gradient
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        many = end - first
        rotate(room.queries, room.cosine, room.sine, first, end, length, -_1)
        rotate(room.keys, room.cosine, room.sine, first, end, length, -_1)
        norm_backward(
            room.queries, first, kept.plain_queries[layer], w.q_norm[layer],
            kept.query_scale[layer], room.queries, first, g.q_norm[layer], first, end,
        )  # fmt: skip
        norm_backward(
            room.keys, first, kept.plain_keys[layer], w.k_norm[layer],
            kept.key_scale[layer], room.keys, first, g.k_norm[layer], first, end,
        )  # fmt: skip
        add_outer(room.queries, first, many, x, first, g.q[layer])
        add_outer(room.keys, first, many, x, first, g.k[layer])
        add_outer(room.values, first, many, x, first, g.v[layer])
        add_times(room.queries, first, many, w.q[layer], gradient, first)
        add_times(room.keys, first, many, w.k[layer], gradient, first)
        add_times(room.values, first, many, w.v[layer], gradient, first)


@inner
def _feed_forward_backward(
    w: Weights, g: Weights, kept: Kept, room: Room, layer: int, rows: int
) -> None:
    """Back through feed-forward and attention's output product, to the gradient of `mixed`."""
    gradient, some, top = room.gradient, room.some, rows - rows
    middle, gates, ups = kept.middle[layer], kept.gates[layer], kept.ups[layer]
    for first in range(0, rows, CHUNK):
        end = min(first + CHUNK, rows)
        many = end - first
        norm_backward(
            gradient, first, kept.down[layer], w.feed_forward_norm[layer],
            kept.feed_forward_scale[layer], some, top, g.feed_forward_norm[layer], first, end,
        )  # fmt: skip
        times(some, top, many, w.down[layer], room.wide, top)
        gate_backward(room.wide, gates, ups, room.wider, first, end)
        add_outer(some, top, many, room.wider, top, g.down[layer])
        add_times(gates, first, many, w.gate[layer], gradient, first)
        add_times(room.wide, top, many, w.up[layer], gradient, first)
        add_outer(gates, first, many, middle, first, g.gate[layer])
        add_outer(room.wide, top, many, middle, first, g.up[layer])
        norm_backward(
            gradient, first, kept.attended[layer], w.attention_norm[layer],
            kept.attention_scale[layer], some, top, g.attention_norm[layer], first, end,
        )  # fmt: skip
        times(some, top, many, w.o[layer], room.mixed, first)
        add_outer(some, top, many, kept.mixed[layer], first, g.o[layer])


@inner
def _clear(x: Array, rows: int) -> None:
    for row in range(rows):
        for i in range(x.shape[1]):
            x[row, i] = _0
