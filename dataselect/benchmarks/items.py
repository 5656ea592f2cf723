"""Benchmark items, the JSONL format that holds them, and the prompts that are built from them.

One object a line: `id, question, answer, choices?, answer_index?, rationale?, meta?`; of `meta`
only `category`, `test` and `entry_point` are read. Users do not write public benchmarks, so one
malformed item must not stop a run: it is left out for every candidate alike, with its reason. A
file that is not JSONL or repeats an id is refused, because then none of it can be trusted.

Not here: which benchmarks exist, downloading them, and tokenization.
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
MOST_LETTERS = 1 << 21
"""Of an item or a trace: no model here reads more, and tokenising takes 160 bytes for each."""
_SHOWN = 40
_NUMBER = re.compile(r"-?\$?\d[\d,]*(\.\d+)?")


@dataclass(frozen=True)
class CodeCheck:
    """The test of a code solution."""

    test: str
    """Source code that defines `check(candidate)`."""

    entry_point: str
    """Name of the function that is passed to `check`."""


@dataclass(frozen=True)
class Item:
    """One benchmark question with its gold answer."""

    id: str
    """Unique within the benchmark."""

    question: str
    """The question, without its choices."""

    answer: str
    """The gold answer: a letter for multiple choice, the canonical solution with its indent for
    code."""

    choices: tuple[str, ...] | None = None
    """Texts of the choices; None when the item is not multiple choice."""

    answer_index: int | None = None
    """Position of the right choice, from 0; None without choices."""

    rationale: str | None = None
    """The worked solution; None when there is none."""

    category: str | None = None
    """The subject; the item gets worked examples of the same subject. None means any."""

    code: CodeCheck | None = None
    """The test of a code item; None for all others."""

    marked: str | None = None
    """Reasoning that came with the question, with `<span>` tags around its key steps. The item then
    has no answer of its own: `answer` is the reasoning without tags. None for all others."""


@dataclass(frozen=True)
class Exclusion:
    """An item that is left out of a benchmark for every candidate."""

    item: str
    """The item's id, or the line or row of an item without one."""

    reason: str
    """Why it is left out."""


