"""Benchmark items, the JSONL that they are read from, and the prompts that a model sees of them.

One object a line: `id, question, answer, choices?, answer_index?, rationale?, meta?`; of `meta`
only `category`, and `test` with `entry_point`, are read. A benchmark is a property of the world,
so one malformed item must not stop a run: it is left out with its reason, for every candidate
alike. A file that is not JSONL, or that gives the same id twice, is refused, because then
nothing in it can be trusted.

Not here: which benchmarks exist, downloading them, and how a text becomes tokens.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataselect.benchmarks.jsonl import read_records
from dataselect.errors import InputError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

AnswerKind = Literal["number", "choice", "math", "code", "text"]
"""How a final answer is found in a text and compared with the right one."""

_META = ("category", "test", "entry_point")
_SHOWN = 40
_NUMBER = re.compile(r"-?\$?\d[\d,]*(\.\d+)?")


@dataclass(frozen=True)
class CodeCheck:
    """The program that tests a solution: it defines `check`, which takes `entry_point`."""

    test: str
    entry_point: str


@dataclass(frozen=True)
class Item:
    """One benchmark question with its gold answer.

    `answer` is the letter when it has choices, and the canonical solution with its indent when
    it has `code`. `category` is the subject whose worked examples it gets.
    """

    id: str
    question: str
    answer: str
    choices: tuple[str, ...] | None = None
    answer_index: int | None = None
    rationale: str | None = None
    category: str | None = None
    code: CodeCheck | None = None


@dataclass(frozen=True)
class Exclusion:
    """An item that is left out of a benchmark for every candidate, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class BenchmarkItems:
    """The items of one benchmark and everything that turns them into prompts.

    `shots` are worked examples to choose from; an item gets `shot_count` of them (all if None).
    `label` says what the benchmark's own gold text is: "solution" (rationale and answer, where
    the item has a rationale) or "answer" alone. `task` is the word for the frontier model's
    system prompt. `answers` is how final answers are compared (told by the items if None),
    `stop` and `new_tokens` end a generated one. `revision` says where the items are from.
    Raises InputError when the prompt has no place for the question.
    """

    id: str
    items: tuple[Item, ...]
    shots: tuple[Item, ...] = ()
    prompt: str = "Question: {question}\nAnswer:"
    label: Literal["solution", "answer"] = "solution"
    task: str | None = None
    shot_count: int | None = None
    answers: AnswerKind | None = None
    stop: tuple[str, ...] = ("\nQuestion", "\n\n")
    new_tokens: int = 256
    revision: str | None = None
    content_hash: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if "{question}" not in self.prompt:
            raise InputError(
                f"benchmark '{self.id}'",
                "its prompt does not contain {question}",
                "write the prompt like 'Question: {question}\\nAnswer:'",
            )
        content: dict[str, object] = {
            "items": [_as_json(item) for item in self.items],
            "shots": [_as_json(item) for item in self.shots],
            "prompt": self.prompt,
            "label": self.label,
        }
        if self.shot_count is not None:
            content["shot_count"] = self.shot_count
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        object.__setattr__(self, "content_hash", hashlib.sha256(text.encode()).hexdigest())

    @property
    def answer_kind(self) -> AnswerKind:
        """`answers`, or what the first item is."""
        if self.answers is not None:
            return self.answers
        first = self.items[0]
        if first.choices is not None:
            return "choice"
        if first.code is not None:
            return "code"
        return "number" if _NUMBER.fullmatch(first.answer.strip()) else "text"

    def examples(self, item: Item) -> tuple[Item, ...]:
        """The worked examples that `item` gets: of its own category where there are such.

        Never itself: it would show the model its own solution.
        """
        pool = [shot for shot in self.shots if shot.id != item.id]
        if item.category is not None:
            pool = [shot for shot in pool if shot.category in (None, item.category)]
        return tuple(pool[: self.shot_count])

    def context(self, item: Item, shots: int | None = None) -> str:
        """The prompt for `item` after the first `shots` of its worked examples (all by default).

        Ends without a space: the continuation brings its own, so that a byte-level tokenizer
        sees the same word boundary as in running text.
        """
        worked = [
            f"{self._ask(shot)}{self._worked(shot)}".rstrip()
            for shot in self.examples(item)[:shots]
        ]
        return "\n\n".join([*worked, self._ask(item)])

    def cloze_context(self, item: Item, shots: int | None = None) -> str:
        """The same without showing choices: worked examples are answered by a choice's text.

        This is the form in which choices are compared by their likelihood (OLMES,
        arXiv 2406.08446).
        """
        worked = [
            f"{self._fill(shot.question)} {choice_or_answer(shot)}"
            for shot in self.examples(item)[:shots]
        ]
        return "\n\n".join([*worked, self._fill(item.question)])

    def unconditional_context(self) -> str:
        """What precedes an answer when there is no question: the end of the prompt."""
        return self.prompt.partition("{question}")[2].strip() or "Answer:"

    def question_text(self, item: Item) -> str:
        """The question with its choices as lines "A. …", as both kinds of model see it."""
        if item.choices is None:
            return item.question
        lines = [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(item.choices)]
        return "\n".join([item.question, *lines])

    def label_text(self, item: Item) -> str:
        """The benchmark's own gold label Y*, as the text that continues the context."""
        return self.answer_text(item) if self.label == "answer" else self._worked(item)

    def answer_text(self, item: Item) -> str:
        """The right answer alone, as the text that continues the context."""
        return item.answer.rstrip() if item.code is not None else f" {item.answer.strip()}"

    @staticmethod
    def trace_text(reasoning: str) -> str:
        """A reasoning trace as the text that continues the context."""
        return f" {reasoning}"

    def _ask(self, item: Item) -> str:
        return self._fill(self.question_text(item))

    def _fill(self, question: str) -> str:
        # Not str.format: prompts may hold braces of their own, as LaTeX and code do.
        return self.prompt.replace("{question}", question).rstrip(" ")

    def _worked(self, item: Item) -> str:
        if item.rationale is None:
            return self.answer_text(item)
        rationale = item.rationale.strip()
        if "answer is" in rationale.lower():
            return f" {rationale}"
        pause = "." if rationale[-1].isalnum() else ""
        return f" {rationale}{pause} The answer is {item.answer.strip()}."


