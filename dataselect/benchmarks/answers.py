r"""Extract final answers from model output and compare them with gold answers.

There are two ways. `grade` is a benchmark's metric, so it follows the benchmark's rule and is no
more lenient: numbers as text after GSM8K's rule, the letter after "answer is", mathematics from
\boxed or "Final Answer" by math_verify, code by its tests, other text up to case and blanks.
`grade_answers` judges a frontier model's bare final answers, which come in any form: "$18.00" is
18 answered, and "C) iron" or "iron" is C. An answer that cannot be judged is None, not wrong.

Not here: how mathematics is compared (`math_answers`) and code is run (`sandbox`).
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from dataselect.benchmarks.items import LETTERS, AnswerKind, Item
from dataselect.benchmarks.math_answers import same_answers
from dataselect.benchmarks.sandbox import Program, run_programs
from dataselect.errors import InputError

# A minus belongs to the number unless it follows a number or a bracket, as in "16-3".
_NUMBER = re.compile(r"(?:(?<![\w)])-\$?|\$-?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_ANSWER_MARK = re.compile(r"answer is|####", re.IGNORECASE)
_CHOICE = re.compile(rf"\(?([{LETTERS}])\b")

_TEXT_MARK = re.compile(r"(?:final answer|answer is)(?:\s+is)?\s*:?|####", re.IGNORECASE)
_HOPE = re.compile(r"\.?\s*I hope it is correct.*", re.IGNORECASE | re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")

_BARE_LEAD = re.compile(
    r"(?:the\s+)?(?:final\s+|correct\s+)*(?:answer|option|choice)\b(?:\s+is\b)?\s*:?\s*",
    re.IGNORECASE,
)
_BARE_LETTER = re.compile(
    rf"\(?([{LETTERS}])(?:\)|[.:](?=\s|$)|$)\s*(.*)", re.DOTALL | re.IGNORECASE
)

_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
# Code that needs no indent, or already has one.
_PROGRAM = re.compile(r"(?:async def|def|class|import|from)\b|[@# \t]")
# Where a completion goes on after the end of the function's body (Chen et al. 2021).
_CODE_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def extract(text: str, kind: AnswerKind) -> str | None:
    """The final answer in a generated text; None when there is none.

    For code: the content of the first Markdown fence, else the whole text.
    """
    if kind == "number":
        return extract_number(text)
    if kind == "choice":
        return extract_choice(text)
    if kind == "math":
        return _boxed(text) or _after_mark(text)
    if kind == "code":
        fence = _FENCE.search(text)
        return (fence.group(1) if fence else text) if text.strip() else None
    marked = _TEXT_MARK.search(text) is not None
    return (_after_mark(text) if marked else text.strip()) or None


def extract_number(text: str) -> str | None:
    """The number that a solution gives as its answer, without commas, "$" and trailing ".".

    It is the first number after the last "answer is" (or "####"), else the last number; None
    without a number. The text stays as written ("18.00" is not "18"), as in GSM8K's exact match.
    """
    marks = list(_ANSWER_MARK.finditer(text))
    after = _NUMBER.search(text, marks[-1].end()) if marks else None
    if after is None:
        numbers = list(_NUMBER.finditer(text))
        after = numbers[-1] if numbers else None
    return None if after is None else _bare_number(after.group())


def extract_choice(text: str) -> str | None:
    """The choice letter after the last "answer is", else the letter that the text starts with."""
    marks = list(_ANSWER_MARK.finditer(text))
    found = _CHOICE.search(text, marks[-1].end()) if marks else _CHOICE.match(text.strip())
    return found.group(1) if found else None


def grade(
    items: Sequence[Item], kind: AnswerKind, outputs: Sequence[str], *, unsafe: bool = False
) -> list[bool]:
    """Whether each generated solution or code completion is right by the benchmark's rule.

    `unsafe` lets code run where it cannot be isolated. Raises InputError for an item whose gold
    answer is not of this kind, and what `same_answers` and `run_programs` raise.
    """
    _check(items, kind)
    found = [extract(output, kind) for output in outputs]
    if kind == "number":
        return [
            answer is not None and answer == extract_number(item.answer)
            for item, answer in zip(items, found, strict=True)
        ]
    if kind == "choice":
        return [answer == item.answer for item, answer in zip(items, found, strict=True)]
    return [right is True for right in _compare(items, kind, found, unsafe)]


def grade_answers(
    items: Sequence[Item],
    kind: AnswerKind,
    answers: Sequence[str | None],
    *,
    unsafe: bool = False,
) -> list[bool | None]:
    """Whether a frontier model's bare final answers are right; None where that is unclear.

    Numbers are compared by value. A choice is given by its letter or its text; a digit counts as
    a position if no choice contains a number. An ambiguous answer is None. Raises InputError as
    `grade` does.
    """
    _check(items, kind)
    pairs = list(zip(items, (answer or "" for answer in answers), strict=True))
    if kind == "number":
        return [_same_number(item, answer) for item, answer in pairs]
    if kind == "choice":
        letters = [_choice_of(answer, item.choices or ()) for item, answer in pairs]
        return [
            None if letter is None else letter == item.answer
            for item, letter in zip(items, letters, strict=True)
        ]
    if kind == "math":
        # The whole text is the answer, so it needs no mark.
        found = [extract(answer, kind) or answer.strip() or None for _, answer in pairs]
    elif kind == "code":
        found = [_indented(extract(answer, kind)) for _, answer in pairs]
    else:
        found = [extract(answer, kind) for _, answer in pairs]
    return _compare(items, kind, found, unsafe)


def _check(items: Sequence[Item], kind: AnswerKind) -> None:
    for item in items:
        fits = {
            "number": extract_number(item.answer) is not None,
            "choice": item.choices is not None,
            "code": item.code is not None,
        }
        if not fits.get(kind, True):
            raise InputError(
                f"item '{item.id}'",
                f"its answer {item.answer[:40]!r} is not a {kind}, as this benchmark's are",
                "set the benchmark's 'answers' to math or text, or fix the item",
            )


def _compare(
    items: Sequence[Item], kind: AnswerKind, found: Sequence[str | None], unsafe: bool
) -> list[bool | None]:
    """Compare mathematics, code and text; None where an answer is missing or not comparable."""
    results: list[bool | None] = [None] * len(items)
    answered = [
        (i, item, answer)
        for i, (item, answer) in enumerate(zip(items, found, strict=True))
        if answer is not None
    ]
    if kind == "math":
        verdicts = same_answers([(item.answer, answer) for _, item, answer in answered])
    elif kind == "code":
        programs = [_program(item, answer) for _, item, answer in answered]
        verdicts = [verdict.passed for verdict in run_programs(programs, unsafe=unsafe)]
    else:
        verdicts = [_plain(item.answer) == _plain(answer) for _, item, answer in answered]
    for (i, _, _), verdict in zip(answered, verdicts, strict=True):
        results[i] = verdict
    return results


def _boxed(text: str) -> str | None:
    """The content of the last box with balanced braces."""
    for start in reversed([match.end() for match in _BOX.finditer(text)]):
        depth = 1
        for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                return text[start : start + brace.start()].strip() or None
    return None


def _after_mark(text: str) -> str | None:
    marks = list(_TEXT_MARK.finditer(text))
    if not marks:
        return None
    rest = _HOPE.sub("", text[marks[-1].end() :]).strip().lstrip("* \n")
    if rest.startswith(r"\[") and r"\]" in rest:
        return rest[: rest.index(r"\]") + 2]
    return rest.split("\n", 1)[0].strip().removesuffix(".").strip() or None


def _bare_number(text: str) -> str:
    return text.replace(",", "").replace("$", "").rstrip(".")


def _same_number(item: Item, answer: str) -> bool | None:
    number, gold = extract_number(answer), extract_number(item.answer)
    if number is None or gold is None:
        return None
    if Decimal(number) == Decimal(gold):
        return True
    # "18 (9 eggs at $2 each)": the rule takes the last number, the model may have meant another.
    marked = _ANSWER_MARK.search(answer) is not None
    others = [Decimal(_bare_number(match.group())) for match in _NUMBER.finditer(answer)]
    return None if not marked and Decimal(gold) in others else False


def _choice_of(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that a bare answer names; None for none or two."""
    text = (_boxed(answer) or answer).strip("*$` \n")
    letters = LETTERS[: len(choices)]
    by_text = _letter_by_text(text, choices)
    lead = _BARE_LEAD.match(text)
    if lead and by_text is None:
        text = text[lead.end() :].strip("*$` \n")
        by_text = _letter_by_text(text, choices)
    found = _BARE_LETTER.fullmatch(text)
    if found and found.group(1).upper() in letters:
        letter, rest = found.group(1).upper(), _letter_by_text(found.group(2), choices)
        # "B" where one choice reads "B", or "C. iron" where iron is not C.
        other = by_text or rest
        return letter if other in (None, letter) else None
    if by_text is not None:
        return by_text
    # Some sources number their choices. The prompt shows letters, so this is rare.
    if re.fullmatch(r"\(?[1-9]\)?\.?", text) and not any(_NUMBER.search(each) for each in choices):
        position = int(text.strip("()."))
        return letters[position - 1] if position <= len(letters) else None
    return None


