"""Greedy decoding in batches, with the probability of every emitted token.

Why not `model.generate`: its per-step bookkeeping costs more than a tiny model's forward pass,
it keeps finished rows in the batch, and it returns scores of the whole vocabulary where one
number per token is needed. Prompts of similar length are batched, left-padded with true position
ids and an attention mask; finished rows leave the batch and its key-value cache.

Not here: sampling, beam search, and the use of continuations (see `generation` and
`dataselect.scoring.local_frontier`).
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from dataselect.corpus.saved_tokenizer import plain_ids, special_tokens_before
from dataselect.errors import InputError
from dataselect.scoring.advance import advance


@dataclass(frozen=True)
class Continuation:
    """A model's output after a prompt."""

    text: str
    """Decoded, up to the first stop string."""
    ids: tuple[int, ...]
    """Emitted tokens, without the end token."""
    probabilities: tuple[float, ...]
    """The model's probability of each emitted token."""
    finite: bool = True
    """Whether the model gave every probability, that of an end token included, as a finite number;
    if not, the text ends before the first that is none."""


def position_limit(model: Any) -> int | None:
    """The longest input in tokens that the model's configuration allows; None without a limit."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = getattr(model.config, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def takes_logits_to_keep(model: Any) -> bool:
    """Whether the model can return the logits of chosen positions only."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters


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


def greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int | Sequence[int],
    stop: Sequence[str] = (),
    *,
    stop_from: int | Sequence[int] = 0,
    device: str = "cpu",
    batch_size: int = 128,
) -> list[Continuation]:
    """Continue every prompt with the most probable token until a stop string, EOS or the limit.

    `max_new_tokens` and `stop_from` are one number for all prompts or a sequence with one for each.
    A stop string ends a row only once it has `stop_from` tokens; its text always ends before the
    first stop string. A row also ends at the model's position limit. Raises InputError for an
    empty prompt, or one that leaves no room for a token.
    """
    opening = special_tokens_before(tokenizer)
    encoded = plain_ids(tokenizer, prompts)
    rows = [opening + list(ids) for ids in encoded]
    most, least = _for_each(max_new_tokens, rows), _for_each(stop_from, rows)
    decoder = _Decoder(
        model,
        position_limit(model),
        _end_ids(model, tokenizer),
        _Stopping(tokenizer, tuple(stop)),
        device,
    )
    limit = decoder.limit
    for index, row in enumerate(rows):
        if not row:
            raise InputError(f"prompt {index}", "it is empty", "give every prompt some text")
        if limit is not None and len(row) >= limit:
            raise InputError(
                f"prompt {index}",
                f"it has {len(row)} tokens and the model takes {limit}",
                "use fewer worked examples or a model with a longer context",
            )
    results: list[Continuation | None] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            for first in range(0, len(order), batch_size):
                chosen = order[first : first + batch_size]
                batch = [_Row(rows[i], most[i], least[i]) for i in chosen]
                for i, asked, found in zip(chosen, batch, decoder.run(batch), strict=True):
                    # A NaN spreads to padded rows, so what is broken is written again alone.
                    written = found if found.finite or len(batch) == 1 else decoder.run([asked])[0]
                    text = decoder.stopping.cut(written.ids, rows[i][-1])
                    results[i] = Continuation(
                        text, tuple(written.ids), tuple(written.chances), written.finite
                    )
                advance(first + len(chosen), len(order))
    finally:
        model.train(was_training)
    return [result for result in results if result is not None]


def _for_each(value: int | Sequence[int], rows: Sequence[object]) -> list[int]:
    return [value] * len(rows) if isinstance(value, int) else list(value)


@dataclass(frozen=True)
class _Row:
    """A prompt and its limits."""

    ids: list[int]
    most: int
    """Tokens that may follow."""
    stop_from: int
    """Tokens after which stop strings count."""


@dataclass
class _Written:
    """What was written after a prompt so far."""

    ids: list[int] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    """The probability of each token."""
    finite: bool = True
    """Whether no probability was NaN."""


