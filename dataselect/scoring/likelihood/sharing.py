"""Likelihoods of continuations with everything that their texts have in common computed once.

With five worked examples most of a text is what all items share, and with ten choices the rest is
shared too. `packing` says what stands in a row; here are the forward pass over such rows, with a
mask that says what each token sees, and the cache that holds a shared beginning. Not every model
allows it, so it is tried before it is trusted.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from dataselect.scoring.likelihood.head import tiled_nll
from dataselect.scoring.likelihood.packing import Group, Pair, Row, batches, lay_out
from dataselect.scoring.likelihood.separate import Likelihoods, separate_nll

_log = logging.getLogger("dataselect")

PrefixCaches = dict[tuple[int, ...], Any]
"""Caches by the prefix that they hold."""

# Keys that a batch may see for each of its input tokens: what one layer holds of them at a time.
_HELD_PER_INPUT = 8
_APART = 1e-3
_APART_HALF = 0.25


def shared_nll(
    model: Any,
    groups: Sequence[Group],
    count: int,
    device: str,
    tokens_per_batch: int,
    prefix_caches: PrefixCaches,
) -> Likelihoods:
    """Everything that pairs have in common is computed once.

    `prefix_caches` are those that trying it out has left.
    """
    nll: list[npt.NDArray[np.float64]] = [np.empty(0)] * count
    tokens = 0
    for group in groups:
        prefix = group.prefix
        prefix_cache = (
            prefix_caches.pop(prefix)
            if prefix in prefix_caches
            else _compute_prefix(model, prefix, device)
        )
        tokens += len(prefix)
        for rows in batches(group, tokens_per_batch, _HELD_PER_INPUT * tokens_per_batch):
            for number, losses in _rows_nll(model, rows, len(prefix), prefix_cache, device):
                nll[number] = losses
            tokens += sum(row.width for row in rows)
    return Likelihoods(nll, tokens)


def _rows_nll(
    model: Any, rows: Sequence[Row], prefix: int, prefix_cache: Any, device: str
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """(number of a pair, its losses) for the continuations of a batch."""
    layout = lay_out(rows, prefix)
    seen = layout.seen.to(device)
    # Additive, because not every implementation of attention takes truth values.
    mask = torch.zeros(seen.shape, dtype=model.dtype, device=device)
    mask.masked_fill_(~seen, torch.finfo(model.dtype).min)
    hidden = model.base_model(
        input_ids=layout.inputs.to(device),
        position_ids=layout.positions.to(device),
        attention_mask=mask[:, None],
        past_key_values=prefix_cache,
        use_cache=prefix_cache is not None,
    ).last_hidden_state
    target = torch.tensor(layout.targets, device=device)
    losses = tiled_nll(hidden[layout.sources], model.get_output_embeddings(), target)
    ends = np.cumsum(layout.lengths)[:-1]
    return list(zip(layout.numbers, np.split(losses.double().cpu().numpy(), ends), strict=True))


class _HeldLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a prefix, which every row sees and none adds to."""

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
    """The cache of a prefix; None without one. Raises _UnfitError for another kind of cache."""
    if not prefix:
        return None
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([list(prefix)], device=device)
    model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        raise _UnfitError("its cache is not one of keys and values of every token")
    cache.layers = [_HeldLayer(layer.keys, layer.values) for layer in cache.layers]
    return cache


class _UnfitError(Exception):
    """A model whose attention or cache cannot share contexts."""


def try_sharing(
    model: Any, groups: Sequence[Group], pairs: Sequence[Pair], device: str
) -> PrefixCaches | None:
    """What the trial leaves for `shared_nll`; None when nothing is shared or it would not fit.

    Tried on the longest row after a shared prefix, and on the longest without one: what does not
    fit (a sliding window, positions that are not told, a state in place of a cache) shows there.
    """
    shared = [g for g in groups if len(g.rows) > 1 or len(g.rows[0].continuations) > 1]
    prefix_caches: PrefixCaches = {}
    for kind in (True, False):
        alike = [group for group in shared if bool(group.prefix) is kind]
        if alike:
            longest = max(alike, key=lambda group: len(group.prefix) + group.rows[0].width)
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
    """Why a group's first row cannot be computed behind a shared prefix; None when it can."""
    row = group.rows[0]
    try:
        prefix_cache = prefix_caches[group.prefix] = _compute_prefix(model, group.prefix, device)
        found = dict(_rows_nll(model, [row], len(group.prefix), prefix_cache, device))
    except (_UnfitError, RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        return (str(error).strip() or repr(error)).splitlines()[0]
    # The last continuation has everything before it that it must not see.
    number = row.numbers[-1]
    alone = separate_nll(model, [pairs[number]], True, device, 1).nll[0]
    apart = float(np.abs(found[number] - alone).max())
    # In half precision any two ways of batching differ by this much.
    allowed = _APART if model.dtype == torch.float32 else _APART_HALF
    return None if apart <= allowed else f"its scores would be {apart:.1g} nats off"
