"""The letters in each token of a text, exact to the byte.

Frontier probabilities belong to letters, a proxy's NLL to its tokens; these spans connect them. A
letter is a Unicode character; a token with only some bytes of a character counts that character.

The offsets that a tokenizer reports are not enough: some leave out the leading space, some give
zero width to a token that is part of a character. For byte-level BPE (GPT-2, Llama 3, OLMo, and
the tokenizers trained here) every token is a string of bytes, and these bytes must tile the text.
Only for other tokenizers are the offsets used, and then every letter must be in a token and the
tokens must decode to the text.

Not here: texts that a tokenizer rewrites before it splits them (NFC, lower case, spaces that are
dropped). They are refused, because their letters are no longer those that have probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dataselect.corpus.saved_tokenizer import plain_ids, special_tokens_before
from dataselect.scoring.line_tokens import LineTokens

Spans = npt.NDArray[np.int64]
Offsets = list[tuple[int, int]]


class RewrittenTextError(ValueError):
    """The tokenizer changes the letters of a text, so its tokens cannot be mapped to them."""


@dataclass(frozen=True)
class Aligned:
    """A continuation's tokens after its context."""

    context_ids: list[int]
    ids: list[int]
    """Tokens of the continuation."""
    joint: bool
    """False when a token merged over the join, so that the continuation was encoded alone."""
    find_spans: Callable[[], Spans]
    """Computes `spans`."""

    @property
    def spans(self) -> Spans:
        """Letters of the continuation in each token, half-open; shape (tokens, 2).

        Computed on demand, since most continuations need none.
        """
        return self.find_spans()


class Aligner:
    """Tokens of continuations after their contexts; repeated text is tokenised once.

    For many texts of one tokenizer, which must not change.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lines = LineTokens(tokenizer)
        self._opening = special_tokens_before(tokenizer)
        self._byte_level = _is_byte_level(tokenizer)
        self._bytes: dict[int, bytes | None] = {}

    def learn(self, context: str, continuations: Sequence[str]) -> None:
        """Tokenise in one call the texts that `align` will be called for next."""
        self._lines.learn(context, continuations)

    def align(self, context: str, continuation: str) -> Aligned:
        """Tokenise `context + continuation` together and locate the continuation.

        The context's tokens begin with those that the tokenizer puts before a text (a BOS, or
        nothing). Raises RewrittenTextError when the tokenizer changes the continuation.
        """
        ids, offsets = self._encode(context, continuation)
        tail = self._tail(ids, offsets, len(context), continuation)
        if tail is not None:
            first, find_spans = tail
            return Aligned(self._opening + ids[:first], ids[first:], True, find_spans)
        alone, offsets = self._encode("", continuation)
        tail = self._tail(alone, offsets, 0, continuation)
        if tail is None or tail[0] != 0:
            raise RewrittenTextError(
                "the tokenizer rewrites the text, so its letters cannot be found"
            )
        return Aligned(self._opening + self._encode(context, "")[0], alone, False, tail[1])

    def _encode(self, context: str, text: str) -> tuple[list[int], Offsets | None]:
        # Where tokens are bytes, their bytes are more exact than offsets.
        if self._byte_level or not getattr(self._tokenizer, "is_fast", False):
            return self._lines.ids(context, text), None
        encoded = self._tokenizer(
            context + text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        return list(encoded["input_ids"]), encoded["offset_mapping"]

    def _tail(
        self, ids: list[int], offsets: Offsets | None, join: int, continuation: str
    ) -> tuple[int, Callable[[], Spans]] | None:
        """First token of the continuation and its spans; None when no token begins at the join."""
        data = continuation.encode()
        # A token has at least one byte, so the continuation has at most this many tokens; the
        # context, most of the text, is skipped.
        before = max(len(ids) - len(data), 0)
        pieces = self._pieces(ids[before:])
        if pieces is not None:
            left, first = len(data), len(pieces)
            while left > 0 and first > 0:
                first -= 1
                left -= len(pieces[first])
            if left == 0 and b"".join(pieces[first:]) == data:
                return before + first, partial(_spans_of_pieces, pieces[first:], continuation)
        if offsets is None:
            return None
        first = next((i for i, (_, end) in enumerate(offsets) if end > join), len(offsets))
        if first == len(offsets) or offsets[first][0] < join:
            return None
        spans = np.array(offsets[first:], dtype=np.int64) - join
        if not _covers(spans, len(continuation)) or not self._spells(ids, first, continuation):
            return None
        return first, lambda: spans

    def _spells(self, ids: list[int], first: int, text: str) -> bool:
        """Whether the tokens from `first` on decode to `text`.

        Decoded after other tokens, since some decoders drop the first space of a text. Those before
        may end within a character, so more of them are taken until they do not.
        """
        before = ids[:first] or self._neutral
        for start in range(len(before) - 1, max(len(before) - 5, -1), -1):
            ahead = self._decode(before[start:])
            whole = self._decode([*before[start:], *ids[first:]])
            if "\ufffd" not in ahead and whole.startswith(ahead):
                return whole[len(ahead) :] == text
        return self._decode(ids[first:]) == text

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    @cached_property
    def _neutral(self) -> list[int]:
        """Tokens of an ordinary word, to decode others after."""
        return plain_ids(self._tokenizer, ["a"])[0]

    def _pieces(self, ids: list[int]) -> list[bytes] | None:
        """`token_bytes`, cached by token."""
        new = [token for token in dict.fromkeys(ids) if token not in self._bytes]
        if new:
            self._bytes.update(zip(new, _spelt(self._tokenizer, new), strict=True))
        return _all_spelt([self._bytes[token] for token in ids])


def _covers(spans: Spans, letters: int) -> bool:
    """Whether every one of the text's letters is in a token, and no token reaches beyond them."""
    held = np.zeros(letters + 1, dtype=np.int64)
    if len(spans) and (
        spans.min() < 0 or spans.max() > letters or (spans[:, 0] > spans[:, 1]).any()
    ):
        return False
    np.add.at(held, spans[:, 0], 1)
    np.add.at(held, spans[:, 1], -1)
    return bool((held.cumsum()[:-1] > 0).all())


