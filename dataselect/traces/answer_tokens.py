"""Find the tokens of an answer among all tokens of a generation, exact to the byte.

A server's `logprobs` may list more tokens than its `content` shows:

- hidden thinking. A reasoning parser takes it out of the text, but not out of the list, so the
  answer is the suffix of the tokens that spells the text. Thinking may hold the answer's text
  too; only the suffix counts;
- whitespace around the text, which servers strip, also from the first and the last token;
- end tokens, at most a few, after the text;
- empty tokens before a character that the model wrote as several tokens: vLLM reports the whole
  character at the last of them. It then has the mean of all, as everywhere. What is shown before it
  there, mostly a space, was in the first of them.

Nothing else may follow the suffix, and it must be the only one, so a list that holds the thinking
alone is refused rather than read in its place. Not here: what probability each letter has
(`alignment`).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from dataselect.traces.alignment import (
    REPLACED,
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
    probability,
    spelt_by,
)

_SPACE = b" \t\r\n"
_END_TOKEN = re.compile(
    r"(?:<[|｜](?![^<>]*(?:think|thought|reason|channel|message|start))[^<>]{1,40}[|｜]>"
    r"|</s>|<(?:eos|EOS|end_of_turn|turn\||end_of_utterance)>|\[EOS\])\Z".encode()
)
_LONGEST_END_TOKEN = 64
_MOST_END_TOKENS = 4
_MOST_AFTER = 8
_THINKING = re.compile(rb"think|thought|reasoning", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerTokens:
    """The tokens of an answer; the first and the last one without what the text does not show."""

    tokens: tuple[ServerToken, ...]
    """They spell the text; `completion_letter_probabilities` aligns them."""

    hidden: int
    """How many tokens of hidden thinking come before; whitespace alone is none."""

    before: tuple[ServerToken, ...] = ()
    """All tokens before, with whitespace and tags, the last one without what is the answer's."""


def answer_tokens(content: str, tokens: Sequence[ServerToken]) -> AnswerTokens:
    """The tokens that spell `content`.

    Raises AlignmentError when none do, and when more than one run of tokens does.
    """
    pieces = [spelt_by(token) for token in tokens]
    try:
        data = content.encode()
    except UnicodeEncodeError as error:
        raise AlignmentError("the answer holds half of a surrogate pair") from error
    spelt = b"".join(pieces)
    if data.strip(_SPACE):
        found = set(_suffixes(data, spelt)) or set(_split_suffixes(content, tokens, pieces))
        if len(found) > 1:
            raise AlignmentError("several runs of its tokens spell its answer")
        if found:
            cut = _cut(tokens, pieces, *found.pop())
            return replace(cut, tokens=join_split_letters(data, cut.tokens))
    # Raises where the tokens do not begin with the answer either.
    completion_letter_probabilities(content, tokens)
    _refuse_more(data, pieces)
    return AnswerTokens(join_split_letters(data, tokens), 0)


def _ends(spelt: bytes) -> Iterator[int]:
    """Where the answer may end in `spelt`: before whitespace and up to a few end tokens."""
    end = len(spelt)
    for _ in range(_MOST_END_TOKENS + 1):
        yield end
        end = len(spelt[:end].rstrip(_SPACE))
        token = _end_token(spelt[:end])
        if token == 0:
            return
        end -= token


def _end_token(spelt: bytes) -> int:
    """The bytes of the end token at the end of `spelt`; 0 without one."""
    first = max(0, len(spelt) - _LONGEST_END_TOKEN)
    # The last opening mark, because an answer may hold others before.
    opening = max(spelt.rfind(b"<", first), spelt.rfind(b"[", first))
    if opening < 0:
        return 0
    match = _END_TOKEN.match(spelt, opening)
    return 0 if match is None else len(match.group())


def _suffixes(data: bytes, spelt: bytes) -> Iterator[tuple[int, int]]:
    """The ranges of `spelt` that are `data` and may be the answer."""
    body = data.rstrip(_SPACE)
    space = data[len(body) :]
    for end in _ends(spelt):
        shown = spelt[:end].rstrip(_SPACE)
        if shown.endswith(body) and spelt[len(shown) : end].startswith(space):
            start = len(shown) - len(body)
            yield start, start + len(data)


