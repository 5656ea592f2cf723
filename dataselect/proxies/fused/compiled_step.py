"""What Python calls: the gradients of a batch, and the optimizer's step."""

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused import block
from dataselect.proxies.fused.arrays import Kept, Room, Turned, Weights
from dataselect.proxies.fused.compiling import LANES, Array, inner, outer
from dataselect.proxies.fused.head import (
    PANEL,
    ROWS,
    losses,
    output_layer,
    output_layer_backward,
)
from dataselect.proxies.fused.rows import norm, norm_backward
from dataselect.proxies.fused.turning import turn
from dataselect.proxies.fused.vectors import load, place, root, spread, store, total

_0, _1 = np.float32(0.0), np.float32(1.0)


@inner
def _turn_layer(x: Array, y: Array) -> None:
    rows, columns = x.shape
    turn(place(x, 0), columns, rows, columns, _1, place(y, 0), rows)


@inner
def _refresh(w: Weights, turned: Turned) -> None:
    words, width = w.output.shape
    for first in range(0, words, PANEL):
        many, to = min(PANEL, words - first), place(turned.output, first * width)
        turn(place(w.output, first * width), width, many, width, _1, to, PANEL)
    for layer in range(w.q.shape[0]):
        _turn_layer(w.q[layer], turned.q[layer])
        _turn_layer(w.k[layer], turned.k[layer])
        _turn_layer(w.v[layer], turned.v[layer])
        _turn_layer(w.o[layer], turned.o[layer])
        _turn_layer(w.gate[layer], turned.gate[layer])
        _turn_layer(w.up[layer], turned.up[layer])
        _turn_layer(w.down[layer], turned.down[layer])


@inner
def _loss(
    w: Weights, g: Weights, turned: Turned, x: Array, room: Room, targets: NDArray[np.int64],
    epsilon: np.float32, most_nats: np.float32, scale: np.float32,
) -> float:  # fmt: skip
    """The summed loss in nats of hidden states; room's gradient gets theirs."""
    words, width = w.output.shape
    whole = turned.output.shape[0] // width * PANEL
    nats, rows = 0.0, targets.size
    top = rows - rows
    for first in range(0, rows, ROWS):
        end = min(first + ROWS, rows)
        many = end - first
        norm(x, w.last_norm, room.hidden, room.last_scale, first, end, top, epsilon)
        output_layer(room.hidden, turned.output, many, room.logits)
        nats += losses(
            room.logits, targets[first:end], many, words, whole, most_nats, scale, room.factors
        )
        output_layer_backward(
            room.hidden, room.logits, w.output, many, room.upstream, g.output, room.factors
        )
        norm_backward(
            room.upstream, top, x, w.last_norm, room.last_scale, room.gradient, first,
            g.last_norm, first, end,
        )  # fmt: skip
    return nats


@outer
def add_gradients(
    w: Weights, g: Weights, turned: Turned, kept: Kept, room: Room,
    inputs: NDArray[np.int64], targets: NDArray[np.int64], length: int, size: int,
    epsilon: np.float32, most_nats: np.float32, scale: np.float32,
) -> float:  # fmt: skip
    """The summed loss of a batch in nats; adds the gradients of `scale` times it to `g`.

    `inputs` and `targets` are (sequences * length,); as many pass at a time as `kept` has rows.
    """
    _refresh(w, turned)
    layers, width, nats = w.q.shape[0], w.embeddings.shape[1], 0.0
    at_once = kept.x.shape[1]
    for first in range(0, inputs.size, at_once):
        rows = min(at_once, inputs.size - first)
        x = kept.x[0]
        for row in range(rows):
            word = inputs[first + row]
            for i in range(width):
                x[row, i] = w.embeddings[word, i]
        for layer in range(layers):
            block.forward(w, turned, kept, room, layer, rows, length, size, epsilon)
        wanted = targets[first : first + rows]
        nats += _loss(w, g, turned, kept.x[layers], room, wanted, epsilon, most_nats, scale)
        for layer in range(layers - 1, -1, -1):
            block.backward(w, g, kept, room, layer, rows, length, size)
        for row in range(rows):
            word = inputs[first + row]
            for i in range(width):
                g.embeddings[word, i] += room.gradient[row, i]
    return nats


@outer
def update(
    numbers: Array, gradients: Array, means: Array, squares: Array, ends: NDArray[np.int64],
    rates: NDArray[np.float64], decays: NDArray[np.float64], step: int, limit: float,
    betas: tuple[float, float], epsilon: float,
) -> None:  # fmt: skip
    """AdamW after clipping, of groups that end at `ends`, as torch has both; clears the gradients.

    `step` counts from 1. All lengths are multiples of a register's.
    """
    squared = 0.0
    for first in range(0, gradients.size, 4096):
        part = spread(_0)
        for i in range(first, min(first + 4096, gradients.size), LANES):
            v = load(place(gradients, i))
            part = part + v * v
        squared += total(part)
    factor = limit / (np.sqrt(squared) + 1e-6)
    if factor > 1.0:  # noqa: PLR1730 (NaN must stay)
        factor = 1.0
    clip, zero = spread(np.float32(factor)), spread(_0)
    towards = spread(np.float32(1 - betas[0]))
    keep, add = spread(np.float32(betas[1])), spread(np.float32(1 - betas[1]))
    root_correction = spread(np.float32(np.sqrt(1 - betas[1] ** step)))
    little = spread(np.float32(epsilon))
    start = 0
    for group in range(ends.size):
        pace = spread(np.float32(rates[group] / (1 - betas[0] ** step)))
        decay = spread(np.float32(rates[group] * decays[group]))
        for i in range(start, ends[group], LANES):
            at = place(gradients, i)
            g = load(at) * clip
            store(at, zero)
            m, v, p = load(place(means, i)), load(place(squares, i)), load(place(numbers, i))
            m = m + towards * (g - m)
            v = keep * v + add * g * g
            store(place(means, i), m)
            store(place(squares, i), v)
            p = p - p * decay
            store(place(numbers, i), p - pace * m / (root(v) / root_correction + little))
        start = ends[group]
