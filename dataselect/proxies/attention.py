"""Causal attention of many narrow heads on a CPU, forwards and backwards, as plain products.

torch's fused attention is made for heads of 64 and more. With the 8 of the ladder's smallest
models it takes most of a training step; products of the same blocks, with the softmax over whole
rows of scores between them, take half its time (benchmarks/speed/attention.py). Scores exist for a
few rows of a few heads at a time, small enough to stay in the caches, and are computed again for
the gradient. Nothing right of a block's diagonal is multiplied.

Not here: masks other than the causal one, dropout, keys shared between heads, GPUs (torch's own
attention is the fast one there).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Rows of scores at a time: with fewer, products are too small; with more, the part of the blocks
# above the diagonal, which is computed for nothing, grows.
_ROWS = 128
# Scores at a time, over heads: 2 MiB.
_SCORES = 2**19


class CausalAttention(torch.autograd.Function):
    """softmax(queries · keys / sqrt(size)) · values, where a position sees itself and those before.

    All are (heads, size, length), float32: positions last, because the products of narrow heads
    are faster so. `kind` bfloat16 lets the processor multiply in it where it can; sums, scores and
    the softmax stay in float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        kind: torch.dtype,
    ) -> torch.Tensor:
        queries = queries * queries.shape[1] ** -0.5
        mixed = torch.empty_like(values)
        with _multiplying_in(kind):
            for part, seen, shares, _ in _blocks(queries, keys):
                mixed[part] = torch.bmm(values[seen], shares.transpose(1, 2))
        ctx.save_for_backward(queries, keys, values, mixed)
        ctx.kind = kind
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, keys, values, mixed = ctx.saved_tensors
        # A row's shares times the gradients of its scores, summed: what the softmax takes off.
        average = (gradients[0] * mixed).sum(1)[..., None]
        query_gradient = torch.empty_like(queries)
        key_gradient, value_gradient = torch.zeros_like(keys), torch.zeros_like(values)
        with _multiplying_in(ctx.kind):
            for part, seen, shares, room in _blocks(queries, keys):
                upstream = gradients[0][part]
                value_gradient[seen] += torch.bmm(upstream, shares)
                slopes = torch.bmm(upstream.transpose(1, 2), values[seen], out=room)
                slopes.sub_(average[part[0], part[2]]).mul_(shares)
                query_gradient[part] = torch.bmm(keys[seen], slopes.transpose(1, 2))
                key_gradient[seen] += torch.bmm(queries[part], slopes)
        return query_gradient.mul_(queries.shape[1] ** -0.5), key_gradient, value_gradient, None


Block = tuple[slice, slice, slice]


def _blocks(
    queries: torch.Tensor, keys: torch.Tensor
) -> Iterator[tuple[Block, Block, torch.Tensor, torch.Tensor]]:
    """For some rows of some heads at a time: they, the positions they see, how much they take from
    each, and room of the same shape. The last two are written over by the next block."""
    heads, _, length = queries.shape
    buffers = queries.new_empty((2, max(_SCORES, _ROWS * length)))
    later = torch.full((_ROWS, _ROWS), -torch.inf).triu(1)
    for first in range(0, length, _ROWS):
        end = min(first + _ROWS, length)
        rows = end - first
        together = max(1, _SCORES // (rows * end))
        for head in range(0, heads, together):
            some = slice(head, min(head + together, heads))
            part = some, slice(None), slice(first, end)
            seen = some, slice(None), slice(end)
            shape = some.stop - head, rows, end
            scores, shares = (each[: math.prod(shape)].view(shape) for each in buffers)
            torch.bmm(queries[part].transpose(1, 2), keys[seen], out=scores)
            scores[..., first:] += later[:rows, :rows]
            torch.softmax(scores, dim=-1, out=shares)
            yield part, seen, shares, scores


@contextmanager
def _multiplying_in(kind: torch.dtype) -> Iterator[None]:
    """Products of float32 may round their factors to `kind`, where the processor gains by it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if kind == torch.bfloat16 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def causal_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kind: torch.dtype
) -> torch.Tensor:
    """Attention of (sequences, length, heads, size) on a CPU, where keys and values may have fewer
    heads; in the layout of the queries."""
    sequences, length, heads, size = queries.shape

    def across(x: torch.Tensor) -> torch.Tensor:
        shared = x.repeat_interleave(heads // x.shape[2], 2) if x.shape[2] < heads else x
        return shared.permute(0, 2, 3, 1).reshape(sequences * heads, size, length)

    mixed: torch.Tensor = CausalAttention.apply(  # type: ignore[no-untyped-call]
        across(queries), across(keys), across(values), kind
    )
    return mixed.view(sequences, heads, size, length).permute(0, 3, 1, 2)
