"""The rows of a batch that are still written, and the model's state after them."""

from collections.abc import Sequence
from typing import Any

import torch

from dataselect.scoring.decoding_cache import roomy_cache


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
        self._extra = {**extra, cache_name: self.cache}

    def logits(self) -> torch.Tensor:
        """Of the token after each row, (rows, vocabulary), float32."""
        found = self.model(
            input_ids=self._ids,
            attention_mask=self.mask(self._ids.shape[1]),
            position_ids=self._positions,
            use_cache=True,
            **self._extra,
        )
        last: torch.Tensor = found.logits[:, -1]
        return last.float()

    def mask(self, new: int) -> torch.Tensor:
        """What the last `new` tokens see, as the model takes it: here 1 for each that is no
        padding."""
        return self.shown

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
