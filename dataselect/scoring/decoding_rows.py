"""The rows of a batch that are still written, and the model's state after them."""

from collections.abc import Sequence
from typing import Any

import torch

from dataselect.scoring.decoding_cache import RoomyLayer, roomy_cache

# Tokens that are read at once: what they need on the way should fit a core's cache. A GPU needs
# more of them.
_TOKENS = 1024
_TOKENS_ELSEWHERE = 1 << 16


class PaddedRows:
    """Rows of tokens, padded on the left; one token more at each step."""

    def __init__(
        self,
        model: Any,
        rows: Sequence[Sequence[int]],
        cache_name: str,
        device: str,
        extra: dict[str, Any],
        before: int = 0,
    ) -> None:
        """None of `rows` is empty; `before` tokens stand in front of each, `extra` goes to each
        call of the model."""
        self.model = model
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        shown = torch.zeros(len(rows), width, dtype=torch.long)
        for r, row in enumerate(rows):
            ids[r, width - len(row) :] = torch.tensor(row)
            shown[r, width - len(row) :] = 1
        self._ids, self.shown = ids.to(device), shown.to(device)
        self._positions = (self.shown.cumsum(1) - 1).clamp(min=0) + before
        self.cache = roomy_cache(model)
        self._extra, self._cache_name = extra, cache_name

    def logits(self) -> torch.Tensor:
        """Of the token after each row, (rows, vocabulary), float32."""
        rows, width = self._ids.shape
        most = _TOKENS if self._ids.device.type == "cpu" else _TOKENS_ELSEWHERE
        step = max(1, most // width)
        layers = self.cache.layers
        can_join = bool(layers) and all(type(layer) is RoomyLayer for layer in layers)
        if step >= rows or width == 1 or not can_join:
            return self._call(self._ids, self.shown, self._positions, self.cache)
        found, caches = [], []
        for at in range(0, rows, step):
            part = slice(at, at + step)
            # Rows of a part are padded to its longest alone.
            first = int(self.shown[part].any(0).int().argmax())
            caches.append(roomy_cache(self.model))
            ids, shown, positions = (
                each[part, first:] for each in (self._ids, self.shown, self._positions)
            )
            found.append(self._call(ids, shown, positions, caches[-1]))
        for number, layer in enumerate(layers):
            layer.begin([cache.layers[number] for cache in caches], width)
            for cache in caches:
                cache.layers[number] = None  # its memory is free
        return torch.cat(found)

    def _call(
        self, ids: torch.Tensor, shown: torch.Tensor, positions: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        found = self.model(
            input_ids=ids,
            attention_mask=self.mask(shown, ids.shape[1]),
            position_ids=positions,
            use_cache=True,
            **{**self._extra, self._cache_name: cache},
        )
        last: torch.Tensor = found.logits[:, -1]
        return last.float()

    def mask(self, shown: torch.Tensor, new: int) -> torch.Tensor:
        """What the last `new` tokens see, as the model takes it; `shown` is 1 for each token that
        is no padding, (rows, tokens), which is such a mask here."""
        return shown

    def keep(self, slots: torch.Tensor) -> None:
        """Drop all rows but these."""
        self.cache.batch_select_indices(slots)
        self.shown, self._positions = self.shown[slots], self._positions[slots]

    def append(self, token: torch.Tensor, limit: int | None) -> None:
        """A token more for each row; positions stay below `limit`, if there is one."""
        self._ids = token[:, None]
        self.shown = torch.cat([self.shown, self.shown.new_ones(len(token), 1)], 1)
        positions = self._positions[:, -1:] + 1
        # Only finished rows reach the limit: a learned position table has an end.
        self._positions = positions if limit is None else positions.clamp(max=limit - 1)
