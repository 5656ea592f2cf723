r"""Marked parts of a reasoning trace: `<span>…</span>` in its text, or proposed by a rule.

The authors of the paper published a second variant of the score, in which a model is scored on the
key steps of a trace alone (the Hub dataset `trillionlabs/rbridge-mask`). Marks are tags in the
text; `</span>` and `<\span>` both close. A tag that has no partner is dropped and counted: it is
markup, whatever it should have marked. A mark may go over several lines.

Where nobody marked a trace, `propose` does so by a rule that is stated there and reads the text
alone, so that an ablation can tell what marking is worth.

Not here: how the authors' own code reads tags, which differs (`scoring.authors_mask`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Spans = tuple[tuple[int, int], ...]
"""Half-open ranges of letters, in order, without overlap."""

Rule = Literal["numbers", "operators", "content"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""The names of the rules of `propose`."""

OPEN, CLOSE = "<span>", "</span>"
_TAG = re.compile(r"<(?P<close>[/\\])?span>")


@dataclass(frozen=True)
class Marked:
    """A text without its tags."""

    text: str
    """The text."""

    spans: Spans
    """Its marked parts; neighbours that touch are one, and an empty mark is none."""

    stray: int
    """Tags without a partner, which were dropped."""


def parse_marks(tagged: str) -> Marked:
    """Take the tags out of a text. An opening tag pairs with the closing one right behind it."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    letters = position = stray = 0
    opened: int | None = None
    for tag in _TAG.finditer(tagged):
        pieces.append(tagged[position : tag.start()])
        letters += len(pieces[-1])
        position = tag.end()
        if not tag["close"]:
            stray += opened is not None
            opened = letters
        elif opened is None:
            stray += 1
        else:
            spans.append((opened, letters))
            opened = None
    pieces.append(tagged[position:])
    return Marked("".join(pieces), _tidy(spans), stray + (opened is not None))


def with_marks(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with tags around the given parts.

    Raises ValueError where the text holds a tag itself, which could not be told from a mark.
    """
    if _TAG.search(text):
        raise ValueError("its text holds a <span> tag itself")
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        pieces += [text[position:start], OPEN, text[start:end], CLOSE]
        position = end
    return "".join([*pieces, text[position:]])


def within(spans: Spans, start: int, end: int) -> Spans:
    """The marks inside `text[start:end]`, counted from `start`."""
    cut = ((max(a, start) - start, min(b, end) - start) for a, b in spans)
    return tuple((a, b) for a, b in cut if a < b)


def propose(text: str, rule: Rule) -> Spans:
    """The parts of a text that a rule marks.

    `numbers`: runs of the digits 0-9, with a point, comma or colon between two digits, and a
    percent sign behind them.

    `operators`: one of `+ - − * / = < > ^ ± × ÷ · ≤ ≥ ≠ ≈ √` or a LaTeX command for an operation
    or a relation. A hyphen or a slash between two letters ("well-known", "and/or") is none.

    `content`: words that are in no list of English function words (`FUNCTION_WORDS`). A word is a
    run of letters, with an apostrophe or hyphen between two letters; case does not matter.
    """
    return _tidy(_PROPOSALS[rule](text))


_NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*%?")
_OPERATOR = re.compile(
    r"\\(?:times|cdot|div|d?frac|sqrt|pm|mp|leq?|geq?|neq?|approx|equiv|sum|prod|int)(?![A-Za-z])"
    r"|[+−*=<>^±×÷·≤≥≠≈√]"
    r"|(?<![^\W\d_])[-/]|[-/](?![^\W\d_])"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


FUNCTION_WORDS = _words(
    "a about above across after again against all also although always am among an and another",
    "any anyone anything are around as at away be because been before behind being below between",
    "both but by can cannot could did do does doing done down during each either else enough even",
    "ever every everyone everything few finally first for from further get gets give given gives",
    "had has have having he hence her here hers herself him himself his how however i if in",
    "indeed into is it its itself just know last least less let like made make makes many may me",
    "means might mine more most much must my myself need needs neither never next no none nor not",
    "nothing now of off often on once one only onto or other others our ours ourselves out over",
    "own per perhaps rather really same say see second shall she should simply since so some",
    "someone something still such than that the their theirs them themselves then there therefore",
    "these they third this those though through thus to together too toward towards under until",
    "up upon us use used using very was way we well were what when where whether which while who",
    "whom whose why will with within without would yes yet you your yours yourself don't doesn't",
    "didn't isn't aren't wasn't weren't can't couldn't won't wouldn't shouldn't hasn't haven't",
    "hadn't it's that's there's here's he's she's let's i'm i've i'll i'd we're we've we'll we'd",
    "you're you've you'll they're they've they'll what's who's",
)
"""Words that `propose` does not take for content: articles, pronouns, auxiliaries, prepositions,
conjunctions, and the connectives of a worked solution."""


def _numbers(text: str) -> Iterable[tuple[int, int]]:
    return (match.span() for match in _NUMBER.finditer(text))


def _operators(text: str) -> Iterable[tuple[int, int]]:
    return (match.span() for match in _OPERATOR.finditer(text))


def _content(text: str) -> Iterable[tuple[int, int]]:
    for match in _WORD.finditer(text):
        # LaTeX commands are no words.
        if text[match.start() - 1 : match.start()] == "\\":
            continue
        if match[0].lower().replace("’", "'") not in FUNCTION_WORDS:
            yield match.span()


_PROPOSALS: Mapping[Rule, Callable[[str], Iterable[tuple[int, int]]]] = {
    "numbers": _numbers,
    "operators": _operators,
    "content": _content,
}


def _tidy(spans: Iterable[tuple[int, int]]) -> Spans:
    """Spans in order, without empty ones, those that touch made one."""
    tidy: list[tuple[int, int]] = []
    for start, end in spans:
        if start == end:
            continue
        if tidy and tidy[-1][1] == start:
            tidy[-1] = (tidy[-1][0], end)
        else:
            tidy.append((start, end))
    return tuple(tidy)
