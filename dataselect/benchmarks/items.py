"""Benchmark items read from JSONL, and the prompt that a model sees for each of them.

One object a line: `id, question, answer, choices?, answer_index?, rationale?`; other keys are
ignored. A benchmark is a property of the world, so one malformed item must not stop a run: it
is left out with its reason, for every candidate alike. A file that is not JSONL, or that gives
the same id twice, is refused, because then nothing in it can be trusted.

Not here: which benchmarks exist, downloading them, and how a text becomes tokens.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataselect.errors import InputError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Item:
    """One benchmark question with its gold answer; `answer` is the letter when it has choices."""

    id: str
    question: str
    answer: str
    choices: tuple[str, ...] | None = None
    answer_index: int | None = None
    rationale: str | None = None


@dataclass(frozen=True)
class Exclusion:
    """An item that is left out of a benchmark for every candidate, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class BenchmarkItems:
    """The items of one benchmark and everything that turns them into prompts.

    `label` says what a solution is: "solution" (worked rationale and answer, where the item
    has a rationale) or "answer" (the answer alone). `task` is the word for the frontier
    model's system prompt. Raises InputError when the prompt has no place for the question.
    """

    id: str
    items: tuple[Item, ...]
    shots: tuple[Item, ...] = ()
    prompt: str = "Question: {question}\nAnswer:"
    label: Literal["solution", "answer"] = "solution"
    task: str | None = None
    content_hash: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if "{question}" not in self.prompt:
            raise InputError(
                f"benchmark '{self.id}'",
                "its prompt does not contain {question}",
                "write the prompt like 'Question: {question}\\nAnswer:'",
            )
        content = {
            "items": [_as_json(item) for item in self.items],
            "shots": [_as_json(item) for item in self.shots],
            "prompt": self.prompt,
            "label": self.label,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        object.__setattr__(self, "content_hash", hashlib.sha256(text.encode()).hexdigest())

    def context(self, item: Item, shots: int | None = None) -> str:
        """The prompt for `item` after the first `shots` worked examples (all by default).

        Ends without a space: the continuation brings its own, so that a byte-level tokenizer
        sees the same word boundary as in running text.
        """
        examples = self.shots if shots is None else self.shots[:shots]
        # An item that is also an example would show the model its own solution.
        worked = [
            f"{self._ask(shot)} {self._worked(shot)}" for shot in examples if shot.id != item.id
        ]
        return "\n\n".join([*worked, self._ask(item)])

    def solution(self, item: Item) -> str:
        """The benchmark's own gold label Y* for `item`, as the text that follows its context."""
        return item.answer.strip() if self.label == "answer" else self._worked(item)

    def _ask(self, item: Item) -> str:
        question = item.question
        if item.choices is not None:
            lines = [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(item.choices)]
            question = "\n".join([question, *lines])
        # Not str.format: prompts may hold braces of their own, as LaTeX and code do.
        return self.prompt.replace("{question}", question).rstrip(" ")

    @staticmethod
    def _worked(item: Item) -> str:
        if item.rationale is None:
            return item.answer.strip()
        rationale = item.rationale.strip()
        if "answer is" in rationale.lower():
            return rationale
        pause = "." if rationale[-1].isalnum() else ""
        return f"{rationale}{pause} The answer is {item.answer.strip()}."


def load_items(path: Path, limit: int | None = None) -> tuple[list[Item], list[Exclusion]]:
    """Read the first `limit` well-formed items of a JSONL file, and what was left out before.

    Raises InputError for a missing file, text that is not UTF-8, a line that is not a JSON
    object, an id that comes twice, and a file without a single usable item.
    """
    items: list[Item] = []
    exclusions: list[Exclusion] = []
    first_seen: dict[str, int] = {}
    for number, record in _records(path):
        if limit is not None and len(items) >= limit:
            break
        where = f"{path}:{number}"
        name = record.get("id")
        if not isinstance(name, str) or not name:
            exclusions.append(Exclusion(f"line {number}", "it has no id"))
            continue
        if name in first_seen:
            raise InputError(
                where,
                f"item id '{name}' is already used on line {first_seen[name]}",
                "give every item an id of its own",
            )
        first_seen[name] = number
        item = _parse(name, record)
        if isinstance(item, Item):
            items.append(item)
        else:
            exclusions.append(Exclusion(name, item))
    if not items:
        reason = f" ({exclusions[0].item}: {exclusions[0].reason})" if exclusions else ""
        raise InputError(
            path,
            f"it holds no usable item{reason}",
            'write one {"id", "question", "answer"} object a line',
        )
    return items, exclusions


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "check the benchmark's path"
        ) from error
    records = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}:{number}", "the line is not UTF-8", "save the file as UTF-8"
            ) from error
        except ValueError as error:
            raise InputError(
                f"{path}:{number}",
                f"the line is not JSON ({error})",
                "write one JSON object a line, or get the file again if it was cut short",
            ) from error
        if not isinstance(record, dict):
            raise InputError(
                f"{path}:{number}", "the line is not a JSON object", "write one object a line"
            )
        records.append((number, record))
    return records


def _parse(name: str, record: dict[str, Any]) -> Item | str:
    """The item, or the reason why it is malformed."""
    question, answer = record.get("question"), record.get("answer")
    if not isinstance(question, str) or not question.strip():
        return "its question is missing or not text"
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        return "its answer is missing or not text"
    rationale = record.get("rationale")
    if rationale is not None and (not isinstance(rationale, str) or not rationale.strip()):
        return "its rationale is not text"
    choices: Any = record.get("choices")
    index: Any = record.get("answer_index")
    if choices is None:
        return Item(name, question, answer, None, None, rationale)
    problem = _choices_problem(choices, index)
    if problem is not None:
        return problem
    # Some sources label choices 1-4; the prompt shows letters, so the answer is a letter too.
    return Item(name, question, LETTERS[index], tuple(choices), index, rationale)


def _choices_problem(choices: object, index: object) -> str | None:
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        return f"its choices are not a list of 2 to {len(LETTERS)} texts"
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        return "one of its choices is empty or not text"
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(choices):
        return f"its answer_index is {index!r}, not one of its {len(choices)} choices"
    if choices.count(choices[index]) > 1:
        return "its right choice is there twice"
    return None


def _as_json(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "question": item.question,
        "answer": item.answer,
        "choices": None if item.choices is None else list(item.choices),
        "answer_index": item.answer_index,
        "rationale": item.rationale,
    }