def align(tokenizer: Any, context: str, continuation: str) -> Aligned:
    """A single continuation after its context; see `Aligner.align`."""
    return Aligner(tokenizer).align(context, continuation)


def decode(tokenizer: Any, ids: Sequence[int]) -> tuple[str, Spans]:
    """The text of emitted tokens and the letters of each token, shape (tokens, 2).

    An unfinished character at the end is left out, and its tokens hold no letter. Raises
    RewrittenTextError when the tokens' bytes are not UTF-8.
    """
    pieces = token_bytes(tokenizer, ids)
    if pieces is not None:
        data = b"".join(pieces)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                raise RewrittenTextError("the emitted bytes are not UTF-8") from error
            text = data[: error.start].decode("utf-8")
        whole = str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
        if whole.rstrip("\ufffd") == text:
            return text, _spans_of_pieces(pieces, text)
    ends = [
        len(tokenizer.decode(list(ids[:n]), clean_up_tokenization_spaces=False))
        for n in range(len(ids) + 1)
    ]
    text = str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
    # A replacement character may remove letters that shorter prefixes seemed to have.
    stops = np.minimum.accumulate(np.array(ends[::-1]))[::-1]
    return text, np.stack([stops[:-1], stops[1:]], axis=1).astype(np.int64)


def letter_probabilities(
    spans: Spans, token_probs: Sequence[float] | npt.NDArray[np.float64], letters: int
) -> npt.NDArray[np.float64]:
    """Probability of each letter, shape (letters,): the mean over the tokens that hold it.

    NaN for a letter that no token holds.
    """
    total, count = np.zeros(letters), np.zeros(letters)
    for (start, end), p in zip(spans, token_probs, strict=True):
        total[start:end] += p
        count[start:end] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def token_bytes(tokenizer: Any, ids: Sequence[int]) -> list[bytes] | None:
    """The bytes of each token, or None when one of them is not spelt in GPT-2's byte alphabet."""
    return _all_spelt(_spelt(tokenizer, ids))


def _all_spelt(pieces: list[bytes | None]) -> list[bytes] | None:
    return None if None in pieces else cast(list[bytes], pieces)


def _spelt(tokenizer: Any, ids: Sequence[int]) -> list[bytes | None]:
    alphabet = _byte_alphabet()
    added = getattr(tokenizer, "added_tokens_decoder", {})
    pieces: list[bytes | None] = []
    for token, name in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        if token in added:  # added tokens are stored literally, not in the byte alphabet
            pieces.append(added[token].content.encode())
        elif name is not None and all(letter in alphabet for letter in name):
            pieces.append(bytes(alphabet[letter] for letter in name))
        else:
            pieces.append(None)
    return pieces


def _spans_of_pieces(pieces: Sequence[bytes], text: str) -> Spans:
    """Letters of `text` in each piece; pieces behind the text have an empty span at its end."""
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    # UTF-8 continuation bytes begin with the bits 10.
    letters_before = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
    ends = np.minimum(np.cumsum([len(piece) for piece in pieces], dtype=np.int64), len(data))
    starts = np.concatenate([[0], ends])[:-1]
    held = ends > starts
    spans = np.stack([starts, ends], axis=1).astype(np.int64)
    spans[held, 0] = letters_before[starts[held] + 1] - 1
    spans[held, 1] = letters_before[ends[held]]
    spans[~held] = np.where(starts[~held] > 0, len(text), 0)[:, None]
    return spans


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in f"{getattr(backend, 'pre_tokenizer', '')}"


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: printable ones stand for themselves, others follow 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return alphabet
