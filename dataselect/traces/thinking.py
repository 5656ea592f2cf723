"""A reasoning model's thinking: apart from its answer, and as a trace of its own.

Servers show thinking in three ways. A reasoning parser puts it into a field of its own; without one
it stands before the answer in the text, between tags; and some take it out of the text altogether.
The list of tokens covers it in all three, with the tags that the text may lack. The answer's tokens
are found first (`answer_tokens`); what comes before them is the thinking and its tags.

Not here: which of the two becomes the trace (`recording.completion`).
"""

import re
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from dataselect.traces.alignment import (
    REPLACED,
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
    spelt_by,
)
from dataselect.traces.answer_tokens import join_split_letters

_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
# Tags with whitespace around. Channels have their name behind the tag (gpt-oss).
_AROUND = re.compile(
    rb"(?:\s|<[^<>\n]{1,40}>(?:analysis|final|assistant)?|\[/?THINK\])*", re.IGNORECASE
)
_LONGEST_AROUND = 400
_SPACE = b" \t\r\n"


def split_thinking(content: str) -> tuple[str | None, str]:
    """The thinking between tags at the beginning of an answer's text, and the answer behind it.

    Without an opening tag, which a chat template may have put into the prompt, the thinking ends at
    the only closing tag. The thinking is None, and the answer the whole text, where there is none.
    """
    begun = content.lstrip()
    for opening, closing in _TAGS:
        before, found, after = begun.partition(closing)
        if not found:
            continue
        if begun.startswith(opening):
            return before.removeprefix(opening).strip(), after.lstrip()
        if opening not in content and content.count(closing) == 1:
            return before.strip(), after.lstrip()
    return None, content


def thinking_letters(
    thinking: str | None, tokens: Sequence[ServerToken]
) -> tuple[str, npt.NDArray[np.float64]]:
    """The thinking without outer whitespace, and the probability of each of its letters.

    `tokens` come before the answer's. `thinking` is what the server shows of it; without any it is
    read from the tokens. Raises AlignmentError when the tokens hold no thinking or another one.
    """
    spelt = b"".join(map(spelt_by, tokens))
    tokens = join_split_letters(spelt, tokens)
    head = _AROUND.match(spelt[:_LONGEST_AROUND])
    assert head is not None
    text = _shown(spelt, head.end()) if thinking is None else thinking.strip()
    if not text:
        raise AlignmentError("its tokens hold no thinking before the answer")
    data = text.encode("utf-8", "surrogatepass")
    places = [
        at
        for at in range(head.end() + 1)
        if spelt.startswith(data, at) and _AROUND.fullmatch(spelt, at + len(data))
    ]
    if len(places) > 1:
        raise AlignmentError("its thinking is in several places among its tokens")
    if places:
        start, end = places[0], places[0] + len(data)
    else:
        # Some tokens may not show all their bytes; the alignment decides.
        start, end = head.end(), _before_tags(spelt, head.end())
    try:
        return text, completion_letter_probabilities(text, _cut(tokens, start, end), whole=True)
    except AlignmentError as error:
        problem = f"the tokens before its answer are not its thinking: {error}"
        raise AlignmentError(problem) from None


def _shown(spelt: bytes, start: int) -> str:
    """The thinking that the tokens show."""
    data = spelt[start : _before_tags(spelt, start)]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = REPLACED.decode()
    if REPLACED.decode() in text:
        raise AlignmentError("the server shows no text of its thinking")
    return text


def _before_tags(spelt: bytes, start: int) -> int:
    """Where the thinking ends that begins at `start`: before whitespace and closing tags."""
    first = max(start, len(spelt) - _LONGEST_AROUND)
    return next(
        (
            len(spelt[:at].rstrip(_SPACE))
            for at in range(first, len(spelt))
            if _AROUND.fullmatch(spelt, at)
        ),
        len(spelt),
    )


def _cut(tokens: Sequence[ServerToken], start: int, end: int) -> list[ServerToken]:
    """The tokens of bytes `start` to `end`, with the empty ones between."""
    kept = []
    pieces = [spelt_by(token) for token in tokens]
    for token, piece, at in zip(tokens, pieces, [0, *accumulate(map(len, pieces))], strict=False):
        shown = piece[max(start - at, 0) : max(end - at, 0)]
        if shown and shown != piece:
            kept.append(ServerToken(shown.decode("utf-8", "replace"), shown, token.logprob))
        elif shown or (not piece and start <= at < end):
            kept.append(token)
    return kept
