r"""The mask variant as the paper's authors compute it, so that published figures can be compared.

Their public code (github.com/LLM360/rBridge at c939b76) scores `trillionlabs/rbridge-mask`. Its
rules are repeated here for comparison, not as a recommendation; `scoring.masks` has ours. There


- the text is the question and the reasoning with nothing between them, and no worked examples;
- a mark is `<span>` up to the first `</span>` or `<\span>` on the same line. A mark that goes over
  a line break is none, and its tags stay in the text; so does an opening tag inside a mark;
- a token counts as a whole if it shares any letter with a mark, by the offsets that the tokenizer
  reports. Where a text has no mark, every token that begins behind the question counts;
- the first token of the text never counts, since nothing predicts it;
- the offsets are of a tokenisation without special tokens and the losses of one with them. Where
  the tokenizer sets a BOS before a text, each loss is therefore paired with the offsets of the
  token behind it;
- special tokens that are written in a text are those tokens;
- sums over a subset are divided by the bytes, or the words, of the marked text (of all reasoning
  where nothing is marked). Marks are joined without a space before their words are counted.

Pure, except for the tokenizer that is passed in.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataselect.benchmarks.marks import Spans

# Their pattern's "any letter" is none that ends a line.
_MARK = re.compile(r"<span>([^\n]*?)<[/\\]span>")


@dataclass(frozen=True)
class AuthorsText:
    """One question with its reasoning, ready to be scored by the authors' rule."""

    ids: tuple[int, ...]
    """Tokens of the whole text, with the special tokens that the tokenizer adds."""

    counted: tuple[int, ...]
    """Positions in `ids` of the tokens that count; none is 0."""

    data: int
    """UTF-8 bytes of the marked text."""

    words: int
    """Words of the marked text."""


def authors_marks(reasoning: str) -> tuple[str, Spans | None]:
    """The text without the tags that their rule finds, and the marks; None where it finds none."""
    spans: list[tuple[int, int]] = []
    text, position = "", 0
    for mark in _MARK.finditer(reasoning):
        text += reasoning[position : mark.start()]
        spans.append((len(text), len(text) + len(mark[1])))
        text += mark[1]
        position = mark.end()
    return text + reasoning[position:], tuple(spans) if spans else None


def authors_text(question: str, reasoning: str, tokenizer: Any) -> AuthorsText:
    """Tokens of `question + reasoning`, and which of them count; `reasoning` has its tags."""
    text, spans = authors_marks(reasoning)
    scored = text if spans is None else "".join(text[start:end] for start, end in spans)
    whole = question + text
    ids = tokenizer(whole, split_special_tokens=False, verbose=False)["input_ids"]
    offsets = tokenizer(
        whole,
        add_special_tokens=False,
        split_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )["offset_mapping"]
    starts, ends = np.array(offsets, dtype=np.int64).reshape(-1, 2).T
    if spans is None:
        counts = starts >= len(question)
    else:
        marked = np.zeros(len(whole) + 1, dtype=np.int64)
        for start, end in spans:
            marked[len(question) + start + 1 : len(question) + end + 1] = 1
        marked_before = marked.cumsum()
        counts = marked_before[ends] > marked_before[starts]
    # Not aligned: `ids` may begin with tokens that `offsets` lacks, and the place alone pairs them.
    counted = np.flatnonzero(counts[: len(ids)])
    counted = counted[counted > 0]
    return AuthorsText(
        tuple(ids), tuple(counted.tolist()), len(scored.encode()), len(scored.split())
    )
