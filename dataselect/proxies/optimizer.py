"""Optimisation of a population: AdamW, the learning-rate schedule, and gradient clipping."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch.nn import Parameter

from dataselect.proxies.recipe import Recipe


def schedule(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then a cosine to a tenth."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(parameters: Mapping[str, Parameter], recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with three groups: embeddings, matrices (with weight decay), and norms (without)."""
    embeddings: list[Parameter] = []
    matrices: list[Parameter] = []
    vectors: list[Parameter] = []
    for name, parameter in parameters.items():
        if name.startswith(("model.embed_tokens", "lm_head")):
            embeddings.append(parameter)
        else:
            (vectors if name.endswith("norm.weight") else matrices).append(parameter)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    groups = [
        {"params": embeddings, "peak": recipe.embedding_learning_rate, "weight_decay": 0.0},
        {"params": matrices, "peak": rate, "weight_decay": decay},
        {"params": vectors, "peak": rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def clip(parameters: Iterable[Parameter], limit: float) -> None:
    """Scale each model's gradient to a norm of at most `limit`, as torch does for one model."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
    factors = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp_max(1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
