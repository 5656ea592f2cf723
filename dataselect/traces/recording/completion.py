r"""The prompt to a frontier model behind a server, and the reasoning in its answer.

There are two forms. `json` is the paper's (App. B; its typographic quotes are ASCII here): an
object with `reasoning` and `final_answer`. `plain` is for models with poor JSON and for reasoning
full of backslashes: text between three sentinel lines that do not occur in Markdown, LaTeX or
code.

Every letter of the reasoning is mapped to the characters of the completion that spell it,
because their tokens have the probabilities. json.loads gives values without positions, so strings
are scanned here: an escape such as \n or \u2014 is one letter, so is a surrogate pair, and a raw
control character, which some servers pass through, stands for itself.

Models forget to double the backslashes of LaTeX. `\sqrt` is then invalid JSON, but `\frac`,
`\times` and `\neq` silently become a control character and "rac", "imes", "eq". Such answers are
refused, or repaired on request: the raw backslash becomes a letter. What counts as LaTeX:

- a backslash before anything that JSON does not escape, except \' (not LaTeX but a quote
  escaped by mistake, and always refused);
- \b or \f before an ASCII letter: a word does not contain a backspace or a form feed;
- \n, \r or \t when the escape and the whole run of ASCII letters after it are a command of
  `_COMMANDS`, such as `\neq` ("\nequal" is a new line). The case matters;
- commands of `_DOUBTFUL`, whose rest is also a word or a variable (`\nu` or a line that begins
  with "u"), only next to mathematics: `$\nu$`, `{\nu}`, `\ne 0`, `\text{`.

A pair of backslashes always becomes one, so a LaTeX line break that was not doubled loses one
backslash even in a repaired text. Not here: the probabilities of tokens (`alignment`), requests
and second attempts.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
)
from dataselect.traces.answer_tokens import answer_tokens
from dataselect.traces.thinking import thinking_letters
from dataselect.traces.trace import Trace, runs_of

Form = Literal["json", "plain"]
Part = Literal["answer", "thinking"]
"""What of a completion becomes the trace: the reasoning in its answer, or what came before it."""

_SYSTEM = "You are a helpful assistant that solves [task] problems."
_BEGIN, _ANSWER, _END = "<<<REASONING>>>", "<<<FINAL ANSWER>>>", "<<<END>>>"
_USER: dict[Form, str] = {
    "json": """[question]

Respond ONLY with a JSON object in this exact format:
{
  "reasoning": "your step by step reasoning",
  "final_answer": "your final answer"
}""",
    "plain": f"""[question]

