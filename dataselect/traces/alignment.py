"""Assign each letter of a chat completion the probability of its token, exact to the byte.

A server reports a completion twice: as text, and as a list of tokens with log-probabilities. The
tokens' bytes must spell the text's UTF-8 bytes, so that a letter never silently gets a wrong
probability. A letter (a Unicode character) that several tokens share has the mean of their
probabilities.

Servers differ in how they report a token that holds only part of a character:

- the API's own `bytes` are exact;
- servers that decode each token alone write U+FFFD for the part (vLLM; its `bytes` are those of
  U+FFFD) or leave it out, so that the token is empty (llama-cpp-python, `bytes` null).

The last two leave gaps. A run of such tokens must fill the gap between neighbours that match to
the byte, only with bytes of non-ASCII characters, and in exactly one way; each letter in the gap
then has the mean of the run's probabilities. Where the run has too few tokens to hold all parts of
its letters, the token before it holds the first part besides the letters that it shows, and counts
too. So does a single space there, because tokenizers join it to the first bytes of what follows,
unless every byte has a token of its own. Where a server reports a whole character at its last
token, and empty tokens before, that token alone gives the probability; `answer_tokens` has them
share it first.

Tokens that begin exactly at the text's end (an end token, a stop sequence) are ignored. Not here:
text that is stripped or comes after hidden thinking (`answer_tokens`), and which letters are
reasoning (`completion`).
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby, zip_longest

import numpy as np
import numpy.typing as npt

_MISSING = -9999.0
_ROUNDING = 1e-3
REPLACED = "\ufffd".encode()
"""What servers write for a byte that is no whole character."""
_RUNS = re.compile(b"((?:" + REPLACED + b")+)")
_ASCII = re.compile(rb"[\x00-\x7f]")
_SHOWN = 20
# vLLM's --return-tokens-as-token-ids, and servers that print integers.
_NUMBER = re.compile(rb"(?:token_id:)?\d+")
_VOCABULARY_MARKS = {"Ġ": " ", "Ċ": "\n", "▁": " ", "<0x0A>": "\n"}


class AlignmentError(ValueError):
    """The tokens that a server reported do not match its text; the message says why."""


@dataclass(frozen=True)
class ServerToken:
    """One generated token as the server reported it."""

    text: str
    """The token as text."""

    data: bytes | None
    """The token's bytes; None when the server gives none."""

    logprob: float | None
    """In nats; unknown when None or the API's -9999 ("not among the 20 most likely")."""


@dataclass(frozen=True)
class _Part:
    """Known bytes, or a gap between them."""

    tokens: tuple[int, ...]
    """Positions of the tokens that spell this part."""

    literal: bytes | None
    """The bytes; None for a gap."""

    low: int = 0
    """The fewest bytes that a gap holds."""

    high: int = 0
    """The most bytes that a gap holds."""


def completion_letter_probabilities(
    content: str, tokens: Sequence[ServerToken], *, whole: bool = False
) -> npt.NDArray[np.float64]:
    """Probability of each letter of `content`, shape (len(content),); NaN for none.

    With `whole`, no token may follow the content's end. Raises AlignmentError when the tokens do
    not spell the content or a log-probability is invalid.
    """
    probs = [probability(token) for token in tokens]
    try:
        data = content.encode()
    except UnicodeEncodeError as error:
        raise AlignmentError("the answer holds half of a surrogate pair") from error
    pieces = [spelt_by(token) for token in tokens]
    ranges = _exact(data, pieces)
    if ranges is None:
        hidden = {i for i, token in enumerate(tokens) if token.data is None and not token.text}
        ranges = _with_gaps(data, pieces, hidden)
        if ranges is not None and not any(REPLACED in piece for piece in pieces):
            ranges = _with_neighbours(data, pieces, ranges, sorted(hidden))
    if ranges is None:
        raise AlignmentError(_difference(data, pieces))
    last = max((end for _, end in ranges), default=0)
    after = [
        piece for piece, (start, end) in zip(pieces, ranges, strict=True) if start == end == last
    ]
    if whole and any(after):
        raise AlignmentError("more tokens follow the answer's end")
    letter_of_byte = np.repeat(np.arange(len(content)), [len(c.encode()) for c in content])
    total, count = np.zeros(len(content)), np.zeros(len(content))
    for (start, end), p in zip(ranges, probs, strict=True):
        if end > start and not np.isnan(p):
            letters = slice(letter_of_byte[start], letter_of_byte[end - 1] + 1)
            total[letters] += p
            count[letters] += 1
    with np.errstate(invalid="ignore"):
        return total / count