def choice_or_answer(item: Item) -> str:
    """The right answer in words: the text of the right choice, or the answer."""
    if item.choices is None or item.answer_index is None:
        return item.answer.strip()
    return item.choices[item.answer_index].strip()


def load_items(path: Path, limit: int | None = None) -> tuple[list[Item], list[Exclusion]]:
    """Read the first `limit` well-formed items of a JSONL file, and what was left out before.

    Raises InputError for a missing file, text that is not UTF-8, a line that is not a JSON
    object, an id that comes twice, and a file without a single usable item.
    """
    items, exclusions = parse_items(str(path), "line", read_records(path), limit)
    if not items:
        reason = f" ({exclusions[0].item}: {exclusions[0].reason})" if exclusions else ""
        raise InputError(
            path,
            f"it holds no usable item{reason}",
            'write one {"id", "question", "answer"} object a line',
        )
    return items, exclusions


def parse_items(
    source: str, unit: str, records: Iterable[tuple[int, dict[str, Any]]], limit: int | None = None
) -> tuple[list[Item], list[Exclusion]]:
    """The first `limit` well-formed items among numbered records, and what was left out before.

    `source` and `unit` ("line", "row") name a record in errors. Raises InputError for an id that
    comes twice.
    """
    items: list[Item] = []
    exclusions: list[Exclusion] = []
    first_seen: dict[str, int] = {}
    for number, record in records:
        if limit is not None and len(items) >= limit:
            break
        name = record.get("id")
        if not isinstance(name, str) or not name:
            exclusions.append(Exclusion(f"{unit} {number}", "it has no id"))
            continue
        if name in first_seen:
            raise InputError(
                f"{source}:{number}",
                f"item id '{name}' is already used on {unit} {first_seen[name]}",
                "give every item an id of its own",
            )
        first_seen[name] = number
        item = _parse(name, record)
        if isinstance(item, Item):
            items.append(item)
        else:
            exclusions.append(Exclusion(name, item))
    return items, exclusions


def _parse(name: str, record: dict[str, Any]) -> Item | str:
    """The item, or the reason why it is malformed."""
    question, answer = record.get("question"), record.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    for key, text in (("question", question), ("answer", answer)):
        if not isinstance(text, str) or not text.strip():
            return f"its {key} is missing or not text"
    rationale = record.get("rationale")
    if rationale is not None and (not isinstance(rationale, str) or not rationale.strip()):
        return "its rationale is not text"
    assert isinstance(question, str)
    assert isinstance(answer, str)
    meta: Any = record.get("meta")
    meta = {key: meta.get(key) for key in _META} if isinstance(meta, dict) else {}
    if not all(value is None or isinstance(value, str) for value in meta.values()):
        return f"one of its {', '.join(_META)} is not text"
    category, test, entry_point = (meta.get(key) for key in _META)
    choices: Any = record.get("choices")
    index: Any = record.get("answer_index")
    if choices is None:
        code = CodeCheck(test, entry_point) if test and entry_point else None
        return Item(name, question, answer, None, None, rationale, category, code)
    problem = _choices_problem(choices, index, answer)
    if problem is not None:
        return problem
    # Some sources label choices 1-4; the prompt shows letters, so the answer is a letter too.
    return Item(name, question, LETTERS[index], tuple(choices), index, rationale, category)


def _choices_problem(choices: object, index: object, answer: str) -> str | None:
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        return f"its choices are not a list of 2 to {len(LETTERS)} texts"
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        return "one of its choices is empty or not text"
    if index is None:
        shown = answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…"
        return f"nothing says which of its {len(choices)} choices its answer {shown!r} is"
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(choices):
        return f"its answer_index is {index!r}, not one of its {len(choices)} choices"
    return None


def _as_json(item: Item) -> dict[str, object]:
    content: dict[str, object] = {
        "id": item.id,
        "question": item.question,
        "answer": item.answer,
        "choices": None if item.choices is None else list(item.choices),
        "answer_index": item.answer_index,
        "rationale": item.rationale,
    }
    # Only where there are any, so that the hash of a benchmark without them stays what it was.
    if item.category is not None:
        content["category"] = item.category
    if item.code is not None:
        content["code"] = [item.code.test, item.code.entry_point]
    return content
