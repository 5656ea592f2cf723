"""The training loss of a population, computed together with its gradient.

With a vocabulary of 50,000 the logits are most of a tiny model's work and memory. So they exist for
a few rows at a time, in a reused buffer (new buffers of this size are returned to the system and
cleared each time, which takes longer than the matmul), and are read as seldom as possible: a
matmul, one fused softmax in place, and the two matmuls of the gradient.
"""

from typing import Any

import torch

# Rows of the output layer whose bf16 gradients are summed at a time.
_WORDS = 4096


class ChunkedCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy in nats of each model, (models,), without the logits of all rows.

    hidden (models, rows, h) and weight (models, vocabulary, h), float32; targets (models, rows).
    `dtype` is the matmul type. The loss of one token is at most 87 nats.
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
        # On a CPU adding bf16 makes a float32 copy of the addend, so it is added in pieces that
        # fit the cache.
        many = vocabulary if hidden.is_cuda else _WORDS
        pieces = [slice(first, first + many) for first in range(0, vocabulary, many)]
        total = torch.zeros(models, device=hidden.device)
        for first in range(0, rows, step):
            part = hidden[:, first : first + step].to(dtype)
            target = targets[:, first : first + step].flatten()
            size = target.numel() * vocabulary
            probabilities = buffer[:size].view(models, -1, vocabulary)
            torch.bmm(part, cast.transpose(1, 2), out=probabilities)
            torch.softmax(probabilities, dim=-1, out=probabilities)
            # By flat index, because torch's scatter of bf16 makes a float32 copy of everything.
            flat = probabilities.view(-1)
            places = torch.arange(0, size, vocabulary, device=hidden.device) + target
            right = flat[places]
            # The clamp only catches underflow to zero; NaN stays NaN.
            nats = -right.float().clamp_min(torch.finfo(torch.float32).tiny).log()
            total += nats.view(models, -1).sum(1)
            # From here on the buffer holds the gradient with respect to the logits.
            flat[places] = right - 1
            logit_gradient = probabilities
            hidden_gradient[:, first : first + step] = torch.bmm(logit_gradient, cast)
            if product is None:
                weight_gradient.baddbmm_(logit_gradient.transpose(1, 2), part)
            else:
                torch.bmm(logit_gradient.transpose(1, 2), part, out=product)
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
    """Rows of logits at a time."""
    if cuda:
        return max(64, 2**28 // (models * vocabulary))
    # Few rows keep the logits in the caches; with many, the gradient of the output layer, which is
    # as large as the embeddings, is summed less often.
    return max(min(512, max(256, 2 * width)), 2**20 // (models * vocabulary))
