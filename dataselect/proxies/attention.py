"""Causal attention of many narrow heads on a CPU, forwards and backwards, as plain products.

torch's fused attention is made for heads of 64 and more. With the 8 of the ladder's smallest
models it takes most of a training step; products of the same blocks, with powers of two of whole
rows of scores between them, take half its time or less (benchmarks/speed/attention.py). What a
softmax does besides is done where there is less of it: the products divide by a row's sum, and
nothing is taken off scores whose bound is small. Scores exist for a few rows of a few heads at a
time, and are computed again for the gradient. Nothing right of a block's diagonal is multiplied.

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
# Scores at a time, over heads: 4 MiB. With fewer, starting the operations costs more than the
# caches save.
_SCORES = 2**20
# Scores are in bits, as torch takes powers of two in a third of the time that a softmax takes.
_BITS = math.log2(math.e)
# Neither powers of scores up to here, nor their sums or inverses, leave the range of float32.
_SMALL_SCORE = 60.0


class CausalAttention(torch.autograd.Function):
    """softmax(queries · keys / sqrt(size)) · values, where a position sees itself and those before.

    All are (heads, size, length), float32: positions last, because the products of narrow heads
    are faster so. `dtype` bfloat16 lets the processor multiply in it where it can; sums, scores and
    the softmax stay in float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        queries = queries * (_BITS * queries.shape[1] ** -0.5)
        # A row of ones below the values: its product is the sum of the shares.
        counted = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
        mixed = torch.empty_like(counted)
        with _matmul_precision(dtype):
            for part, seen, shares, _ in _blocks(queries, keys):
                mixed[part] = torch.bmm(counted[seen], shares.transpose(1, 2))
        mixed, sums = mixed[:, :-1] / mixed[:, -1:], mixed[:, -1:].clone()
        ctx.save_for_backward(queries, keys, values, mixed, sums)
        ctx.dtype = dtype
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, keys, values, mixed, sums = ctx.saved_tensors
        # Here, and not in every score, shares are divided by their sum.
        upstream = gradients[0] / sums
        # A row's shares times the gradients of its scores, summed: what the softmax takes off.
        average = (upstream * mixed).sum(1)[..., None]
        query_gradient = torch.empty_like(queries)
        key_gradient, value_gradient = torch.zeros_like(keys), torch.zeros_like(values)
        with _matmul_precision(ctx.dtype):
            for part, seen, shares, room in _blocks(queries, keys):
                value_gradient[seen] += torch.bmm(upstream[part], shares)
                slopes = torch.bmm(upstream[part].transpose(1, 2), values[seen], out=room)
                slopes.sub_(average[part[0], part[2]]).mul_(shares)
                query_gradient[part] = torch.bmm(keys[seen], slopes.transpose(1, 2))
                key_gradient[seen] += torch.bmm(queries[part], slopes)
        query_gradient.mul_(queries.shape[1] ** -0.5)
        return query_gradient, key_gradient.div_(_BITS), value_gradient, None


Block = tuple[slice, slice, slice]


def _blocks(
    queries: torch.Tensor, keys: torch.Tensor
) -> Iterator[tuple[Block, Block, torch.Tensor, torch.Tensor]]:
    """For some rows of some heads at a time: they, the positions they see, how much they take from
    each (not yet divided by a row's sum), and room of the same shape. The last two are written over
    by the next block."""
    heads, _, length = queries.shape
    buffers = queries.new_empty((2, max(_SCORES, _ROWS * length)))
    later = torch.full((_ROWS, _ROWS), -torch.inf).triu(1)
    # No score of a head is larger than this; where all are small, nothing has to be taken off
    # before the powers. Head by head, so that no model's result depends on its neighbours'.
    most = [x.square().sum(1).amax(1) for x in (queries, keys)]
    small = most[0] * most[1] < _SMALL_SCORE**2
    are_small = small.tolist()
    for first in range(0, length, _ROWS):
        end = min(first + _ROWS, length)
        rows = end - first
        together = max(1, _SCORES // (rows * end))
        for head in range(0, heads, together):
            some = slice(head, min(head + together, heads))
            part = some, slice(None), slice(first, end)
            seen = some, slice(None), slice(end)
            shape = some.stop - head, rows, end
            shares, room = (each[: math.prod(shape)].view(shape) for each in buffers)
            torch.bmm(queries[part].transpose(1, 2), keys[seen], out=shares)
            shares[..., first:] += later[:rows, :rows]
            if not all(are_small[some]):
                largest = shares.amax(-1, keepdim=True)
                shares.sub_(largest.masked_fill_(small[some, None, None], 0.0))
            yield part, seen, shares.exp2_(), room


@contextmanager
def _matmul_precision(dtype: torch.dtype) -> Iterator[None]:
    """Products of float32 may round their factors to `dtype`, where the processor gains by it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if dtype == torch.bfloat16 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def causal_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Attention of (sequences, length, heads, size) on a CPU, where keys and values may have fewer
    heads; in the layout of the queries."""
    sequences, length, heads, size = queries.shape

    def across(x: torch.Tensor) -> torch.Tensor:
        shared = x.repeat_interleave(heads // x.shape[2], 2) if x.shape[2] < heads else x
        return shared.permute(0, 2, 3, 1).reshape(sequences * heads, size, length)

    mixed: torch.Tensor = CausalAttention.apply(  # type: ignore[no-untyped-call]
        across(queries), across(keys), across(values), dtype
    )
    return mixed.view(sequences, heads, size, length).permute(0, 3, 1, 2)
