"""Negative log-likelihoods of given continuations under a causal LM, and the per-item table.

Traces are a small part of a long prompt, and a tiny proxy's time goes into its vocabulary, so
only the rows that predict a continuation's token meet the output layer, in tiles of rows x
vocabulary with a running log-sum-exp: memory does not grow with the vocabulary. Sequences are
sorted by length and padded on the right, where a causal model never looks.

Not here: answers by generation (`generation`), and reuse of the few-shot prefix between items.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from dataselect.errors import InputError
from dataselect.scoring.decoding import takes_logits_to_keep
from dataselect.scoring.prepare import PreparedItem
from dataselect.scoring.rbridge import rbridge

_ROW_TILE = 1024
_VOCABULARY_TILE = 8192


@dataclass(frozen=True)
class Likelihoods:
    """NLL of each continuation's tokens in nats, in the order asked, and the tokens it took."""

    nll: list[npt.NDArray[np.float64]]
    tokens: int


@dataclass(frozen=True)
class Scores:
    """A checkpoint's scores on one benchmark and what they cost.

    `table` has one row an item: item, rbridge, trace_nll, label_nll (mean nats per token, lower
    is better), trace_tokens, left_out_tokens. `tokens` counts the tokens processed, without
    padding; `flops` is 2 x parameters x tokens.
    """

    table: pd.DataFrame
    tokens: int
    flops: float


def score(
    model: Any, prepared: Sequence[PreparedItem], device: str = "cpu", tokens_per_batch: int = 8192
) -> Scores:
    """Score every prepared item. Equal to one item at a time up to rounding (1e-5 nats)."""
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    pairs += [(item.label_context_ids, item.label_ids) for item in prepared]
    likelihoods = token_nll(model, pairs, device, tokens_per_batch)
    traces, labels = likelihoods.nll[: len(prepared)], likelihoods.nll[len(prepared) :]
    rows = []
    for item, trace, label in zip(prepared, traces, labels, strict=True):
        left_out = np.isnan(item.weights)
        rows.append(
            {
                "item": item.item_id,
                "rbridge": rbridge(trace, item.weights),
                # The same tokens as rBridge, so that the two differ by the weights alone.
                "trace_nll": float(trace[~left_out].mean()),
                "label_nll": float(label.mean()),
                "trace_tokens": len(trace),
                "left_out_tokens": int(left_out.sum()),
            }
        )
    columns = ["item", "rbridge", "trace_nll", "label_nll", "trace_tokens", "left_out_tokens"]
    parameters = sum(p.numel() for p in model.parameters())
    return Scores(
        pd.DataFrame(rows, columns=columns),
        likelihoods.tokens,
        2.0 * parameters * likelihoods.tokens,
    )


def token_nll(
    model: Any,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    device: str = "cpu",
    tokens_per_batch: int = 8192,
) -> Likelihoods:
    """−ln p(token | context, tokens before) for each (context ids, continuation ids) pair.

    `tokens_per_batch` bounds the padded tokens of one forward pass; a longer sequence goes
    alone. Raises InputError when a token is outside the vocabulary, ValueError when a context or
    a continuation is empty.
    """
    if not all(context and ids for context, ids in pairs):
        raise ValueError("a context or a continuation is empty")
    vocabulary = model.get_input_embeddings().weight.shape[0]
    largest = max((max(*context, *ids) for context, ids in pairs), default=0)
    if largest >= vocabulary:
        raise InputError(
            getattr(model.config, "name_or_path", "") or "model",
            f"the tokenizer gives token {largest} and the model has {vocabulary}",
            "score a model with the tokenizer it was trained with",
        )
    nll: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(pairs)
    tokens = 0
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            tiled = bool(pairs) and _head_is_linear(model, pairs[0], device)
            for batch in _batches(pairs, tokens_per_batch):
                chosen = [pairs[i] for i in batch]
                losses = _batch_nll(model, chosen, tiled, device)
                tokens += sum(len(context) + len(ids) - 1 for context, ids in chosen)
                for i, values in zip(batch, losses, strict=True):
                    nll[i] = values
    finally:
        model.train(was_training)
    return Likelihoods(nll, tokens)


