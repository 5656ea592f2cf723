"""Losses from a model's last hidden states, without logits of the whole vocabulary.

The vocabulary takes most of a tiny proxy's time and memory. So the output layer is applied only to
the states that predict a requested token, in tiles of rows x vocabulary with a running log-sum-exp:
memory grows with neither. This is wrong for models that change their logits further (a cap, a
scale); `head_is_linear` detects them.
"""

from collections.abc import Sequence
from typing import Any

import torch

_ROW_TILE = 1024
# A tile that fits a core's cache takes half the time of one that does not; a GPU needs wide ones.
_VOCABULARY_TILE = 1024
_VOCABULARY_TILE_ELSEWHERE = 8192


def tiled_nll(
    hidden: torch.Tensor, head: Any, target: torch.Tensor, states: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy in nats of each `target`, shape (targets,).

    `hidden` is (states, hidden size); `states`, (targets,), are the places in it of the states that
    predict the targets. No gradients.
    """
    losses = []
    totals = _log_totals(hidden, head)
    for first in range(0, len(target), _ROW_TILE):
        token, state = target[first : first + _ROW_TILE], states[first : first + _ROW_TILE]
        gold = torch.bmm(hidden[state][:, None], head.weight[token][:, :, None])[:, 0, 0]
        if head.bias is not None:
            gold += head.bias[token]
        losses.append(totals[state] - gold.float())
    return torch.cat(losses)


def _log_totals(hidden: torch.Tensor, head: Any) -> torch.Tensor:
    """Logarithms of the sums of exponentiated logits, (states,).

    All tiles use the same buffer: allocating each would take longer than the product.
    """
    wide = _VOCABULARY_TILE if hidden.device.type == "cpu" else _VOCABULARY_TILE_ELSEWHERE
    tile = hidden.new_empty(min(_ROW_TILE, len(hidden)) * min(wide, len(head.weight)))
    totals = []
    for first in range(0, len(hidden), _ROW_TILE):
        states = hidden[first : first + _ROW_TILE]
        total = torch.full((len(states),), -torch.inf, device=hidden.device)
        for start in range(0, len(head.weight), wide):
            weight = head.weight[start : start + wide]
            product = tile[: len(states) * len(weight)].view(len(states), len(weight))
            torch.mm(states, weight.T, out=product)
            if head.bias is not None:
                product += head.bias[start : start + wide]
            logits = product.float()
            largest = logits.amax(-1)
            sums = logits.sub_(largest[:, None]).exp_().sum(-1)
            total = torch.logaddexp(total, sums.log_().add_(largest))
        totals.append(total)
    return torch.cat(totals)


def head_is_linear(model: Any, pair: tuple[Sequence[int], Sequence[int]], device: str) -> bool:
    """Whether base model + output layer give this model's logits; tested on a few tokens."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or model.base_model is model:
        return False
    probe = torch.tensor([[*pair[0], *pair[1]][:8]], device=device)
    states = model.base_model(input_ids=probe, use_cache=False).last_hidden_state
    if states.shape[-1] != head.in_features:
        return False
    logits = model(input_ids=probe, use_cache=False).logits
    return bool(torch.allclose(head(states).float(), logits.float(), atol=1e-4, rtol=1e-4))
