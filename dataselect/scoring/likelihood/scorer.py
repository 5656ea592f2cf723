"""Negative log-likelihoods of given continuations under a causal LM, and the per-item table.

A trace is a small part of a long prompt, and items share most of the prompt. How that is used
depends on the model: `by_torch` runs any model of transformers, `fused` tiny ones by compiled
kernels. Nothing here imports torch.

Not here: generated answers (`generation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dataselect.benchmarks.items import Exclusion
from dataselect.cost import scoring_flops
from dataselect.errors import InputError
from dataselect.scoring.likelihood.broken import alone_where_broken
from dataselect.scoring.likelihood.likelihoods import LikelihoodModel, Likelihoods
from dataselect.scoring.likelihood.packing import Pair
from dataselect.scoring.model_facts import model_name, parameter_count, vocabulary_size
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import PreparedItem
from dataselect.scoring.rbridge import rbridge


@dataclass(frozen=True)
class Scores:
    """A checkpoint's scores on one benchmark and their cost."""

    table: pd.DataFrame
    """One row per item: item, rbridge, trace_nll, label_nll (mean nats per token, lower is
    better), trace_tokens, left_out_tokens. All are finite."""
    exclusions: tuple[Exclusion, ...]
    """Items with a token whose loss is NaN or infinite."""
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
    """Score every prepared item; equal to scoring one at a time up to rounding (1e-5 nats).

    An item with a non-finite loss has no row but an exclusion. Its other tokens do not count: they
    are another text than the one that the other models are scored on.
    """
    pairs = [(item.context_ids, item.trace_ids) for item in prepared]
    pairs += [(item.label_context_ids, item.label_ids) for item in prepared]
    likelihoods = token_nll(model, pairs, device, tokens_per_batch)
    traces, labels = likelihoods.nll[: len(prepared)], likelihoods.nll[len(prepared) :]
    rows, exclusions = [], []
    for item, trace, label in zip(prepared, traces, labels, strict=True):
        if not (np.isfinite(trace).all() and np.isfinite(label).all()):
            exclusions.append(Exclusion(item.item_id, NOT_FINITE))
            continue
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
    return Scores(
        pd.DataFrame(rows, columns=columns),
        tuple(exclusions),
        likelihoods.tokens,
        scoring_flops(parameter_count(model), likelihoods.tokens),
    )


def token_nll(
    model: Any,
    pairs: Sequence[Pair],
    device: str = "cpu",
    tokens_per_batch: int | None = None,
) -> Likelihoods:
    """−ln p(token | context, tokens before) for each (context ids, continuation ids) pair.

    `tokens_per_batch` bounds the padded tokens of one forward pass (default by device); a longer
    sequence is a batch alone. A loss is NaN or infinite where the model gives that for the text
    alone. Raises InputError when a token is outside the vocabulary, ValueError when a context or a
    continuation is empty.
    """
    if not all(context and ids for context, ids in pairs):
        raise ValueError("a context or a continuation is empty")
    vocabulary = vocabulary_size(model)
    largest = max((max(*context, *ids) for context, ids in pairs), default=0)
    if largest >= vocabulary:
        raise InputError(
            model_name(model),
            f"the tokenizer gives token {largest} and the model has {vocabulary}",
            "score a model with the tokenizer it was trained with",
        )
    if isinstance(model, LikelihoodModel):
        return alone_where_broken(pairs, model.together(pairs, tokens_per_batch), model.alone)
    from dataselect.scoring.likelihood.by_torch import likelihoods_by_torch

    return likelihoods_by_torch(model, pairs, device, tokens_per_batch)