def spelt_by(token: ServerToken) -> bytes:
    """The bytes that a token shows."""
    return token.text.encode("utf-8", "surrogatepass") if token.data is None else token.data


def probability(token: ServerToken) -> float:
    """The token's probability; NaN when unknown. Raises AlignmentError for no log-probability."""
    logprob = token.logprob
    if logprob is None or logprob <= _MISSING:
        return np.nan
    # This form refuses NaN too.
    if not logprob <= _ROUNDING:
        guess = ", as if the server gave probabilities instead of their logarithms"
        raise AlignmentError(
            f"token {token.text!r} has log-probability {logprob}, not below 0"
            + (guess if 0 < logprob <= 1 else "")
        )
    # A tiny positive value is rounding.
    return float(np.exp(min(logprob, 0.0)))


def _exact(data: bytes, pieces: Sequence[bytes]) -> list[tuple[int, int]] | None:
    """Each token's range of `data` when the tokens spell it exactly; else None."""
    ranges, at = [], 0
    for piece in pieces:
        end = at if at == len(data) else at + len(piece)
        if end > at and data[at:end] != piece:
            return None
        ranges.append((at, end))
        at = end
    return ranges if at == len(data) else None


def _with_gaps(
    data: bytes, pieces: Sequence[bytes], hidden: Set[int]
) -> list[tuple[int, int]] | None:
    """Each token's range of `data` when some tokens do not show all their bytes.

    `hidden` are the positions of empty tokens that may stand for bytes. None when nothing fits.
    Raises AlignmentError when more than one way fits.
    """
    parts = _parts(pieces, hidden)
    # After each number of parts: {bytes of data used: (ways, bytes used one part before)}.
    reached: list[dict[int, tuple[int, int]]] = [{0: (1, 0)}]
    ways, used = 0, 0
    for part, following in zip_longest(parts, parts[1:]):
        after: dict[int, tuple[int, int]] = {}
        for at, (count, _) in reached[-1].items():
            # Parts after the end of the text match nothing.
            for end in _ends(data, at, part) if at < len(data) else ():
                after[end] = (after.get(end, (0, 0))[0] + count, at)
        reached.append(after)
        if not after:
            break
        if len(data) in after and (following is None or following.tokens[0] != part.tokens[-1]):
            ways, used = ways + after[len(data)][0], len(reached) - 1
    if ways == 0:
        return None
    if ways > 1:
        raise AlignmentError("its split characters fit the tokens in several ways")
    ranges = [(len(data), len(data))] * len(pieces)
    end = len(data)
    for index in range(used, 0, -1):
        start = reached[index][end][1]
        for token in parts[index - 1].tokens:
            first, last = ranges[token]
            # A token of several parts has the end of its last part already.
            ranges[token] = (start, last if first < last else end)
        end = start
    return ranges


