"""The training loss of a population, taken together with its gradient.

With a vocabulary of 50,000 the logits are most of a tiny model's work and memory, so they exist
for a few rows at a time, in a buffer that is used again (fresh ones of this size are given back
to the system and cleared anew each time, which takes longer than multiplying), and are read as
seldom as possible: a product, one fused softmax in place, and the two products of the gradient.
"""

from typing import Any

import torch

# Rows of the output layer whose bf16 gradients are summed at a time.
_WORDS = 4096


class ChunkedCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy in nats of each model, (models,), without the logits of all rows.

    hidden (models, rows, h) and weight (models, vocabulary, h), float32; targets (models, rows).
    `dtype` is the type that is multiplied in. A single token counts for at most 87 nats.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        models, rows, width = hidden.shape
        vocabulary = weight.shape[1]
        step = min(rows, _chunk_rows(models, vocabulary, width, hidden.is_cuda))
        cast = weight.to(dtype)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight)
        buffer = torch.empty(models * step * vocabulary, dtype=dtype, device=hidden.device)
        product = None if dtype == torch.float32 else torch.empty_like(cast)
        # On a CPU adding bf16 makes a float32 copy of what it adds: a cacheful at a time.
        many = vocabulary if hidden.is_cuda else _WORDS
        pieces = [slice(first, first + many) for first in range(0, vocabulary, many)]
        total = torch.zeros(models, device=hidden.device)
        for first in range(0, rows, step):
            part = hidden[:, first : first + step].to(dtype)
            wanted = targets[:, first : first + step].flatten()
            size = wanted.numel() * vocabulary
            shares = buffer[:size].view(models, -1, vocabulary)
            torch.bmm(part, cast.transpose(1, 2), out=shares)
            torch.softmax(shares, dim=-1, out=shares)
            # By place, because torch scatters bf16 by way of a float32 copy of all of it.
            every = shares.view(-1)
            places = torch.arange(0, size, vocabulary, device=hidden.device) + wanted
            right = every[places]
            # Zero only by underflow; a loss that is no number stays one.
            nats = -right.float().clamp_min(torch.finfo(torch.float32).tiny).log()
            total += nats.view(models, -1).sum(1)
            # From here on the gradient with respect to the logits.
            every[places] = right - 1
            hidden_gradient[:, first : first + step] = torch.bmm(shares, cast)
            if product is None:
                weight_gradient.baddbmm_(shares.transpose(1, 2), part)
            else:
                torch.bmm(shares.transpose(1, 2), part, out=product)
                for words in pieces:
                    weight_gradient[:, words] += product[:, words]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        upstream = gradients[0][:, None, None]
        return hidden_gradient * upstream, weight_gradient * upstream, None, None


def _chunk_rows(models: int, vocabulary: int, width: int, cuda: bool) -> int:
    """How many rows of logits there are at a time."""
    if cuda:
        return max(64, 2**28 // (models * vocabulary))
    # Few rows keep the logits in the caches; many make the sum over the weights' gradients,
    # which is as large as the embeddings, rarer.
    return max(min(512, max(256, 2 * width)), 2**20 // (models * vocabulary))