def _letter_by_text(text: str, choices: Sequence[str]) -> str | None:
    positions = [i for i, choice in enumerate(choices) if _plain(choice) == _plain(text)]
    return LETTERS[positions[0]] if len(positions) == 1 else None


def _plain(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").strip().casefold()


def _indented(code: str | None) -> str | None:
    """A function body with the indent of its first line, which stripping the answer removed.

    Code that begins with a definition, an import or a decorator is a whole program and stays.
    """
    if code is None or _PROGRAM.match(code.lstrip("\n")):
        return code
    lines = code.lstrip("\n").split("\n")
    rest = [line for line in lines[1:] if line.strip()]
    if not rest or not all(line.startswith((" ", "\t")) for line in rest):
        return "\n".join(f"    {line}" if line.strip() else line for line in lines)
    return "\n".join([f"    {lines[0].lstrip()}", *lines[1:]])


def _program(item: Item, code: str) -> Program:
    """The item's prompt completed by `code`, or `code` itself when it is the whole function."""
    assert item.code is not None
    name = item.code.entry_point
    header = re.compile(rf"^(?:async )?def {re.escape(name)}\b", re.MULTILINE)
    # An indented start is a body; later code may define the function again.
    is_body = code.lstrip("\n").startswith((" ", "\t"))
    if not is_body and header.search(code):
        start = header.search(item.question)
        # Imports and functions that the prompt defines before this one.
        before = item.question[: start.start()] if start else ""
        return Program(f"{before}\n{code}", item.code.test, name)
    end = min((at for stop in _CODE_STOPS if (at := code.find(stop)) >= 0), default=len(code))
    return Program(item.question + code[:end], item.code.test, name)
