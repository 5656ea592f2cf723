"""Supervised fine-tuning of any causal LM: prompts with answers, the loss on the answers.

Short next-token training of a given model of any architecture that transformers knows: AdamW
without weight decay, linear warm-up and linear decay to zero, weights in float32 whatever the
matmul type. A batch is processed in slices of about equal length.

Not here: resuming within a run (an epoch is short), several devices, adapters.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from dataselect.errors import IncompleteError
from dataselect.proxies.layout import Layout
from dataselect.proxies.recipe import TuneRecipe

_SLICE_TOKENS = 4096


@dataclass(frozen=True)
class Example:
    """One training example as token ids."""

    prompt: list[int]
    answer: list[int]
    """With the end-of-text token."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Tuned:
    """The record of a fine-tuning; the model itself is changed in place."""

    steps: int
    tokens: int
    """All tokens processed, prompts included."""
    losses: list[float]
    """Loss before each step, nats per answer token."""


def tune(
    model: Any,
    examples: Sequence[Example],
    recipe: TuneRecipe,
    device: str,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Tuned:
    """Fine-tune `model`, whose weights are in float32 on `device`.

    `progress` is called with step, steps and loss. Raises IncompleteError when the loss becomes
    non-finite.
    """
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    if Layout().recomputes(sum(weight.numel() for weight in parameters)):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=0.0, fused=True
    )
    batches = list(_batches(len(examples), recipe))
    losses: list[float] = []
    # Some architectures have dropout.
    torch.manual_seed(recipe.seed)
    model.train()
    for step, chosen in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _factor(step, len(batches), recipe)
        loss = _add_gradients(model, [examples[n] for n in chosen], recipe, device)
        if not math.isfinite(loss):
            raise IncompleteError(f"fine-tuning diverged: non-finite loss at step {step}")
        torch.nn.utils.clip_grad_norm_(parameters, recipe.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        progress(step + 1, len(batches), loss)
    model.eval()
    tokens = recipe.epochs * sum(len(each) for each in examples)
    return Tuned(len(batches), tokens, losses)


def _batches(examples: int, recipe: TuneRecipe) -> Iterator[list[int]]:
    random = np.random.default_rng(recipe.seed)
    for _ in range(recipe.epochs):
        order = random.permutation(examples).tolist()
        for first in range(0, examples, recipe.batch_size):
            yield order[first : first + recipe.batch_size]


def _factor(step: int, steps: int, recipe: TuneRecipe) -> float:
    """Share of the peak learning rate: linear warm-up, then linear decay to zero."""
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / max(1, steps - warmup)


def _add_gradients(model: Any, batch: Sequence[Example], recipe: TuneRecipe, device: str) -> float:
    answers = sum(len(each.answer) for each in batch)
    total = 0.0
    for part in _slices(batch):
        width = max(map(len, part))
        tokens = torch.zeros((len(part), width), dtype=torch.long)
        wanted = torch.full((len(part), width), -100)
        for row, each in enumerate(part):
            ids = torch.tensor(each.prompt + each.answer)
            tokens[row, : len(ids)] = ids
            wanted[row, len(each.prompt) : len(ids)] = ids[len(each.prompt) :]
        device_type, low = torch.device(device).type, recipe.precision == "bf16"
        with torch.autocast(device_type, torch.bfloat16, enabled=low):
            # No mask: padding comes last, where a causal model does not attend.
            logits = model(input_ids=tokens.to(device), use_cache=False).logits
        loss = cross_entropy(
            logits[:, :-1].flatten(0, 1).float(),
            wanted[:, 1:].flatten().to(device),
            reduction="sum",
        )
        (loss / answers).backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total / answers


def _slices(batch: Sequence[Example]) -> Iterator[list[Example]]:
    """The batch sorted by length, in parts of few tokens, padding included."""
    part: list[Example] = []
    for each in sorted(batch, key=len):
        if part and (len(part) + 1) * len(each) > _SLICE_TOKENS:
            yield part
            part = []
        part.append(each)
    yield part
