"""Likelihoods of continuations with the common parts of their texts computed once.

With five worked examples all items share most of their text, and with ten choices the choices
share the rest. `packing` lays out the rows; here are the forward pass over them, with an attention
mask, and the key-value cache of a shared prefix. Not every model supports this, so each is tested
first.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import DynamicLayer

from dataselect.scoring.likelihood.grouped import grouped_nll
from dataselect.scoring.likelihood.head import tiled_nll
from dataselect.scoring.likelihood.likelihoods import Likelihoods
from dataselect.scoring.likelihood.packing import Group, Pair, Row
from dataselect.scoring.likelihood.separate import separate_nll
from dataselect.scoring.likelihood.trees import as_trees, padded
from dataselect.scoring.prefix_cache import UnfitError, as_cache, prefix_cache, tolerance, trying

_log = logging.getLogger("dataselect")

PrefixCaches = dict[tuple[int, ...], Any]
"""Key-value caches by prefix."""

# Most keys in a batch per input token; bounds the memory of one layer's keys.
_KEYS_PER_INPUT = 8


def shared_nll(
    model: Any,
    groups: Sequence[Group],
    count: int,
    device: str,
    tokens_per_batch: int,
    prefix_caches: PrefixCaches,
) -> Likelihoods:
    """Likelihoods of `count` pairs, packed into `groups`; common parts are computed once.

    `prefix_caches`: caches that `try_sharing` has computed already.
    """

    def begin(prefix: tuple[int, ...]) -> Any:
        if prefix in prefix_caches:
            return prefix_caches.pop(prefix)
        return _compute_prefix(model, prefix, device)

    return grouped_nll(
        groups,
        count,
        tokens_per_batch,
        _KEYS_PER_INPUT * tokens_per_batch,
        begin,
        lambda rows, prefix, shared: _rows_nll(model, rows, prefix, shared, device),
    )


def _rows_nll(
    model: Any, rows: Sequence[Row], prefix: int, shared: Any, device: str
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """(index of a pair, its losses) for the continuations of a batch."""
    trees = as_trees(rows, prefix)
    layout = padded(trees)
    hidden_tokens = torch.from_numpy(~layout.visible).to(device)
    # Additive, because not every implementation of attention takes a boolean mask.
    shape = (*hidden_tokens.shape[:2], prefix + hidden_tokens.shape[2])
    mask = torch.zeros(shape, dtype=model.dtype, device=device)
    mask[:, :, prefix:].masked_fill_(hidden_tokens, torch.finfo(model.dtype).min)
    hidden = model.base_model(
        input_ids=torch.from_numpy(layout.inputs).to(device),
        position_ids=torch.from_numpy(layout.positions).to(device),
        attention_mask=mask[:, None],
        use_cache=shared is not None,
        **as_cache(model, shared),
    ).last_hidden_state
    target = torch.from_numpy(trees.targets).to(device)
    states = torch.from_numpy(trees.states).to(device)
    losses = tiled_nll(hidden[layout.sources], model.get_output_embeddings(), target, states)
    return trees.by_pair(losses.double().cpu().numpy())


class _PrefixLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a prefix, shared by all rows; updates do not change it."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(key_states)
        keys = torch.cat([self.keys.expand(count, -1, -1, -1), key_states], dim=-2)
        values = torch.cat([self.values.expand(count, -1, -1, -1), value_states], dim=-2)
        return keys, values


def _compute_prefix(model: Any, prefix: Sequence[int], device: str) -> Any:
    """The cache of a prefix; None for an empty one. Raises UnfitError for other cache types."""
    if not prefix:
        return None
    cache = prefix_cache(model, prefix, device)
    cache.layers = [_PrefixLayer(layer.keys, layer.values) for layer in cache.layers]
    return cache


def try_sharing(
    model: Any, groups: Sequence[Group], pairs: Sequence[Pair], device: str
) -> PrefixCaches | None:
    """Prefix caches for `shared_nll`; None when nothing is shared or the model cannot share.

    Tested on the longest row after a shared prefix, and on the longest without one. That finds
    sliding windows, models without explicit positions, and recurrent states in place of a cache.
    """
    shared = [g for g in groups if len(g.rows) > 1 or len(g.rows[0].continuations) > 1]
    prefix_caches: PrefixCaches = {}
    for has_prefix in (True, False):
        groups_of_kind = [group for group in shared if bool(group.prefix) is has_prefix]
        if groups_of_kind:
            longest = max(groups_of_kind, key=lambda group: len(group.prefix) + group.rows[0].width)
            reason = _misfit(model, longest, pairs, device, prefix_caches)
            if reason is not None:
                _log.warning(
                    "%s cannot share contexts between texts, so each is computed alone (%s)",
                    type(model).__name__,
                    reason,
                )
                return None
    return prefix_caches if shared else None


def _misfit(
    model: Any, group: Group, pairs: Sequence[Pair], device: str, prefix_caches: PrefixCaches
) -> str | None:
    """Why a group's first row cannot be computed after a shared prefix; None when it can."""
    row = group.rows[0]
    try:
        with trying():
            shared = prefix_caches[group.prefix] = _compute_prefix(model, group.prefix, device)
            losses = dict(_rows_nll(model, [row], len(group.prefix), shared, device))
    except UnfitError as error:
        return str(error)
    # The last continuation comes after all others, which it must not attend to.
    number = row.numbers[-1]
    alone = separate_nll(model, [pairs[number]], True, device, 1).nll[0]
    difference = float(np.abs(losses[number] - alone).max())
    if not np.isfinite(difference):
        return "its losses are not finite numbers"
    allowed = tolerance(model)
    return None if difference <= allowed else f"its scores would be {difference:.1g} nats off"
