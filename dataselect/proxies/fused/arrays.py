"""The arrays of a fused step: all parameters in one block of memory, and what a pass keeps.

In the order of the optimizer's groups, so that each group is one stretch of numbers: embeddings,
matrices, norms. Of each kind the layers lie one behind the other, (layers, ...).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused.attention import Head, make_head
from dataselect.proxies.fused.compiling import Array
from dataselect.proxies.fused.head import PANEL, ROWS
from dataselect.proxies.ladder import Shape

CHUNK = 64
"""Rows that pass through a block's products together."""


class Weights(NamedTuple):
    """Parameters, or their gradients or moments; matrices are (out, in)."""

    embeddings: Array
    output: Array
    """The embeddings too, where they are tied."""
    q: Array
    k: Array
    v: Array
    o: Array
    gate: Array
    up: Array
    down: Array
    q_norm: Array
    k_norm: Array
    attention_norm: Array
    feed_forward_norm: Array
    last_norm: Array


_NAMES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "attention_norm": "post_attention_layernorm",
    "feed_forward_norm": "post_feedforward_layernorm",
}


def _shapes(shape: Shape, vocabulary: int) -> dict[str, tuple[int, ...]]:
    hidden, wide, layers = shape.hidden_size, shape.intermediate_size, shape.layers
    keys = hidden // shape.heads * shape.kv_heads
    shapes: dict[str, tuple[int, ...]] = {"embeddings": (vocabulary, hidden)}
    if not shape.tie_embeddings:
        shapes["output"] = (vocabulary, hidden)
    return shapes | {
        "q": (layers, hidden, hidden),
        "k": (layers, keys, hidden),
        "v": (layers, keys, hidden),
        "o": (layers, hidden, hidden),
        "gate": (layers, wide, hidden),
        "up": (layers, wide, hidden),
        "down": (layers, hidden, wide),
        "q_norm": (layers, hidden),
        "k_norm": (layers, keys),
        "attention_norm": (layers, hidden),
        "feed_forward_norm": (layers, hidden),
        "last_norm": (hidden,),
    }


def lay_out(shape: Shape, vocabulary: int) -> tuple[Array, Weights]:
    """Zeros for all parameters, and where each kind lies in them."""
    shapes = _shapes(shape, vocabulary)
    numbers = np.zeros(sum(map(math.prod, shapes.values())), dtype=np.float32)
    parts, at = {}, 0
    for name, one in shapes.items():
        parts[name] = numbers[at : at + math.prod(one)].reshape(one)
        at += math.prod(one)
    parts.setdefault("output", parts["embeddings"])
    return numbers, Weights(**parts)


def group_ends(shape: Shape, vocabulary: int) -> NDArray[np.int64]:
    """Where embeddings, matrices and norms end."""
    sizes = {name: math.prod(one) for name, one in _shapes(shape, vocabulary).items()}
    norms = sum(size for name, size in sizes.items() if name.endswith("norm"))
    embeddings = sizes["embeddings"] + sizes.get("output", 0)
    every = sum(sizes.values())
    return np.array([embeddings, every - norms, every], dtype=np.int64)


def named(weights: Weights) -> Iterator[tuple[str, Array]]:
    """Each parameter by its transformers name, in the same memory."""
    yield "model.embed_tokens.weight", weights.embeddings
    if weights.output is not weights.embeddings:
        yield "lm_head.weight", weights.output
    for field, name in _NAMES.items():
        for layer, one in enumerate(getattr(weights, field)):
            yield f"model.layers.{layer}.{name}.weight", one
    yield "model.norm.weight", weights.last_norm


class Turned(NamedTuple):
    """Matrices as (in, out), of each layer."""

    q: Array
    k: Array
    v: Array
    o: Array
    gate: Array
    up: Array
    down: Array
    output: Array
    """(words / PANEL * hidden, PANEL): the output layer in panels of so many words."""


class Kept(NamedTuple):
    """What the forward pass of some sequences leaves for the backward one, by layer and row."""

    x: Array
    """The residual stream before each block and after the last."""
    plain_queries: Array
    """Before their norm."""
    plain_keys: Array
    queries: Array
    """After their norm and rotation."""
    keys: Array
    values: Array
    mixed: Array
    """What attention gives."""
    attended: Array
    """After its output product."""
    middle: Array
    """The residual stream between attention and feed-forward."""
    gates: Array
    ups: Array
    down: Array
    query_scale: Array
    """(layers, rows): 1 / rms, as are the other scales."""
    key_scale: Array
    attention_scale: Array
    feed_forward_scale: Array
    sums: Array
    """(layers, heads, rows): see `attend`."""


class Room(NamedTuple):
    """Memory that is used anew by every block, and what never changes."""

    gradient: Array
    """(rows, hidden): of the residual stream."""
    mixed: Array
    queries: Array
    keys: Array
    """(rows, width of the keys)."""
    values: Array
    some: Array
    """(CHUNK, hidden)."""
    wide: Array
    """(CHUNK, intermediate)."""
    wider: Array
    last_scale: Array
    """(rows,)."""
    hidden: Array
    """(ROWS, hidden)."""
    upstream: Array
    factors: Array
    """(ROWS,)."""
    logits: Array
    """(ROWS, words in whole panels, and a few more so that rows lie apart in a cache)."""
    head: Head
    cosine: Array
    """(length, size of a head / 2)."""
    sine: Array


def zeros(*shape: int) -> Array:
    """An array of kernels."""
    return np.zeros(shape, dtype=np.float32)


def make_turned(shape: Shape, vocabulary: int) -> Turned:
    """Memory for the turned matrices."""
    hidden, wide = shape.hidden_size, shape.intermediate_size
    keys, panels = hidden // shape.heads * shape.kv_heads, -(-vocabulary // PANEL)
    matrices = [(hidden, hidden), (hidden, keys), (hidden, keys), (hidden, hidden)]
    matrices += [(hidden, wide), (hidden, wide), (wide, hidden)]
    return Turned._make(
        [*(zeros(shape.layers, *one) for one in matrices), zeros(panels * hidden, PANEL)]
    )


def make_arrays(
    shape: Shape, vocabulary: int, rows: int, cosine: Array, sine: Array
) -> tuple[Turned, Kept, Room]:
    """All but parameters and gradients, for `rows` tokens at a time.

    `cosine` and `sine` of the angles of each position of a sequence, (length, size of a head / 2).
    """
    hidden, wide, layers = shape.hidden_size, shape.intermediate_size, shape.layers
    size = hidden // shape.heads
    keys, panels = size * shape.kv_heads, -(-vocabulary // PANEL)
    widths = [hidden, keys, hidden, keys, keys, hidden, hidden, hidden, wide, wide, hidden]
    kept = Kept._make(
        [
            zeros(layers + 1, rows, hidden),
            *(zeros(layers, rows, width) for width in widths),
            *(zeros(layers, rows) for _ in range(4)),
            zeros(layers, shape.heads, rows),
        ]
    )
    room = Room._make(
        [
            *(zeros(rows, width) for width in (hidden, hidden, hidden, keys, keys)),
            *(zeros(CHUNK, width) for width in (hidden, wide, wide)),
            zeros(rows),
            zeros(ROWS, hidden),
            zeros(ROWS, hidden),
            zeros(ROWS),
            zeros(ROWS, panels * PANEL + 16),
            make_head(size, len(cosine)),
            cosine,
            sine,
        ]
    )
    return make_turned(shape, vocabulary), kept, room
