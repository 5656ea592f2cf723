"""The tokens of a long text, made piece by piece, so that memory does not grow with it.

`tokenizers` holds some 160 bytes for each letter of a text while it works on it: 2 GB for one of
12 MB. So a long text is cut into pieces that share their ends. Where the tokens of two neighbours
agree, far from the end of either, they do not depend on where the pieces end, and the second
goes on for the first. Where they agree nowhere (one word of thousands of letters), the text is cut
there.
"""

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PIECE = 1 << 18
"""Characters of a piece; shorter texts are tokenised whole."""
SHARED = 1 << 12
"""Characters that a piece shares with the next one."""


def long_ids(tokenizer: "Tokenizer", text: str, most: int) -> "array[int]":
    """The ids of a text without special tokens; at least the first `most`, where it has more."""
    ids = array("I")
    start, begun, encoding = 0, 0, _encode(tokenizer, text[:PIECE])
    while start + PIECE < len(text) and len(ids) < most:
        following = start + PIECE - SHARED
        ahead = _encode(tokenizer, text[following : following + PIECE])
        meeting = _meeting(encoding, following - start, ahead)
        if meeting is None:
            following += SHARED // 2
            encoding = _encode(tokenizer, text[start:following])
            ahead = _encode(tokenizer, text[following : following + PIECE])
            meeting = len(encoding.ids), 0
        ended, resumed = meeting
        ids.extend(encoding.ids[begun:ended])
        start, begun, encoding = following, resumed, ahead
    ids.extend(encoding.ids[begun:])
    return ids


def _encode(tokenizer: "Tokenizer", text: str) -> "Encoding":
    return tokenizer.encode(text, add_special_tokens=False)


def _meeting(one: "Encoding", ahead: int, other: "Encoding") -> tuple[int, int] | None:
    """Numbers of the token in both pieces with which the other goes on; None without one.

    The other begins `ahead` characters after the one. Of all tokens that both have at the same
    place the one nearest to the middle of what they share is taken.
    """
    middle = SHARED // 2
    here = {
        (begin - ahead, end - ahead, word): number
        for number, ((begin, end), word) in _first_of_characters(one, ahead)
    }
    both = [
        (abs(begin - middle), here[begin, end, word], number)
        for number, ((begin, end), word) in _first_of_characters(other, 0)
        if begin < SHARED and (begin, end, word) in here
    ]
    # Next to an end tokens agree by chance.
    near = [each for each in both if each[0] < middle - middle // 4]
    return min(near)[1:] if near else None


def _first_of_characters(
    encoding: "Encoding", least: int
) -> list[tuple[int, tuple[tuple[int, int], int]]]:
    """Tokens from a character on that begin where another one ends; parts of one do not."""
    found, reached = [], -1
    for number, (place, word) in enumerate(zip(encoding.offsets, encoding.ids, strict=True)):
        if place[0] >= max(least, reached) and place[0] < place[1]:
            found.append((number, (place, word)))
        reached = max(reached, place[1])
    return found
