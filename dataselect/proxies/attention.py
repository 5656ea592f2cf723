"""Causal attention of many narrow heads on a CPU, forward and backward, as plain matmuls.

torch's fused attention is made for heads of size 64 and more. With the size 8 of the ladder's
smallest models it takes most of a training step; matmuls of the same blocks, with powers of two of
whole rows of scores between them, take half its time or less (benchmarks/speed/attention.py). The
rest of the softmax is moved where it is cheaper: the division by a row's sum is done on the
outputs, and the maximum is not subtracted from scores whose bound is small. Scores exist for a few
rows of a few heads at a time, and are recomputed for the gradient. Nothing right of a block's
diagonal is multiplied.

Not here: masks other than the causal one, dropout, keys shared between heads, GPUs (torch's own
attention is fast there).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Rows of scores at a time: with fewer, matmuls are too small; with more, more of the blocks lies
# above the diagonal and is wasted.
_ROWS = 128
# Scores at a time, over heads: 4 MiB. With fewer, launching operations costs more than the caches
# save.
_SCORES = 2**20
# Scores are in bits: torch computes powers of two in a third of the time of a softmax.
_BITS = math.log2(math.e)
# Powers of scores up to here, their sums and inverses stay in the range of float32.
_SMALL_SCORE = 60.0


class CausalAttention(torch.autograd.Function):
    """softmax(queries · keys / sqrt(size)) · values; a position attends to itself and those before.

    All are (heads, size, length), float32; positions are last because matmuls of narrow heads are
    faster so. `dtype` bfloat16 lets the processor multiply in bfloat16 where it can; sums, scores
    and the softmax stay in float32.
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
        # A row of ones below the values: its product is the sum of the attention weights.
        values_and_ones = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
        mixed = torch.empty_like(values_and_ones)
        with _matmul_precision(dtype):
            for part, visible, attention, _ in _blocks(queries, keys):
                mixed[part] = torch.bmm(values_and_ones[visible], attention.transpose(1, 2))
        mixed, sums = mixed[:, :-1] / mixed[:, -1:], mixed[:, -1:].clone()
        ctx.save_for_backward(queries, keys, values, mixed, sums)
        ctx.dtype = dtype
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, keys, values, mixed, sums = ctx.saved_tensors
        # The division by a row's sum, once here and not for every score.
        upstream = gradients[0] / sums
        # Sum over a row of attention weight x gradient: the softmax's gradient subtracts it.
        average = (upstream * mixed).sum(1)[..., None]
        query_gradient = torch.empty_like(queries)
        key_gradient, value_gradient = torch.zeros_like(keys), torch.zeros_like(values)
        with _matmul_precision(ctx.dtype):
            for part, visible, attention, buffer in _blocks(queries, keys):
                value_gradient[visible] += torch.bmm(upstream[part], attention)
                score_gradient = torch.bmm(
                    upstream[part].transpose(1, 2), values[visible], out=buffer
                )
                score_gradient.sub_(average[part[0], part[2]]).mul_(attention)
                query_gradient[part] = torch.bmm(keys[visible], score_gradient.transpose(1, 2))
                key_gradient[visible] += torch.bmm(queries[part], score_gradient)
        query_gradient.mul_(queries.shape[1] ** -0.5)
        return query_gradient, key_gradient.div_(_BITS), value_gradient, None


Block = tuple[slice, slice, slice]


def _blocks(
    queries: torch.Tensor, keys: torch.Tensor
) -> Iterator[tuple[Block, Block, torch.Tensor, torch.Tensor]]:
    """Yield, for some rows of some heads at a time: their index, the index of the positions that
    they attend to, the attention weights (not yet divided by a row's sum), and a buffer of the same
    shape. The next block overwrites the last two."""
    heads, _, length = queries.shape
    buffers = queries.new_empty((2, max(_SCORES, _ROWS * length)))
    later = torch.full((_ROWS, _ROWS), -torch.inf).triu(1)
    # The product of the largest norms bounds a head's scores; where it is small, the maximum need
    # not be subtracted. By head, so that no model's result depends on the others in the batch.
    norms = [x.square().sum(1).amax(1) for x in (queries, keys)]
    small = norms[0] * norms[1] < _SMALL_SCORE**2
    are_small = small.tolist()
    for first in range(0, length, _ROWS):
        end = min(first + _ROWS, length)
        rows = end - first
        together = max(1, _SCORES // (rows * end))
        for head in range(0, heads, together):
            some = slice(head, min(head + together, heads))
            part = some, slice(None), slice(first, end)
            visible = some, slice(None), slice(end)
            shape = some.stop - head, rows, end
            scores, buffer = (each[: math.prod(shape)].view(shape) for each in buffers)
            torch.bmm(queries[part].transpose(1, 2), keys[visible], out=scores)
            scores[..., first:] += later[:rows, :rows]
            if not all(are_small[some]):
                largest = scores.amax(-1, keepdim=True)
                scores.sub_(largest.masked_fill_(small[some, None, None], 0.0))
            yield part, visible, scores.exp2_(), buffer


@contextmanager
def _matmul_precision(dtype: torch.dtype) -> Iterator[None]:
    """Let float32 matmuls round their factors to `dtype`, where that is faster."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if dtype == torch.bfloat16 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def causal_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Attention of (sequences, length, heads, size) on a CPU; keys and values may have fewer heads.

    The result has the shape of the queries.
    """
    sequences, length, heads, size = queries.shape

    def across(x: torch.Tensor) -> torch.Tensor:
        shared = x.repeat_interleave(heads // x.shape[2], 2) if x.shape[2] < heads else x
        return shared.permute(0, 2, 3, 1).reshape(sequences * heads, size, length)

    mixed: torch.Tensor = CausalAttention.apply(  # type: ignore[no-untyped-call]
        across(queries), across(keys), across(values), dtype
    )
    return mixed.view(sequences, heads, size, length).permute(0, 3, 1, 2)