def _split_suffixes(
    content: str, tokens: Sequence[ServerToken], pieces: Sequence[bytes]
) -> Iterator[tuple[int, int]]:
    """As `_suffixes`, where some tokens do not show all their bytes (`alignment`)."""
    data = content.encode()
    # An answer that begins within a split letter has no place that is certain.
    if data[0] >= 0x80:
        return
    spelt = b"".join(pieces)
    offsets = [0, *accumulate(map(len, pieces))]
    body = content.rstrip(_SPACE.decode())
    ends = {len(spelt[:end].rstrip(_SPACE)) for end in _ends(spelt)}
    for index, piece in enumerate(pieces):
        for at in range(len(piece)):
            literal = piece[at:].split(REPLACED)[0]
            if not literal or not (data.startswith(literal) or literal.startswith(data)):
                continue
            for end in ends:
                start = offsets[index] + at
                if start >= end:
                    continue
                cut = _cut(tokens, pieces, start, end).tokens
                try:
                    completion_letter_probabilities(body, cut, whole=True)
                except AlignmentError as error:
                    if "several ways" in str(error):
                        raise
                    continue
                yield start, end + len(content.encode()) - len(body.encode())


def _cut(
    tokens: Sequence[ServerToken], pieces: Sequence[bytes], start: int, end: int
) -> AnswerTokens:
    """The tokens that spell bytes `start` to `end`, with the empty ones between them."""
    kept: list[ServerToken] = []
    before: list[ServerToken] = []
    hidden, at = 0, 0
    for token, piece in zip(tokens, pieces, strict=True):
        first, last = max(at, start), min(at + len(piece), end)
        if last > first:
            whole = last - first == len(piece)
            shown = piece[first - at : last - at]
            kept.append(
                token
                if whole
                else ServerToken(shown.decode("utf-8", "replace"), shown, token.logprob)
            )
        elif not piece and start <= at < end:
            kept.append(token)
        if at < start:
            shown = piece[: start - at]
            hidden += bool(shown.strip(_SPACE))
            whole = len(shown) == len(piece)
            text = shown.decode("utf-8", "replace")
            before.append(token if whole else ServerToken(text, shown, token.logprob))
        at += len(piece)
    return AnswerTokens(tuple(kept), hidden, tuple(before))


def join_split_letters(data: bytes, tokens: Sequence[ServerToken]) -> tuple[ServerToken, ...]:
    """The tokens of `data`, with letters of several tokens that the last one shows taken out of it.

    Such a letter is a token of its own here, with the mean probability of its parts.
    """
    pieces = [spelt_by(token) for token in tokens]
    # A server that shows the bytes of a part leaves no part out.
    if not b"".join(pieces).startswith(data) or not all(map(_is_text, pieces)):
        return tuple(tokens)
    joined: list[ServerToken] = []
    empty: list[ServerToken] = []
    for token in tokens:
        shown = spelt_by(token)
        if not shown:
            empty.append(token)
            continue
        joined += _apart([*empty, token], shown.decode())
        empty = []
    return (*joined, *empty)


def _apart(run: Sequence[ServerToken], text: str) -> Iterator[ServerToken]:
    """Tokens of a run whose last one shows the `text` of all, each with what it holds of that.

    Every token but the last ends within a letter, which then has the mean of its parts. Which
    letter is not shown: it is taken to be the first that can be split, as long as it has bytes.
    """
    *_, last = run
    split = next((at for at, letter in enumerate(text) if not letter.isascii()), None)
    if len(run) == 1 or split is None:
        # An empty token before ASCII is something else than a part.
        yield from run
        return
    if split:
        yield _part_of(text[:split], run[0])
    at, first, ends = split, 0, len(run) - 1
    while ends and at < len(text) and not text[at].isascii():
        held = min(ends, len(text[at].encode()) - 1)
        ends -= held
        # The last split letter has all that is left.
        following = at + 1 < len(text) and not text[at + 1].isascii()
        parts = run[first : first + held + 1] if ends and following else run[first:]
        data = text[at].encode()
        yield ServerToken(text[at], data, _mean(parts))
        at, first = at + 1, first + held
        if not following:
            break
    if text[at:]:
        yield _part_of(text[at:], last)


def _part_of(text: str, token: ServerToken) -> ServerToken:
    return ServerToken(text, text.encode(), token.logprob)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mean(parts: Sequence[ServerToken]) -> float | None:
    """The logarithm of the parts' mean probability; None when no part has one."""
    found = [p for part in parts if not math.isnan(p := probability(part))]
    mean = math.fsum(found) / len(found) if found else 0.0
    return math.log(mean) if mean > 0 else None


def _refuse_more(data: bytes, pieces: Sequence[bytes]) -> None:
    """Raise AlignmentError where what follows the answer is too much for an end token."""
    spelt = b"".join(pieces)
    if not spelt.startswith(data):
        return
    offsets = [0, *accumulate(map(len, pieces))]
    after = sum(start >= len(data) for start, piece in zip(offsets, pieces, strict=False) if piece)
    if after > _MOST_AFTER or _THINKING.search(spelt, len(data)):
        raise AlignmentError(f"{after} more tokens follow the answer's end")
