"""The last norm, the output layer and the loss, with their gradients.

Logits exist for a few rows at a time. They become exponentials in place, and the division by their
sum is done on the rows of the products' other factor.
"""

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused.compiling import LANES, Array, inner
from dataselect.proxies.fused.tiles import product
from dataselect.proxies.fused.vectors import (
    at_least,
    exponential,
    highest,
    load,
    place,
    spread,
    store,
    total,
)

ROWS = 64
"""Rows of logits at a time."""
PANEL = 64
"""Words of the turned output layer that lie together."""

_0, _LEAST = np.float32(0.0), np.float32(-1e30)


@inner
def exponentials(logits: Array, row: int, words: int) -> tuple[np.float32, np.float32]:
    """Exponentials of the first `words` of a row in place; their sum and the largest logit."""
    line = place(logits, row * logits.shape[1])
    most = spread(_LEAST)
    for j in range(0, 4 * words, 4 * LANES):
        most = at_least(most, load(line + j))
    largest = highest(most)
    most = spread(largest)
    sums = spread(_0)
    for j in range(0, 4 * words, 4 * LANES):
        e = exponential(load(line + j) - most)
        store(line + j, e)
        sums = sums + e
    return total(sums), largest


@inner
def scale_rows(x: Array, factors: Array, rows: int) -> None:
    """Multiply each row by its factor."""
    for row in range(rows):
        line, factor = place(x, row * x.shape[1]), spread(factors[row])
        for i in range(0, 4 * x.shape[1], 4 * LANES):
            store(line + i, load(line + i) * factor)


@inner
def losses(
    logits: Array, targets: NDArray[np.int64], rows: int, words: int, whole: int,
    most_nats: np.float32, scale: np.float32, factors: Array,
) -> float:  # fmt: skip
    """The summed loss in nats; logits become its gradient but for each row's factor."""
    nats = 0.0
    for row in range(rows):
        target = targets[row]
        right = logits[row, target]
        for j in range(words, whole):
            logits[row, j] = _LEAST
        summed, largest = exponentials(logits, row, whole)
        lost = np.log(summed) + largest - right
        nats += float(most_nats if lost > most_nats else lost)
        logits[row, target] -= summed
        factors[row] = scale / summed
    return nats


@inner
def output_layer(hidden: Array, panels: Array, rows: int, logits: Array) -> None:
    """Logits of the hidden states."""
    width, line = hidden.shape[1], logits.shape[1]
    for panel in range(panels.shape[0] // width):
        words = place(panels, panel * width * PANEL)
        to = place(logits, panel * PANEL)
        product(rows, PANEL, width, place(hidden, 0), width, 1, words, PANEL, to, line, 0)


@inner
def output_layer_backward(
    hidden: Array, logits: Array, output: Array, rows: int, upstream: Array, output_gradient: Array,
    factors: Array,
) -> None:  # fmt: skip
    """The gradient of the hidden states, and added to that of the output layer."""
    words, width = output.shape
    z, line = place(logits, 0), logits.shape[1]
    product(rows, width, words, z, line, 1, place(output, 0), width, place(upstream, 0), width, 0)
    scale_rows(upstream, factors, rows)
    scale_rows(hidden, factors, rows)
    to = place(output_gradient, 0)
    product(words, width, rows, z, 1, line, place(hidden, 0), width, to, width, 1)
