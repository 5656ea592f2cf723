"""Likelihoods of any causal LM of transformers, by torch.

Common parts are computed once (`sharing`) where the model allows it, else each text alone
(`separate`), and the output layer is applied only to states that predict a requested token
(`head`).
"""

from collections.abc import Sequence
from typing import Any

import torch

from dataselect.scoring.advance import observed
from dataselect.scoring.likelihood.broken import alone_where_broken
from dataselect.scoring.likelihood.head import head_is_linear
from dataselect.scoring.likelihood.likelihoods import Likelihoods
from dataselect.scoring.likelihood.memory import in_smaller_batches
from dataselect.scoring.likelihood.packing import Pair, pack
from dataselect.scoring.likelihood.separate import separate_nll
from dataselect.scoring.likelihood.sharing import shared_nll, try_sharing

# On a CPU a batch's activations should fit a core's cache; a GPU needs larger batches.
_TOKENS_PER_BATCH = 1024
_TOKENS_PER_BATCH_ELSEWHERE = 8192


def likelihoods_by_torch(
    model: Any, pairs: Sequence[Pair], device: str, tokens_per_batch: int | None
) -> Likelihoods:
    """The likelihoods of `scorer.token_nll`, which checks the pairs."""
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

            found = in_smaller_batches(compute, tokens, device)
            return alone_where_broken(
                pairs, found, lambda some: separate_nll(model, some, tiled, device, 1)
            )
    finally:
        model.train(was_training)
