"""Given reasoning taken apart: the reasoning itself, its final answer, and its marks.

Worked solutions and API answers have all three in one text. The trace is the reasoning alone.
"""

import re
from dataclasses import dataclass

from dataselect.benchmarks.marks import parse_marks, with_marks, within

_FINAL = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s+)?the\s+(?:final\s+)?answer\s+is|####", re.IGNORECASE
)


@dataclass(frozen=True)
class Reasoning:
    """A text in its parts."""

    text: str
    """The reasoning, stripped, without tags and final answer; empty where there is none."""

    answer: str | None
    """The final answer; None without one."""

    marked: str | None
    """`text` with its `<span>` tags; None where nothing is marked."""


def take_apart(text: str) -> Reasoning:
    """The parts of a text in which `<span>…</span>` may mark key steps.

    A text without a pair of tags has no marks, and a tag without a partner is then text.
    """
    found = parse_marks(text)
    if not found.spans:
        return Reasoning(*split_answer(text), None)
    reasoning, answer = split_answer(found.text)
    start = found.text.index(reasoning)
    try:
        marked = with_marks(reasoning, within(found.spans, start, start + len(reasoning)))
    except ValueError:
        # Taking out a tag made another one, so they are no marks.
        return Reasoning(*split_answer(text), None)
    return Reasoning(reasoning, answer, marked)


def split_answer(text: str) -> tuple[str, str | None]:
    """Reasoning and final answer: the text before and after the last "the answer is" or "####".

    Both are stripped. The answer is the rest of its line without a closing ".", or None when the
    text has none.
    """
    marks = list(_FINAL.finditer(text))
    if not marks:
        return text.strip(), None
    rest = text[marks[-1].end() :].strip()
    answer = rest.splitlines()[0].strip().rstrip(".") if rest else ""
    return text[: marks[-1].start()].strip(), answer or None
