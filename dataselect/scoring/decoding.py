"""Greedy decoding in batches, with the probability of every emitted token.

Why not `model.generate`: its per-step bookkeeping costs more than a tiny model's forward pass,
it keeps finished rows in the batch, and it returns scores of the whole vocabulary where one
number per token is needed. Prompts of similar length are batched, left-padded with true position
ids and an attention mask; finished rows leave the batch and its key-value cache. What prompts of a
batch begin with is kept once (`shared_prefix`), where the model allows it.

Not here: sampling, beam search, and the use of continuations (see `generation` and
`dataselect.scoring.local_frontier`).
"""

import inspect
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from dataselect.corpus.saved_tokenizer import plain_ids, special_tokens_before
from dataselect.errors import InputError
from dataselect.scoring.advance import advance
from dataselect.scoring.decoding_cache import cache_parameter, takes_cache
from dataselect.scoring.decoding_rows import PaddedRows
from dataselect.scoring.likelihood.packing import alike
from dataselect.scoring.model_facts import position_limit
from dataselect.scoring.most_probable import most_probable
from dataselect.scoring.packed_layers import packed_layers
from dataselect.scoring.prefix_cache import UnfitError

if TYPE_CHECKING:
    from dataselect.scoring.shared_prefix import Prefix

_log = logging.getLogger("dataselect")

# Fewer rows gain less by a shared beginning than they lose by standing in a batch of their own.
_FEWEST = 8
_SHORTEST = 16


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


def takes_logits_to_keep(model: Any) -> bool:
    """Whether the model can return the logits of chosen positions only."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters


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
    was_training = model.training
    model.to(device).eval()
    done = 0
    try:
        with torch.inference_mode(), packed_layers(model):
            for shared, chosen in _batches(rows, batch_size):
                batch = [_Row(rows[i], most[i], least[i]) for i in chosen]
                written = decoder.run(batch, shared)
                for i, asked, found in zip(chosen, batch, written, strict=True):
                    # A NaN spreads to padded rows, so what is broken is written again alone.
                    each = found if found.finite or len(batch) == 1 else decoder.run([asked])[0]
                    text = decoder.stopping.cut(each.ids, rows[i][-1])
                    results[i] = Continuation(
                        text, tuple(each.ids), tuple(each.chances), each.finite
                    )
                done += len(chosen)
                advance(done, len(rows))
    finally:
        model.train(was_training)
    return [result for result in results if result is not None]


def _batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[tuple[int, list[int]]]:
    """Rows of each batch, with how many tokens all of them begin with; 0 is none worth sharing."""
    numbers: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(tuple(row), []).append(number)
    groups: list[tuple[int, list[int]]] = []
    others: list[int] = []
    for length, texts in alike(sorted(numbers)):
        members = [number for text in texts for number in numbers[text]]
        # A row keeps its last token, which predicts; a text alone is one that several rows have.
        shared = length if len(texts) > 1 else len(texts[0]) - 1
        if shared >= _SHORTEST and len(members) >= _FEWEST:
            groups.append((shared, members))
        else:
            others += members
    for shared, members in [*groups, (0, others)]:
        members.sort(key=lambda i: (len(rows[i]), i))
        for first in range(0, len(members), size):
            yield shared, members[first : first + size]


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


@dataclass
class _Decoder:
    """Settings that all batches of a run share."""

    model: Any
    limit: int | None
    ends: frozenset[int]
    stopping: "_Stopping"
    device: str
    prefix: "Prefix | None" = None
    """The last shared beginning, which the next batch may have too."""
    shares: bool | None = None
    """Whether the model can share beginnings; None until it was tried."""

    def run(self, batch: list[_Row], shared: int = 0) -> list[_Written]:
        """The emitted tokens and their probabilities for each row.

        All rows begin with the same `shared` tokens, and have at least one more.
        """
        name = cache_parameter(self.model)
        if name is None or not takes_cache(self.model):
            return [self._alone(row) for row in batch]
        if shared and self.shares is not False:
            from dataselect.scoring.shared_prefix import PrefixedRows, attending

            rests = [row.ids[shared:] for row in batch]
            try:
                prefix = self._prefix(tuple(batch[0].ids[:shared]), rests, name)
                with attending(self.model, prefix):
                    rows = PrefixedRows(self.model, prefix, rests, name, self.device, self._extra)
                    return self._written(batch, rows)
            except UnfitError as error:
                self._cannot_share(str(error))
        whole = [row.ids for row in batch]
        return self._written(batch, PaddedRows(self.model, whole, name, self.device, self._extra))

    def _prefix(self, ids: tuple[int, ...], rests: list[list[int]], name: str) -> "Prefix":
        """What all rows begin with, before their rests, shortest first.

        Raises UnfitError if the model cannot share it.
        """
        from dataselect.scoring.shared_prefix import prefix_of, tried_prefix

        if self.shares is None:
            # The shortest, which is padded beside the longest.
            ends = [rests[0], rests[-1]]
            self.prefix = tried_prefix(self.model, ids, ends, name, self.device, self._extra)
            self.shares = True
        elif self.prefix is None or self.prefix.ids != ids:
            self.prefix = prefix_of(self.model, ids, self.device)
        return self.prefix

    @property
    def _extra(self) -> dict[str, Any]:
        return {"logits_to_keep": 1} if takes_logits_to_keep(self.model) else {}

    def _cannot_share(self, why: str) -> None:
        self.shares, self.prefix = False, None
        _log.info(
            "%s cannot share what prompts begin with, so each has its own copy (%s)",
            type(self.model).__name__,
            why,
        )

    def _written(self, batch: list[_Row], rows: PaddedRows) -> list[_Written]:
        written = [_Written() for _ in batch]
        present = list(range(len(batch)))  # the prompt of each row of the tensors
        done: set[int] = set()
        for _ in range(max(row.most for row in batch)):
            token, chance = most_probable(rows.logits())
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
                rows.keep(slots)
                token = token[slots]
                present = [present[slot] for slot in running]
            rows.append(token, self.limit)
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