@dataclass(frozen=True)
class _Decoder:
    """Settings that all batches of a run share."""

    model: Any
    limit: int | None
    ends: frozenset[int]
    stopping: "_Stopping"
    device: str

    def run(self, batch: list[_Row]) -> list[_Written]:
        """The emitted tokens and their probabilities for each row."""
        name = cache_parameter(self.model)
        if name is None or not takes_cache(self.model):
            return [self._alone(row) for row in batch]
        ids, mask = _left_padded([row.ids for row in batch], self.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = _roomy_cache(self.model)
        extra: dict[str, Any] = {name: cache}
        if takes_logits_to_keep(self.model):
            extra["logits_to_keep"] = 1
        written = [_Written() for _ in batch]
        present = list(range(len(batch)))  # the prompt of each row of the tensors
        done: set[int] = set()
        for _ in range(max(row.most for row in batch)):
            logits = (
                self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=True,
                    **extra,
                )
                .logits[:, -1]
                .float()
            )
            top, token = logits.max(-1)
            chance = (top - logits.logsumexp(-1)).exp().clamp(max=1.0)
            for row, emitted, p in zip(present, token.tolist(), chance.tolist(), strict=True):
                if row in done:
                    continue
                if math.isnan(p):
                    written[row].finite = False
                    done.add(row)
                    continue
                if emitted in self.ends:
                    done.add(row)
                    continue
                written[row].ids.append(emitted)
                written[row].chances.append(p)
                if self._is_over(batch[row], written[row].ids):
                    done.add(row)
            running = [slot for slot, row in enumerate(present) if row not in done]
            if not running:
                break
            # Dropping rows copies the whole cache, so it waits until a quarter of them are done.
            if len(running) <= 0.75 * len(present):
                slots = torch.tensor(running, device=self.device)
                cache.batch_select_indices(slots)
                token, mask, positions = token[slots], mask[slots], positions[slots]
                present = [present[slot] for slot in running]
            ids = token[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            positions = positions[:, -1:] + 1
            if self.limit is not None:
                # Only finished rows reach this: a learned position table has an end.
                positions = positions.clamp(max=self.limit - 1)
        return written

    def _alone(self, row: _Row) -> _Written:
        """As `run` for one row, without padding or cache: the whole text again for each token."""
        written = _Written()
        while True:
            ids = torch.tensor([[*row.ids, *written.ids]], device=self.device)
            logits = self.model(input_ids=ids, use_cache=False).logits[0, -1].float()
            top, token = logits.max(-1)
            chance = float((top - logits.logsumexp(-1)).exp().clamp(max=1.0))
            if math.isnan(chance):
                written.finite = False
                break
            if int(token) in self.ends:
                break
            written.ids.append(int(token))
            written.chances.append(chance)
            if self._is_over(row, written.ids):
                break
        return written

    def _is_over(self, row: _Row, written: list[int]) -> bool:
        """Whether nothing may follow what was written."""
        return (
            len(written) == row.most
            or len(row.ids) + len(written) == self.limit
            or self.stopping.reached(written, row.stop_from)
        )


def _left_padded(batch: list[list[int]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, batch))
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    for r, row in enumerate(batch):
        ids[r, width - len(row) :] = torch.tensor(row)
        mask[r, width - len(row) :] = 1
    return ids.to(device), mask.to(device)


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer that grows by many tokens at once.

    transformers' own layer concatenates, and so copies itself, at every token: a third of the
    decoding time of a tiny model.
    """

    room = 64
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
            self.capacity = new + self.room
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


def _roomy_cache(model: Any) -> Any:
    cache = DynamicCache(config=model.config)
    cache.layers = [_RoomyLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


class _Stopping:
    """Detects stop strings in continuations, decoding as seldom as possible."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(text for text in stop if text)
        self._can_end: dict[int, bool] = {}

    def reached(self, ids: list[int], least: int) -> bool:
        """Whether the last token completed a stop string, or one in the text counts from now on."""
        if not self._stop or len(ids) < least:
            return False
        if len(ids) > least and not self._may_end(ids[-1]):
            return False
        text = self._decode(ids)
        return any(stop in text for stop in self._stop)

    def cut(self, ids: list[int], before: int) -> str:
        """The decoded text before the first stop string; `before` is the prompt's last token."""
        text = self._decode(ids)
        # Some tokenizers drop a text's first space, and code needs its indent. Decoding with the
        # token before keeps it, unless that token ends within a character.
        ahead, whole = self._decode([before]), self._decode([before, *ids])
        if "\ufffd" not in ahead and whole.startswith(ahead):
            text = whole[len(ahead) :]
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        return text[: min(found)] if found else text

    def _may_end(self, token: int) -> bool:
        if token not in self._can_end:
            text = self._decode([token])
            # A token with only part of a character decodes to a replacement character.
            lasts = {stop[-1] for stop in self._stop} | {"\ufffd"}
            self._can_end[token] = any(last in text for last in lasts)
        return self._can_end[token]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured: Any = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    several: list[Any] = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*several, tokenizer.eos_token_id] if i is not None)