def _with_neighbours(
    data: bytes,
    pieces: Sequence[bytes],
    ranges: Sequence[tuple[int, int]],
    hidden: Sequence[int],
) -> list[tuple[int, int]]:
    """`ranges` with the tokens beside a gap that must hold a part of its letters.

    No token of a gap holds a whole letter, so n letters have parts in n + 1 tokens or more.
    """
    wider = list(ranges)
    for (start, end), run in groupby(hidden, key=lambda token: ranges[token]):
        tokens = list(run)
        letters = sum(byte & 0xC0 != 0x80 for byte in data[start:end])
        absent = letters + 1 - len(tokens) if start < end else 0
        before, after = tokens[0] - 1, tokens[-1] + 1
        alone = before >= 0 and pieces[before] == b" "
        if absent <= 0 and alone and len(tokens) < end - start:
            absent = 1
        if absent > 0 and before >= 0:
            wider[before] = (wider[before][0], start + 1)
            absent -= 1
        if absent > 0 and after < len(ranges):
            wider[after] = (end - 1, wider[after][1])
    return wider


def _parts(pieces: Sequence[bytes], hidden: Set[int]) -> list[_Part]:
    """The tokens' literal bytes and the gaps between them."""
    # A server that writes U+FFFD does not also omit parts.
    if any(REPLACED in piece for piece in pieces):
        hidden = frozenset()
    parts: list[_Part] = []
    for token, piece in enumerate(pieces):
        if token in hidden:
            # A letter is split over at least two tokens, so n empty ones touch n + 1 letters.
            _add_gap(parts, token, 0, 4 if _in_gap(parts) else 8)
        for part in filter(None, _RUNS.split(piece)):
            if part.startswith(REPLACED):
                # One U+FFFD stands for one to three bytes of a character.
                marks = len(part) // len(REPLACED)
                _add_gap(parts, token, marks, 3 * marks)
            else:
                parts.append(_Part((token,), part))
    return parts


def _in_gap(parts: list[_Part]) -> bool:
    return bool(parts) and parts[-1].literal is None


def _add_gap(parts: list[_Part], token: int, low: int, high: int) -> None:
    tokens: tuple[int, ...] = (token,)
    if _in_gap(parts):
        last = parts.pop()
        tokens, low, high = (*last.tokens, token), last.low + low, last.high + high
    parts.append(_Part(tokens, None, low, high))


def _ends(data: bytes, at: int, part: _Part) -> Sequence[int]:
    """Where in `data` the part may end when it begins at `at`."""
    if part.literal is not None:
        return [at + len(part.literal)] if data.startswith(part.literal, at) else []
    ascii_letter = _ASCII.search(data, at)
    limit = len(data) if ascii_letter is None else ascii_letter.start()
    return range(at + part.low, min(at + part.high, limit) + 1)


def _difference(data: bytes, pieces: Sequence[bytes]) -> str:
    if not pieces:
        return "the server gave no tokens for its answer"
    if all(_NUMBER.fullmatch(piece) for piece in pieces):
        return f"the server gives the numbers of its tokens, {_shown(pieces[0])}, not their text"
    spelt = b"".join(pieces)
    at = next(
        (i for i, (a, b) in enumerate(zip(data, spelt, strict=False)) if a != b),
        min(len(data), len(spelt)),
    )
    if at == len(spelt):
        return f"the tokens spell only {at} of the answer's {len(data)} bytes"
    if at == len(data):
        return "the last token extends beyond the answer's end"
    # From the beginning of the letter that differs.
    while at > 0 and data[at] & 0xC0 == 0x80:
        at -= 1
    letter = len(data[:at].decode())
    for mark, of in _VOCABULARY_MARKS.items():
        if spelt.startswith(mark.encode(), at) and data.startswith(of.encode(), at):
            return (
                f"the server gives its tokens as its vocabulary writes them, {mark!r} for {of!r},"
                " not as text"
            )
    expected = data[at:].decode()[:_SHOWN]
    got = spelt[at : at + 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]
    return f"at letter {letter} the answer has {expected!r} and the tokens spell {got!r}"


def _shown(piece: bytes) -> str:
    return repr(piece.decode("utf-8", "replace")[:_SHOWN])
