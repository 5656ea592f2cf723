"""Keys and values of the tokens so far, kept where they are written.

transformers' own layer concatenates, and so copies itself, at every token: a third of the decoding
time of a tiny model.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

# Tokens by which a layer grows, and the memory that may lie unused for it.
_LEAST_ROOM, _MOST_ROOM = 64, 256
_SPARE_BYTES = 4 << 20


def _room(states: torch.Tensor) -> int:
    """For how many tokens more a layer of such keys, (rows, heads, tokens, size), makes room.

    Where they are small it is for most answers, so that a layer is seldom copied.
    """
    rows, heads, _, size = states.shape
    spare = _SPARE_BYTES // (rows * heads * size * states.element_size())
    return min(_MOST_ROOM, max(_LEAST_ROOM, spare))


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer that grows by many tokens at once."""

    capacity = 0
    keys: torch.Tensor
    values: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers: list[torch.Tensor] = []
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        # Dropped rows leave `keys` without its buffer, which then has another number of rows.
        if not self.buffers or len(self.buffers[0]) != len(key_states) or self.capacity < new:
            self.capacity = new + _room(key_states)
            fresh = []
            for states, held in ((key_states, self.keys), (value_states, self.values)):
                shape = (*states.shape[:2], self.capacity, states.shape[-1])
                buffer = states.new_empty(shape)
                if old:
                    buffer[:, :, :old] = held
                fresh.append(buffer)
            self.buffers = fresh
        keys, values = self.buffers
        keys[:, :, old:new] = key_states
        values[:, :, old:new] = value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def begin(self, parts: Sequence["RoomyLayer"], width: int) -> None:
        """Hold the rows of other layers, `width` tokens each; shorter ones begin with zeros."""
        first = parts[0]
        if not first.is_initialized:
            return
        self.lazy_initialization(first.keys, first.values)
        self.capacity = width + _room(first.keys)
        rows = sum(len(part.keys) for part in parts)
        self.buffers = []
        for held in ([x.keys for x in parts], [x.values for x in parts]):
            _, heads, _, size = held[0].shape
            buffer = held[0].new_empty(rows, heads, self.capacity, size)
            at = 0
            for each in held:
                before = width - each.shape[2]
                # Masked, but what is multiplied by 0 has to be a number.
                buffer[at : at + len(each), :, :before] = 0
                buffer[at : at + len(each), :, before:width] = each
                at += len(each)
            self.buffers.append(buffer)
        self.keys, self.values = (buffer[:, :, :width] for buffer in self.buffers)


def roomy_cache(model: Any) -> Any:
    """An empty cache for the model; layers of other kinds (sliding windows) stay as they are."""
    cache = DynamicCache(config=model.config)
    cache.layers = [RoomyLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


def takes_cache(model: Any) -> bool:
    """Whether the model can go on from keys and values of earlier tokens.

    State-space models have another kind of state, and would silently go on without it.
    """
    return cache_parameter(model) is not None


def cache_parameter(model: Any) -> str | None:
    """Under which name the model takes keys and values of earlier tokens; None if it takes none.

    transformers 5.24 names it `cache` in most models, and takes the old name no longer from 5.40
    on. The state of a state-space model has the new name too.
    """
    known = inspect.signature(model.forward).parameters
    if "past_key_values" in known:
        return "past_key_values"
    stateful = getattr(model, "_is_stateful", False)
    return "cache" if "cache" in known and not stateful else None