Respond ONLY in this exact format:
{_BEGIN}
your step by step reasoning
{_ANSWER}
your final answer
{_END}""",
}

_COMMANDS = re.compile(
    r"""nabla|natural|ncong|nearrow|neg|neq|newcommand|newline|nexists|ngeq|ngtr|nicefrac
    |nleftarrow|nleq|nolimits|nonumber|norm|not|notin|nparallel|nrightarrow|nsubseteq|nsupseteq
    |nwarrow|rangle|rbrace|rbrack|rceil|ref|rfloor|rho|right|rightarrow|rightharpoondown
    |rightharpoonup|rightleftarrows|rightleftharpoons|rm|root|rtimes|rule|rvert|rVert|tag|tan|tanh
    |tau|tbinom|tfrac|therefore|theta|thickapprox|tilde|times|to|top|triangle|triangleleft
    |triangleq|triangleright|twoheadrightarrow
    |text(?:alpha|ascii|asterisk|backslash|beta|bf|bullet|emdash|endash|it|mu|normal|phi|pi|quote
    |rm|sf|style|theta|tt)[a-z]*""",
    re.VERBOSE,
)
_DOUBTFUL = re.compile("ne|ni|nless|nmid|nsim|nu|text")
_MATHS_BEFORE = re.compile(r"(?:(?<!\$)\$|[({^_])\Z")
# No ")", which ends the number of a list ("e) five"), and no digit without space ("u1 = 2").
_MATHS_AFTER = re.compile(r'[}$]|\s*\{|\s+\d|\s*\\[^bfnrtu"/\\]')
_LETTERS = re.compile(r"[A-Za-z]*")
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_UNFINISHED = re.compile(r"[0-9a-fA-F]{0,3}\Z")
_SPACE = re.compile(r"[ \t\r\n]*")
_FENCE = re.compile(r"```(?:json)?\s*", re.IGNORECASE)
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_OTHER_VALUES = json.JSONDecoder(strict=False)


class MalformedAnswerError(ValueError):
    """An answer does not have the requested form; the message says why."""


@dataclass(frozen=True)
class Completion:
    """The reasoning and final answer of a completion."""

    reasoning: str
    """The reasoning, with outer whitespace."""

    answer: str | None
    """The final answer; None when it is missing, null or empty."""

    letters: tuple[tuple[int, int], ...]
    """`letters[i]` is the half-open span of the completion's characters that spell
    `reasoning[i]`; the spans are contiguous."""

    repaired: int
    """How many single backslashes were read as LaTeX."""


def messages(question: str, task: str, form: Form) -> list[dict[str, str]]:
    """The system and user message that request the reasoning for one question."""
    return [
        {"role": "system", "content": _SYSTEM.replace("[task]", task)},
        {"role": "user", "content": _USER[form].replace("[question]", question)},
    ]


def prompt_template(form: Form) -> str:
    """Both messages with [task] and [question] unfilled, as stored in a trace file."""
    return f"System: {_SYSTEM}\nUser: {_USER[form]}"


def read_completion(content: str, form: Form, *, repair_latex: bool = False) -> Completion:
    """The reasoning, with the span of each letter, and the final answer.

    A final answer that is not a string is kept as written. Raises MalformedAnswerError when the
    content does not have the form.
    """
    if not content.strip():
        raise MalformedAnswerError("the answer is empty")
    found = _Object(content, repair_latex).read() if form == "json" else _plain(content)
    if not found.reasoning.strip():
        raise MalformedAnswerError("its reasoning is empty")
    if _SURROGATE.search(f"{found.reasoning}{found.answer}"):
        raise MalformedAnswerError("it holds half of a surrogate pair")
    return found


def trace_from_completion(
    item: str,
    content: str,
    tokens: Sequence[ServerToken],
    form: Form,
    *,
    repair_latex: bool = False,
    part: Part = "answer",
    thinking: str | None = None,
) -> Trace:
    """The reasoning without outer whitespace, with the mean probability of each letter.

    The mean is over the characters that spell the letter and have a probability. `tokens` may
    begin with hidden thinking, which is not in the content; with the `part` thinking it is the
    trace's text, `thinking` what the server shows of it. Raises
    MalformedAnswerError as `read_completion`, and AlignmentError when the tokens do not match the
    content or give the reasoning no probability at all.
    """
    found = read_completion(content, form, repair_latex=repair_latex)
    own = answer_tokens(content, tokens)
    if part == "thinking":
        if not own.hidden:
            raise MalformedAnswerError("there is no thinking before its answer")
        text, letters = thinking_letters(thinking, own.before)
        if np.isnan(letters).all():
            raise AlignmentError("no letter of its thinking has a probability")
        return Trace(item, text, runs_of(letters), found.answer)
    probs = completion_letter_probabilities(content, own.tokens)
    text = found.reasoning.strip()
    first = len(found.reasoning) - len(found.reasoning.lstrip())
    letters = _means(probs, found.letters[first : first + len(text)])
    if np.isnan(letters).all():
        raise AlignmentError("no letter of its reasoning has a probability")
    return Trace(item, text, runs_of(letters), found.answer)


def _means(
    probs: npt.NDArray[np.float64], spans: Sequence[tuple[int, int]]
) -> npt.NDArray[np.float64]:
    known = ~np.isnan(probs)
    starts, end = [start for start, _ in spans], spans[-1][1]
    total = np.add.reduceat(np.where(known, probs, 0.0)[:end], starts)
    with np.errstate(invalid="ignore"):
        return total / np.add.reduceat(known[:end].astype(np.float64), starts)


def _plain(content: str) -> Completion:
    ends: dict[str, tuple[int, int]] = {}
    at = 0
    for line in content.split("\n"):
        sentinel = line.strip()
        if sentinel in {_BEGIN, _ANSWER, _END}:
            if sentinel in ends:
                raise MalformedAnswerError(f"the line {sentinel} comes twice")
            ends[sentinel] = (at, min(at + len(line) + 1, len(content)))
        at += len(line) + 1
    for sentinel in (_BEGIN, _ANSWER, _END):
        if sentinel not in ends:
            raise MalformedAnswerError(f"it has no line {sentinel}")
    if list(ends) != [_BEGIN, _ANSWER, _END]:
        raise MalformedAnswerError("its sentinel lines are in the wrong order")
    if content[: ends[_BEGIN][0]].strip():
        raise MalformedAnswerError(f"text comes before {_BEGIN}")
    if content[ends[_END][1] :].strip():
        raise MalformedAnswerError(f"text follows {_END}")
    start, stop = ends[_BEGIN][1], ends[_ANSWER][0]
    answer = content[ends[_ANSWER][1] : ends[_END][0]].strip()
    letters = tuple((i, i + 1) for i in range(start, stop))
    return Completion(content[start:stop], answer or None, letters, 0)


class _Object:
    """Reads a JSON object once, with the position of every letter."""

    def __init__(self, content: str, repair_latex: bool) -> None:
        self._content = content
        self._repair = repair_latex
        self._at = len(content) - len(content.lstrip())
        self._repaired = 0

    def read(self) -> Completion:
        """The completion in the object. Raises MalformedAnswerError."""
        fence = _FENCE.match(self._content, self._at)
        if fence is not None:
            self._at = fence.end()
        if not self._content.startswith("{", self._at):
            raise MalformedAnswerError("it does not begin with a JSON object")
        reasoning: tuple[str, list[tuple[int, int]]] | None = None
        answer: str | None = None
        seen: set[str] = set()
        self._at += 1
        if self._next() != "}":
            while True:
                self._expect('"')
                key, _ = self._string()
                if key in seen and key in {"reasoning", "final_answer"}:
                    raise MalformedAnswerError(f"the key '{key}' comes twice")
                seen.add(key)
                self._expect(":")
                if key == "reasoning":
                    if self._next() != '"':
                        raise MalformedAnswerError("its 'reasoning' is not text")
                    self._at += 1
                    reasoning = self._string()
                elif (value := self._value()) and key == "final_answer":
                    answer = value
                if self._next() == "}":
                    break
                self._expect(",")
        self._at += 1
        self._close(fenced=fence is not None)
        if reasoning is None:
            raise MalformedAnswerError("it has no 'reasoning'")
        return Completion(reasoning[0], answer, tuple(reasoning[1]), self._repaired)

    def _next(self) -> str:
        """Skip whitespace; the next character, which is not consumed."""
        space = _SPACE.match(self._content, self._at)
        assert space is not None
        self._at = space.end()
        if self._at == len(self._content):
            raise self._cut_short()
        return self._content[self._at]

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise MalformedAnswerError(f"its JSON has no {character} at letter {self._at}")
        self._at += 1

    def _close(self, *, fenced: bool) -> None:
        rest = self._content[self._at :].strip()
        if fenced and not rest:
            raise self._cut_short()
        if rest != ("```" if fenced else ""):
            raise MalformedAnswerError(f"text follows its JSON object at letter {self._at}")

    def _value(self) -> str | None:
        """The stripped text of a string, None for null, and any other value as written."""
        if self._next() == '"':
            self._at += 1
            return self._string()[0].strip()
        start = self._at
        try:
            value, self._at = _OTHER_VALUES.raw_decode(self._content, start)
        except (ValueError, RecursionError) as error:
            raise MalformedAnswerError(f"its JSON has no value at letter {start}") from error
        return None if value is None else self._content[start : self._at]

    def _string(self) -> tuple[str, list[tuple[int, int]]]:
        """The letters of a string after its opening quote, and the span of each."""
        letters: list[str] = []
        spans: list[tuple[int, int]] = []
        while True:
            start = self._at
            letter = self._content[start : start + 1]
            self._at += 1
            if letter == '"':
                return "".join(letters), spans
            if letter == "\\":
                letter = self._escaped(start)
            elif not letter:
                raise self._cut_short()
            letters.append(letter)
            spans.append((start, self._at))

    def _escaped(self, start: int) -> str:
        """The letter of the escape at `start`; a backslash where LaTeX begins."""
        kind = self._content[start + 1 : start + 2]
        if not kind:
            raise self._cut_short()
        if kind == "u":
            code = self._code(start)
            if code is not None:
                return code
        elif kind in _ESCAPES and not _is_latex(self._content, start):
            self._at = start + 2
            return _ESCAPES[kind]
        if kind == "'":
            raise MalformedAnswerError(f"\\' at letter {start} is not a JSON escape")
        if not self._repair:
            run = _LETTERS.match(self._content, start + 1)
            command = run.group() if run is not None and run.group() else kind
            raise MalformedAnswerError(
                f"it has single backslashes, as LaTeX or code has them (\\{command} at letter "
                f"{start}), where JSON needs two"
            )
        self._repaired += 1
        return "\\"

    def _code(self, start: int) -> str | None:
        r"""The letter of a \uXXXX escape or of a surrogate pair of two; None without hex digits."""
        digits = _HEX.match(self._content, start + 2)
        if digits is None:
            if _UNFINISHED.match(self._content, start + 2):
                raise self._cut_short()
            return None
        self._at = digits.end()
        code = int(digits.group(), 16)
        if 0xD800 <= code < 0xDC00 and self._content.startswith("\\u", self._at):
            low = _HEX.match(self._content, self._at + 2)
            if low is not None and 0xDC00 <= int(low.group(), 16) < 0xE000:
                self._at = low.end()
                return chr(0x10000 + ((code - 0xD800) << 10) + int(low.group(), 16) - 0xDC00)
        return chr(code)

    def _cut_short(self) -> MalformedAnswerError:
        return MalformedAnswerError("its JSON is cut short")


def _is_latex(content: str, start: int) -> bool:
    r"""Whether the JSON escape at `start` begins a LaTeX command with a single backslash."""
    match = _LETTERS.match(content, start + 1)
    assert match is not None
    run = match.group()
    if run[:1] in {"b", "f"}:
        return len(run) > 1
    if _DOUBTFUL.fullmatch(run):
        before = _MATHS_BEFORE.search(content[max(0, start - 2) : start])
        return before is not None or _MATHS_AFTER.match(content, match.end()) is not None
    return _COMMANDS.fullmatch(run) is not None