@dataclass(frozen=True)
class BenchmarkItems:
    """The items of one benchmark and what builds prompts from them.

    Raises InputError when the prompt has no place for the question.
    """

    id: str
    """The benchmark's id."""

    items: tuple[Item, ...]
    """The items to score."""

    shots: tuple[Item, ...] = ()
    """The worked examples to choose from."""

    prompt: str = "Question: {question}\nAnswer:"
    """The prompt of one item; {question} stands for the question and its choices."""

    label: Literal["solution", "answer"] = "solution"
    """The benchmark's gold text: rationale and answer (the answer alone where the item has no
    rationale), or always the answer alone."""

    task: str | None = None
    """The word for the task in the frontier model's system prompt."""

    shot_count: int | None = None
    """How many worked examples an item gets; None means all."""

    answers: AnswerKind | None = None
    """How final answers are compared; None infers it from the items."""

    stop: tuple[str, ...] = ("\nQuestion", "\n\n")
    """Strings at which a generated answer ends."""

    new_tokens: int = 256
    """The longest generated answer, in tokens."""

    revision: str | None = None
    """Source and version of the items; None when not known."""

    content_hash: str = field(init=False, compare=False)
    """SHA-256 of the items, the shots and what builds prompts from them."""

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
    def has_answers(self) -> bool:
        """Whether there are answers, as anything but the reasoning is measured by."""
        return all(item.marked is None for item in self.items)

    @property
    def answer_kind(self) -> AnswerKind:
        """`answers`, or the kind of the first item's answer."""
        if self.answers is not None:
            return self.answers
        first = self.items[0]
        if first.choices is not None:
            return "choice"
        if first.code is not None:
            return "code"
        return "number" if _NUMBER.fullmatch(first.answer.strip()) else "text"

    def examples(self, item: Item) -> tuple[Item, ...]:
        """The worked examples that `item` gets, of its category if it has one.

        Never the item itself, which would show the model the solution.
        """
        pool = [shot for shot in self.shots if shot.id != item.id]
        if item.category is not None:
            pool = [shot for shot in pool if shot.category in (None, item.category)]
        return tuple(pool[: self.shot_count])

    def context(self, item: Item, shots: int | None = None) -> str:
        """The prompt for `item` after the first `shots` of its worked examples (all by default).

        It ends without a space: the continuation starts with one, so that a byte-level tokenizer
        sees the same word boundary as in running text.
        """
        worked = [
            f"{self._ask(shot)}{self._worked(shot)}".rstrip()
            for shot in self.examples(item)[:shots]
        ]
        return "\n\n".join([*worked, self._ask(item)])

    def cloze_context(self, item: Item, shots: int | None = None) -> str:
        """`context` without the choices; worked examples are answered by a choice's text.

        Likelihoods of choices are compared in this form (OLMES, arXiv 2406.08446).
        """
        worked = [
            f"{self._fill(shot.question)} {choice_or_answer(shot)}"
            for shot in self.examples(item)[:shots]
        ]
        return "\n\n".join([*worked, self._fill(item.question)])

    def unconditional_context(self) -> str:
        """The part of the prompt after the question, as context without any question."""
        return self.prompt.partition("{question}")[2].strip() or "Answer:"

    def question_text(self, item: Item) -> str:
        """The question with its choices as lines "A. …", as proxy and frontier model see it."""
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
        # Not str.format: prompts may contain other braces, as LaTeX and code do.
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
    """The first `limit` well-formed items of a JSONL file, and the malformed ones before them.

    Raises InputError for a missing file, text that is not UTF-8, a line that is not a JSON
    object, a repeated id, and a file without a usable item.
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
    """The first `limit` well-formed items of numbered records, and the malformed ones before them.

    `source` and `unit` ("line", "row") name a record in errors. Raises InputError for a repeated
    id.
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
                "give every item a unique id",
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
    named = "reasoning" if "marked" in record else "answer"
    for key, text in (("question", question), (named, answer)):
        if not isinstance(text, str) or not text.strip():
            return f"its {key} is missing or not text"
    rationale = record.get("rationale")
    if rationale is not None and (not isinstance(rationale, str) or not rationale.strip()):
        return "its rationale is not text"
    assert isinstance(question, str)
    assert isinstance(answer, str)
    meta: Any = record.get("meta")
    meta = {key: meta.get(key) for key in _META} if isinstance(meta, dict) else {}
    problem = _meta_problem(meta) or _length_problem(record, question, answer, rationale or "")
    if problem is not None:
        return problem
    category, test, entry_point = (meta.get(key) for key in _META)
    choices: Any = record.get("choices")
    index: Any = record.get("answer_index")
    if choices is None:
        code = CodeCheck(test, entry_point) if test and entry_point else None
        marked = record.get("marked")
        return Item(name, question, answer, None, None, rationale, category, code, marked)
    problem = _choices_problem(choices, index, answer)
    if problem is not None:
        return problem
    # Some sources label choices 1-4; the prompt shows letters, so the answer is a letter too.
    return Item(name, question, LETTERS[index], tuple(choices), index, rationale, category)


def _meta_problem(meta: dict[str, object]) -> str | None:
    if all(value is None or isinstance(value, str) for value in meta.values()):
        return None
    return f"one of its {', '.join(_META)} is not text"


def _length_problem(record: dict[str, Any], *texts: str) -> str | None:
    choices = record.get("choices")
    more = choices if isinstance(choices, list) else []
    letters = sum(len(text) for text in (*texts, *more) if isinstance(text, str))
    if letters <= MOST_LETTERS:
        return None
    return f"its texts have {letters:,} letters, which is more than {MOST_LETTERS:,}"


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
    # Only when present, so that the hash of a benchmark without them stays unchanged.
    if item.category is not None:
        content["category"] = item.category
    if item.marked is not None:
        content["marked"] = item.marked
    if item.code is not None:
        content["code"] = [item.code.test, item.code.entry_point]
    return content
