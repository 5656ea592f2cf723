"""Generated-answer accuracy: does the model's own greedy solution end in the right answer?

This is the metric that rBridge stands in for. Small models score near zero on it until late in
training, which is why it says little about small proxies; it is measured here on targets, and on
proxies for comparison. Answers are read by GSM8K's rule and compared as text.

Not covered: answers that need a mathematical or a code checker (MATH500, HumanEval); for those
a target's accuracy is imported from an evaluation made for them.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dataselect.benchmarks.items import LETTERS, BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.scoring.decoding import greedy, position_limit
from dataselect.scoring.token_spans import opening_ids

# A minus belongs to the number unless it follows a number or a bracket, as in "16-3".
_NUMBER = re.compile(r"(?:(?<![\w)])-\$?|\$-?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_ANSWER_MARK = re.compile(r"answer is|####", re.IGNORECASE)
_CHOICE = re.compile(rf"\(?([{LETTERS}])\b")


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    stop: Sequence[str] = ("\n",),
    *,
    device: str = "cpu",
    batch_size: int = 128,
) -> list[str]:
    """Greedy continuations of the prompts, each cut before its first stop string."""
    continuations = greedy(
        model, tokenizer, prompts, max_new_tokens, stop, device=device, batch_size=batch_size
    )
    return [continuation.text for continuation in continuations]


def accuracy(
    model: Any,
    tokenizer: Any,
    benchmark_items: BenchmarkItems,
    max_new_tokens: int = 256,
    stop: Sequence[str] = ("\nQuestion", "\n\n"),
    *,
    device: str = "cpu",
    batch_size: int = 128,
) -> npt.NDArray[np.float64]:
    """1.0 where the generated answer equals the item's, else 0.0; aligned to the items.

    Raises InputError when the benchmark's answers are neither numbers nor choices. Worked
    examples that leave no room for an answer in the model's positions are dropped from the end.
    """
    for item in benchmark_items.items:
        if item.choices is None and extract_number(item.answer) is None:
            raise InputError(
                f"benchmark '{benchmark_items.id}' item '{item.id}'",
                f"its answer {item.answer[:40]!r} is neither a number nor a choice",
                "leave 'accuracy' off for this benchmark and import measured accuracies",
            )
    room = position_limit(model)
    if room is not None:
        room -= len(opening_ids(tokenizer)) + max_new_tokens
    prompts = [_prompt(benchmark_items, item, tokenizer, room) for item in benchmark_items.items]
    texts = generate(
        model, tokenizer, prompts, max_new_tokens, stop, device=device, batch_size=batch_size
    )
    right = [_is_right(text, item) for text, item in zip(texts, benchmark_items.items, strict=True)]
    return np.array(right, dtype=np.float64)


def extract_number(text: str) -> str | None:
    """The number that a solution gives as its answer, without commas, "$" and a trailing ".".

    It is the first number after the last "answer is" (or "####"), else the last number; None
    without any. The text is kept as written ("18.00" is not "18"), as in GSM8K's exact match.
    """
    marks = list(_ANSWER_MARK.finditer(text))
    after = _NUMBER.search(text, marks[-1].end()) if marks else None
    if after is None:
        numbers = list(_NUMBER.finditer(text))
        after = numbers[-1] if numbers else None
    if after is None:
        return None
    return after.group().replace(",", "").replace("$", "").rstrip(".")


def extract_choice(text: str) -> str | None:
    """The choice letter after the last "answer is", else the letter that the text starts with."""
    marks = list(_ANSWER_MARK.finditer(text))
    found = _CHOICE.search(text, marks[-1].end()) if marks else _CHOICE.match(text.strip())
    return found.group(1) if found else None


def _is_right(text: str, item: Item) -> bool:
    if item.choices is not None:
        return extract_choice(text) == item.answer
    return extract_number(text) == extract_number(item.answer)


def _prompt(benchmark: BenchmarkItems, item: Item, tokenizer: Any, room: int | None) -> str:
    for shots in range(len(benchmark.shots), 0, -1):
        prompt = benchmark.context(item, shots)
        if room is None or len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) <= room:
            return prompt
    return benchmark.context(item, 0)
