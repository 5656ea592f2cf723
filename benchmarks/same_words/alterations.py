"""The same trace with other truth: its numbers exchanged, its sentences in another order.

What a model loses on these more than on the trace itself says what it knows besides the words.
"""

import re
from collections.abc import Callable

_NUMBER = re.compile(r"\d+")
_SENTENCE = re.compile(r"(?<=[.!?]) ")


def exchange_numbers(text: str) -> str | None:
    """Each number replaced by the next different one of the text; None where there is one alone."""
    different = list(dict.fromkeys(_NUMBER.findall(text)))
    if len(different) < 2:
        return None
    instead = dict(zip(different, different[1:] + different[:1], strict=True))
    return _NUMBER.sub(lambda found: instead[found[0]], text)


def exchange_results(text: str) -> str | None:
    """The results of two equations exchanged, and what goes on from the first; None without two."""
    results = re.findall(r"= (\d+)", text)
    if len(results) != 2 or results[0] == results[1]:
        return None
    first, second = results
    head, _, tail = text.partition(f"= {first}")
    left, _, end = tail.rpartition(f"= {second}")
    left = re.sub(rf"\b{first}\b", second, left)
    return f"{head}= {second}{left}= {first}{end}"


def reorder_sentences(text: str) -> str | None:
    """The first sentence moved to the end; None where there is one alone."""
    sentences = _SENTENCE.split(text)
    return " ".join(sentences[1:] + sentences[:1]) if len(sentences) > 1 else None


ALTERATIONS: dict[str, Callable[[str], str | None]] = {
    "numbers": exchange_numbers,
    "results": exchange_results,
    "order": reorder_sentences,
}
"""By name; the fourth, the same trace after another question, needs no other text."""
