"""What a block computes row by row: norms, rotary positions and SwiGLU, forward and backward.

Arrays are (rows, width), widths multiples of a register's numbers; `first` and `end` say which rows
of x.
"""

import numpy as np

from dataselect.proxies.fused.compiling import LANES, Array, inner
from dataselect.proxies.fused.vectors import exponential, load, place, spread, store, total

_0, _1 = np.float32(0.0), np.float32(1.0)


@inner
def _inverse_rms(x: int, width: int, epsilon: np.float32) -> np.float32:
    squares = spread(_0)
    for i in range(0, 4 * width, 4 * LANES):
        v = load(x + i)
        squares = squares + v * v
    inverse: np.float32 = _1 / np.sqrt(total(squares) / np.float32(width) + epsilon)
    return inverse


@inner
def norm(
    x: Array, weight: Array, y: Array, inverse: Array,
    first: int, end: int, at: int, epsilon: np.float32,
) -> None:  # fmt: skip
    """y = x / rms(x) * weight from row `at` on; `inverse` gets 1 / rms of each row of x."""
    width = x.shape[1]
    w = place(weight, 0)
    for row in range(first, end):
        a, b = place(x, row * width), place(y, (row - first + at) * width)
        inverse[row] = _inverse_rms(a, width, epsilon)
        scale = spread(inverse[row])
        for i in range(0, 4 * width, 4 * LANES):
            store(b + i, load(a + i) * scale * load(w + i))


@inner
def norm_added(
    x: Array, weight: Array, residual: Array, y: Array, inverse: Array,
    first: int, end: int, epsilon: np.float32,
) -> None:  # fmt: skip
    """y = residual + x / rms(x) * weight."""
    width = x.shape[1]
    w = place(weight, 0)
    for row in range(first, end):
        a, b, r = place(x, row * width), place(y, row * width), place(residual, row * width)
        inverse[row] = _inverse_rms(a, width, epsilon)
        scale = spread(inverse[row])
        for i in range(0, 4 * width, 4 * LANES):
            store(b + i, load(r + i) + load(a + i) * scale * load(w + i))


@inner
def norm_backward(
    upstream: Array, up: int, x: Array, weight: Array, inverse: Array, gradient: Array, at: int,
    weight_gradient: Array, first: int, end: int,
) -> None:  # fmt: skip
    """Gradient of the rows of x, and added to that of the weight.

    `upstream` is read from row `up` on, `gradient` written from row `at` on; they may be one.
    """
    width = x.shape[1]
    w, g = place(weight, 0), place(weight_gradient, 0)
    for row in range(first, end):
        a, u = place(x, row * width), place(upstream, (row - first + up) * width)
        y = place(gradient, (row - first + at) * width)
        both = spread(_0)
        for i in range(0, 4 * width, 4 * LANES):
            both = both + load(u + i) * load(w + i) * load(a + i)
        one = inverse[row]
        back = spread(total(both) * one * one * one / np.float32(width))
        scale = spread(one)
        for i in range(0, 4 * width, 4 * LANES):
            v, d = load(a + i), load(u + i) * scale
            store(g + i, load(g + i) + d * v)
            store(y + i, d * load(w + i) - v * back)


@inner
def rotate_row(
    x: Array, row: int, position: int, cosine: Array, sine: Array, sign: np.float32
) -> None:
    """Turn pairs of each head of a row by its position, in place; back with the sign -1."""
    half, width, turned = cosine.shape[1], x.shape[1], spread(sign)
    if half % LANES == 0:
        c_at, s_at = place(cosine, position * half), place(sine, position * half)
        for at in range(row * width, row * width + width, 2 * half):
            for i in range(0, 4 * half, 4 * LANES):
                left, right = place(x, at) + i, place(x, at + half) + i
                c, s = load(c_at + i), load(s_at + i) * turned
                a, b = load(left), load(right)
                store(left, a * c - b * s)
                store(right, b * c + a * s)
        return
    for at in range(0, width, 2 * half):
        for i in range(half):
            cos, sin = cosine[position, i], sign * sine[position, i]
            one, two = x[row, at + i], x[row, at + half + i]
            x[row, at + i] = one * cos - two * sin
            x[row, at + half + i] = two * cos + one * sin


@inner
def rotate(
    x: Array, cosine: Array, sine: Array, first: int, end: int, length: int, sign: np.float32
) -> None:
    """`rotate_row` for rows of sequences of `length`."""
    for row in range(first, end):
        rotate_row(x, row, row % length, cosine, sine, sign)


@inner
def gate(gates: Array, ups: Array, y: Array, first: int, end: int) -> None:
    """y = silu(gates) * ups, y from row 0 on."""
    width = gates.shape[1]
    a, b, c = place(gates, first * width), place(ups, first * width), place(y, 0)
    one = spread(_1)
    for i in range(0, 4 * width * (end - first), 4 * LANES):
        g = load(a + i)
        store(c + i, g / (one + exponential(spread(_0) - g)) * load(b + i))


@inner
def gate_backward(
    upstream: Array, gates: Array, ups: Array, y: Array, first: int, end: int
) -> None:
    """From the gradient of y: y again, and the gradients of gates and ups in their places.

    `upstream` and `y` have the rows from 0 on; `upstream` becomes the gradient of ups, and the
    gates that of themselves.
    """
    width = gates.shape[1]
    a, b = place(gates, first * width), place(ups, first * width)
    c, u = place(y, 0), place(upstream, 0)
    one = spread(_1)
    for i in range(0, 4 * width * (end - first), 4 * LANES):
        g, v, d = load(a + i), load(b + i), load(u + i)
        share = one / (one + exponential(spread(_0) - g))
        silu = g * share
        store(c + i, silu * v)
        store(a + i, d * v * (share + silu * (one - share)))
        store(u + i, d * silu)