def _batches(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], tokens_per_batch: int
) -> Iterator[list[int]]:
    lengths = [len(context) + len(ids) for context, ids in pairs]
    batch: list[int] = []
    for i in sorted(range(len(pairs)), key=lambda i: (-lengths[i], i)):
        # Longest first, so the batch's first sequence is its width, and too big a batch fails now.
        if batch and lengths[batch[0]] * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _batch_nll(
    model: Any,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    tiled: bool,
    device: str,
) -> list[npt.NDArray[np.float64]]:
    # The last token is predicted but predicts nothing that is asked for.
    width = max(len(context) + len(ids) for context, ids in pairs) - 1
    inputs = torch.zeros(len(pairs), width, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for r, (context, ids) in enumerate(pairs):
        sequence = torch.tensor([*context, *ids])
        inputs[r, : len(sequence) - 1] = sequence[:-1]
        rows += [r] * len(ids)
        columns += range(len(context) - 1, len(sequence) - 1)
        targets += ids
    # No attention mask: padding comes after everything that counts, out of a causal model's sight.
    inputs, target = inputs.to(device), torch.tensor(targets, device=device)
    if tiled:
        hidden = model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        losses = _tiled_nll(hidden[rows, columns], model.get_output_embeddings(), target)
    else:
        losses = _plain_nll(model, inputs, rows, columns, target)
    lengths = [len(ids) for _, ids in pairs]
    return np.split(losses.double().cpu().numpy(), np.cumsum(lengths)[:-1])


def _tiled_nll(hidden: torch.Tensor, head: Any, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of (rows, hidden size) against (rows,), one tile of logits at a time."""
    losses = []
    for first in range(0, len(hidden), _ROW_TILE):
        states, wanted = hidden[first : first + _ROW_TILE], target[first : first + _ROW_TILE]
        total = torch.full((len(states),), -torch.inf, device=hidden.device)
        gold = torch.zeros(len(states), device=hidden.device)
        for start in range(0, head.weight.shape[0], _VOCABULARY_TILE):
            end = start + _VOCABULARY_TILE
            bias = None if head.bias is None else head.bias[start:end]
            logits = torch.nn.functional.linear(states, head.weight[start:end], bias).float()
            total = torch.logaddexp(total, logits.logsumexp(-1))
            place = (wanted - start).clamp(0, logits.shape[-1] - 1)
            inside = (wanted >= start) & (wanted < end)
            gold = torch.where(inside, logits.gather(1, place[:, None])[:, 0], gold)
        losses.append(total - gold)
    return torch.cat(losses)


def _plain_nll(
    model: Any,
    inputs: torch.Tensor,
    rows: list[int],
    columns: list[int],
    target: torch.Tensor,
) -> torch.Tensor:
    """The same through the model's own logits, a sequence at a time.

    For models that do more to their logits than a linear layer (a cap, a scale).
    """
    losses = []
    for r in range(len(inputs)):
        places = [c for row, c in zip(rows, columns, strict=True) if row == r]
        mine = torch.tensor([i for i, row in enumerate(rows) if row == r], device=inputs.device)
        kept = torch.tensor(places, device=inputs.device)
        if takes_logits_to_keep(model):
            logits = model(input_ids=inputs[r : r + 1], use_cache=False, logits_to_keep=kept).logits
        else:
            logits = model(input_ids=inputs[r : r + 1], use_cache=False).logits[:, kept]
        losses.append(
            torch.nn.functional.cross_entropy(logits[0].float(), target[mine], reduction="none")
        )
    return torch.cat(losses)


def _head_is_linear(model: Any, pair: tuple[Sequence[int], Sequence[int]], device: str) -> bool:
    """Whether base model + output layer give this model's logits: tried on a few tokens."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or model.base_model is model:
        return False
    probe = torch.tensor([[*pair[0], *pair[1]][:8]], device=device)
    states = model.base_model(input_ids=probe, use_cache=False).last_hidden_state
    if states.shape[-1] != head.in_features:
        return False
    own = model(input_ids=probe, use_cache=False).logits
    return bool(torch.allclose(head(states).float(), own.float(), atol=1e-4, rtol=1e-4))
