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

from dataselect.benchmarks.items import Exclusion
from dataselect.cost import scoring_flops
from dataselect.errors import InputError
from dataselect.scoring.advance import observed
from dataselect.scoring.likelihood.head import head_is_linear
from dataselect.scoring.likelihood.memory import in_smaller_batches
from dataselect.scoring.likelihood.packing import Pair, pack
from dataselect.scoring.likelihood.separate import Likelihoods, separate_nll
from dataselect.scoring.likelihood.sharing import shared_nll, try_sharing
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.scoring.prepare import PreparedItem
from dataselect.scoring.rbridge import rbridge

# On a CPU a batch's activations should fit a core's cache; a GPU needs larger batches.
_TOKENS_PER_BATCH = 1024
_TOKENS_PER_BATCH_ELSEWHERE = 8192
_PROBES = 16
"""Texts tried alone where every text came out broken, before the model is taken to be."""


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
    parameters = sum(p.numel() for p in model.parameters())
    return Scores(
        pd.DataFrame(rows, columns=columns),
        tuple(exclusions),
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
    sequence is a batch alone. A loss is NaN or infinite where the model gives that for the text
    alone. Raises InputError when a token is outside the vocabulary, ValueError when a context or a
    continuation is empty.
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
            with observed(None):  # it tries a few texts
                prefix_caches = try_sharing(model, groups, pairs, device) if tiled else None

            def compute(tokens: int) -> Likelihoods:
                if prefix_caches is not None:
                    return shared_nll(model, groups, len(pairs), device, tokens, prefix_caches)
                return separate_nll(model, pairs, tiled, device, tokens)

            likelihoods = in_smaller_batches(compute, tokens, device)
            return _alone_where_broken(model, pairs, likelihoods, tiled, device)
    finally:
        model.train(was_training)


def _alone_where_broken(
    model: Any, pairs: Sequence[Pair], found: Likelihoods, tiled: bool, device: str
) -> Likelihoods:
    """The likelihoods with texts that have a non-finite loss computed again, each alone.

    A NaN spreads to the texts that are computed together with it, since a masked value is still
    multiplied, by 0. Where every text is broken and so are some tried alone, the others are not.
    """
    broken = [n for n, nll in enumerate(found.nll) if not np.isfinite(nll).all()]
    with observed(None):  # these few are done again
        return _again(model, pairs, found, broken, tiled, device)


def _again(
    model: Any,
    pairs: Sequence[Pair],
    found: Likelihoods,
    broken: list[int],
    tiled: bool,
    device: str,
) -> Likelihoods:
    nll, tokens = list(found.nll), found.tokens
    if len(broken) == len(pairs) > _PROBES:
        broken = broken[:: -(-len(broken) // _PROBES)]
        again = separate_nll(model, [pairs[n] for n in broken], tiled, device, 1)
        if not any(np.isfinite(each).all() for each in again.nll):
            return Likelihoods(nll, tokens + again.tokens)
        broken = list(range(len(pairs)))
    again = separate_nll(model, [pairs[n] for n in broken], tiled, device, 1)
    for n, alone in zip(broken, again.nll, strict=True):
        nll[n] = alone
    return Likelihoods(nll, tokens + again.tokens)


def _name(model: Any) -> str:
    return getattr(model.config, "name_or_path", "") or "model"
