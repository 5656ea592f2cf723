"""Decode many prompts over one copy of the text that they begin with.

The prompts of a benchmark share their worked examples, most of their tokens. Their keys and values
are computed once and kept once; at each token all rows attend to them in one matrix product, and
each to its own tokens besides. One softmax is taken over both parts, so the result is that of
attention over the whole text, up to rounding.

It works for models that take their attention from transformers' registry and attend to every token
before by scaled products alone; each is tried before it is relied on (`tried_prefix`).
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache, DynamicLayer

from dataselect.scoring.decoding_cache import RoomyLayer
from dataselect.scoring.decoding_rows import PaddedRows
from dataselect.scoring.prefix_cache import (
    UnfitError,
    prefix_cache,
    require_layers,
    tolerance,
    trying,
)

_NAME = "dataselect_shared_prefix"
_OTHER_ATTENTION = ("softcap", "s_aux", "position_bias")
"""Arguments of models whose attention is more than a scaled product."""
# Most scores of a prefix that are held at once: on a CPU what fits a core's cache, elsewhere 64 MiB
# in float32.
_MOST_SCORES = 1 << 18
_MOST_SCORES_ELSEWHERE = 1 << 24

_current = threading.local()


@dataclass(frozen=True)
class Prefix:
    """The keys and values of a text that many rows begin with."""

    ids: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Keys, (heads, size, tokens) as the product with queries reads them, and values, (heads,
    tokens, size), of each layer."""


def prefix_of(model: Any, ids: tuple[int, ...], device: str) -> Prefix:
    """Computed by the model. Raises UnfitError for a model with another kind of cache."""
    with trying():
        return _first_tokens(ids, prefix_cache(model, ids, device))


def tried_prefix(
    model: Any,
    ids: tuple[int, ...],
    rests: Sequence[Sequence[int]],
    cache_name: str,
    device: str,
    extra: dict[str, Any],
) -> Prefix:
    """As `prefix_of`, from a text that the model then continues after the shared prefix too.

    Tried on the first of `rests`, which others pad, and on one token more. Raises UnfitError if
    rows cannot be continued after a shared prefix.
    """
    token = rests[0][-1]
    text = torch.tensor([[*ids, *rests[0], token]], device=device)
    with trying():
        cache = DynamicCache(config=model.config)
        whole = model(
            input_ids=text, use_cache=True, **dict.fromkeys(extra, 2), **{cache_name: cache}
        )
        require_layers(cache, DynamicLayer)
        prefix = _first_tokens(ids, cache)
        wanted = whole.logits[0, -2:].float().log_softmax(-1)
        with attending(model, prefix):
            rows = PrefixedRows(model, prefix, rests, cache_name, device, extra)
            found = [rows.logits()[0]]
            rows.append(torch.full((len(rests),), token, device=device), None)
            found.append(rows.logits()[0])
    apart = float((torch.stack(found).log_softmax(-1) - wanted).abs().max())
    if math.isnan(apart) or apart > tolerance(model):
        raise UnfitError(f"its log-probabilities would be {apart:.1g} nats off")
    return prefix


def _first_tokens(ids: tuple[int, ...], cache: Any) -> Prefix:
    many = len(ids)
    return Prefix(
        ids,
        tuple(
            (
                layer.keys[0, :, :many].transpose(1, 2).contiguous(),
                layer.values[0, :, :many].contiguous(),
            )
            for layer in cache.layers
        ),
    )


@contextmanager
def attending(model: Any, prefix: Prefix) -> Iterator[None]:
    """Within, the model attends to the prefix before what it is given. Raises UnfitError if it
    cannot."""
    if not getattr(model, "_can_set_attn_implementation", lambda: False)():
        raise UnfitError("its attention cannot be exchanged")
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    _current.prefix = prefix
    try:
        yield
    finally:
        _current.prefix = None
        model.set_attn_implementation(before)


class PrefixedRows(PaddedRows):
    """Rows of tokens after a prefix, within `attending`."""

    def __init__(
        self,
        model: Any,
        prefix: Prefix,
        rests: Sequence[Sequence[int]],
        cache_name: str,
        device: str,
        extra: dict[str, Any],
    ) -> None:
        """`rests` are the rows without the prefix, none empty; `extra` goes to each call."""
        super().__init__(model, rests, cache_name, device, extra, before=len(prefix.ids))
        require_layers(self.cache, RoomyLayer)

    def mask(self, shown: torch.Tensor, new: int) -> torch.Tensor:
        """Additive, (rows, 1, new tokens, own tokens); nothing sees padding."""
        total = shown.shape[1]
        hidden = (shown == 0)[:, None].expand(-1, new, -1)
        if new > 1:
            later = torch.ones(new, total, dtype=torch.bool, device=hidden.device)
            hidden = hidden | later.triu(total - new + 1)
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=hidden.device)
        return mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[:, None]


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' signature: `query` (rows, heads, tokens, size), `key` and `value` of the rows'
    own tokens (rows, key heads, own tokens, size), an additive mask (rows, 1, tokens, own tokens)
    over these; returns (rows, tokens, heads, size)."""
    prefix: Prefix = _current.prefix
    keys, values = prefix.layers[module.layer_idx]  # type: ignore[index]
    window = others.get("sliding_window")
    if any(others.get(name) is not None for name in _OTHER_ATTENTION) or attention_mask is None:
        raise UnfitError("its attention is more than a scaled product")
    if window is not None and len(prefix.ids) + key.shape[2] > window:
        raise UnfitError("it attends to a window of tokens")
    rows, heads, tokens, size = query.shape
    per_row = max(1, heads * tokens * len(prefix.ids))
    most = _MOST_SCORES if query.device.type == "cpu" else _MOST_SCORES_ELSEWHERE
    step = max(1, most // per_row)
    scaled = query * (size**-0.5 if scaling is None else scaling)
    parts = [
        _joined(
            scaled[at : at + step],
            key[at : at + step],
            value[at : at + step],
            attention_mask[at : at + step],
            keys,
            values,
        )
        for at in range(0, rows, step)
    ]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.transpose(1, 2).contiguous(), None


def _joined(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
) -> torch.Tensor:
    """Attention over the prefix and each row's own tokens, (rows, heads, tokens, size)."""
    rows, heads, tokens, size = query.shape
    groups, own_tokens = key.shape[1:3]  # heads that keys and values have
    each = heads // groups * tokens
    grouped = query.reshape(rows, groups, each, size)
    by_group = grouped.transpose(0, 1).reshape(groups, rows * each, size)
    first = torch.bmm(by_group, prefix_keys).view(groups, rows, each, -1).transpose(0, 1)
    # With one vector the product in the other order reads keys faster.
    own = key @ grouped.mT if each == 1 else grouped @ key.mT
    own = own.view(rows, groups, heads // groups, tokens, own_tokens).float() + mask[:, :, None]
    own = own.view(rows, groups, each, own_tokens)
    chances = torch.cat([first.float(), own], -1).softmax(-1).to(query.dtype)
    length = first.shape[-1]
    by_group = chances[..., :length].transpose(0, 1).reshape(groups, rows * each, length)
    out = torch.bmm(by_group, prefix_values).view(groups, rows, each, -1).transpose(0, 1)
    out = out + chances[..., length:] @ value
    return out.reshape(rows, heads, tokens, -1)


AttentionInterface.register(_NAME, _attention)
