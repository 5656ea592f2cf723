"""Negative log-likelihoods of given continuations under a causal LM, and the per-item table.

A trace is a small part of a long prompt, and items share most of the prompt. So the common parts
are computed once (`sharing`) where the model allows it, else each text alone (`separate`), and the
output layer is applied only to states that predict a requested token (`head`).

Not here: generated answers (`generation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from dataselect.cost import scoring_flops
from dataselect.errors import InputError
from dataselect.scoring.likelihood.head import head_is_linear
from dataselect.scoring.likelihood.packing import Pair, pack
from dataselect.scoring.likelihood.separate import Likelihoods, separate_nll
from dataselect.scoring.likelihood.sharing import shared_nll, try_sharing
from dataselect.scoring.prepare import PreparedItem
from dataselect.scoring.rbridge import rbridge

# On a CPU a batch's activations should fit a core's cache; a GPU needs larger batches.
_TOKENS_PER_BATCH = 1024
_TOKENS_PER_BATCH_ELSEWHERE = 8192


@dataclass(frozen=True)
class Scores:
    """A checkpoint's scores on one benchmark and their cost."""

    table: pd.DataFrame
    """One row per item: item, rbridge, trace_nll, label_nll (mean nats per token, lower is
    better), trace_tokens, left_out_tokens."""
    tokens: int
    """Tokens processed, without padding."""
    flops: float
    """2 x parameters x tokens."""


def score(
    model: Any,
    prepared: Sequence[PreparedItem],
    device: str = "cpu",
    tokens_per_batch: int | None = None,
) -> Scores:
    """Score every prepared item; equal to scoring one at a time up to rounding (1e-5 nats)."""
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    pairs += [(item.label_context_ids, item.label_ids) for item in prepared]
    likelihoods = token_nll(model, pairs, device, tokens_per_batch)
    traces, labels = likelihoods.nll[: len(prepared)], likelihoods.nll[len(prepared) :]
    rows = []
    for item, trace, label in zip(prepared, traces, labels, strict=True):
        left_out = np.isnan(item.token_weights)
        rows.append(
            {
                "item": item.item_id,
                "rbridge": rbridge(trace, item.token_weights),
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
        scoring_flops(parameters, likelihoods.tokens),
    )


def token_nll(
    model: Any,
    pairs: Sequence[Pair],
    device: str = "cpu",
    tokens_per_batch: int | None = None,
) -> Likelihoods:
    """−ln p(token | context, tokens before) for each (context ids, continuation ids) pair.

    `tokens_per_batch` bounds the padded tokens of one forward pass (default by device); a longer
    sequence is a batch alone. Raises InputError when a token is outside the vocabulary or a loss is
    not a finite number, ValueError when a context or a continuation is empty.
    """
    if not all(context and ids for context, ids in pairs):
        raise ValueError("a context or a continuation is empty")
    vocabulary = model.get_input_embeddings().weight.shape[0]
    largest = max((max(*context, *ids) for context, ids in pairs), default=0)
    if largest >= vocabulary:
        raise InputError(
            _name(model),
            f"the tokenizer gives token {largest} and the model has {vocabulary}",
            "score a model with the tokenizer it was trained with",
        )
    on_cpu = device.startswith("cpu")
    tokens = tokens_per_batch or (_TOKENS_PER_BATCH if on_cpu else _TOKENS_PER_BATCH_ELSEWHERE)
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            tiled = bool(pairs) and head_is_linear(model, pairs[0], device)
            groups = pack(pairs)
            prefix_caches = try_sharing(model, groups, pairs, device) if tiled else None
            if prefix_caches is not None:
                likelihoods = shared_nll(model, groups, len(pairs), device, tokens, prefix_caches)
            else:
                likelihoods = separate_nll(model, pairs, tiled, device, tokens)
    finally:
        model.train(was_training)
    _refuse_non_finite(model, likelihoods)
    return likelihoods


def _refuse_non_finite(model: Any, likelihoods: Likelihoods) -> None:
    """Raise InputError where a loss is no finite number: the mean of the others would be better
    than that of the intact model, since what is left out is what broke."""
    bad = sum(not np.isfinite(nll).all() for nll in likelihoods.nll)
    if bad:
        raise InputError(
            _name(model),
            f"its losses are not finite numbers on {bad} of {len(likelihoods.nll)} texts",
            "score an intact checkpoint, or give another precision",
        )


def _name(model: Any) -> str:
    return getattr(model.config, "name_or_path", "") or "model"
