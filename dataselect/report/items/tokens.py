"""A trace as HTML: its tokens in a row that wraps, each with its weight and NLLs beneath.

A column is a token: its text on a shade that is darker the more it counts, its weight, and a cell
for each candidate with the NLL, darker the more the token surprises it. Every shade has its number
in the cell, so nothing is told by colour alone; a pointer shows the names. Columns wrap as words
do, so a trace of any length fits a phone and paper. Every line of the trace, and every 24th token,
begins with a column that says which row is whose.

Texts come from models and benchmarks: they are escaped, and their control characters are shown as
escapes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dataselect.report.html_markup import escape
from dataselect.report.numbers import number
from dataselect.scoring.token_nlls import TokenNlls
from dataselect.wording import in_plain_lines

STYLE = """
h3{font-size:1rem;margin:1rem 0 .4rem}
.trace{line-height:1.25;margin:.7rem 0;font-size:.95rem}
.k{display:inline-block;max-width:100%;vertical-align:top;margin:0 1px .55rem 0;
text-align:center;min-width:1.5em}
.k>*{display:block;font-style:normal;font-weight:400;white-space:pre-wrap;padding:0 1px;
overflow-wrap:anywhere}
.k b{text-align:left;border-bottom:2px solid transparent}
.k i{font-size:.72rem;line-height:1.35;border-top:1px solid var(--card);
font-variant-numeric:tabular-nums}
.k u{font-size:.66rem;line-height:1.3;color:var(--soft);text-decoration:none}
.k.top b{border-bottom-color:var(--ink);font-weight:700}
.lead>*{color:var(--soft);font-weight:700}
.w0{background:rgba(0,114,178,.04)}.w1{background:rgba(0,114,178,.12)}
.w2{background:rgba(0,114,178,.22)}.w3{background:rgba(0,114,178,.32)}
.w4{background:rgba(0,114,178,.44)}.w5{background:rgba(0,114,178,.56)}
.k .wx{text-decoration:underline dotted}
.n0{background:rgba(213,94,0,.03)}.n1{background:rgba(213,94,0,.12)}
.n2{background:rgba(213,94,0,.22)}.n3{background:rgba(213,94,0,.34)}
.n4{background:rgba(213,94,0,.46)}.n5{background:rgba(213,94,0,.58)}
.scale{display:inline-block;padding:0 .35rem;font-size:.8rem}
details{margin:.5rem 0} summary{cursor:pointer;color:var(--blue)}
details pre{max-height:30rem;overflow:auto;overflow-wrap:anywhere}
.q{white-space:pre-wrap;overflow-wrap:anywhere}
.warn{border-left:.3rem solid var(--orange);padding:.2rem .7rem}
.bar{display:inline-block;height:.65em;background:var(--blue);vertical-align:middle}
@media print{.k i,.k b,.scale,.bar{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.k{break-inside:avoid} details:not([open]){display:none} details pre{max-height:none}}
"""
"""Rules of the pages of items, besides those of every page."""

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
NLLS = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0)
"""Lower ends of the shades, of weights and of nats."""
_EVERY = 24
"""Tokens after which the names of the rows come again."""
_MOST_IDS = 4
"""Candidates whose ids a pointer shows at a token; of more it shows the short names."""
MARKED = 5
"""Tokens of a trace that are marked as those where two candidates differ most."""


def letters(count: int) -> list[str]:
    """Short names of candidates: A, B, …, Z, AA, AB, …"""
    names = []
    for place in range(count):
        name, left = "", place + 1
        while left:
            left, digit = divmod(left - 1, 26)
            name = chr(ord("A") + digit) + name
        names.append(name)
    return names


def differing(first: TokenNlls, second: TokenNlls) -> list[int]:
    """Places of the tokens that add most to the difference of two scores, largest first."""
    apart = np.abs(second.parts - first.parts)
    order = np.argsort(-apart, kind="stable")[:MARKED]
    return [int(place) for place in order if apart[place] > 0]


def token_texts(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The letters of each token, each letter once; "" for one that only ends a letter."""
    texts, done = [], 0
    for start, end in spans:
        texts.append(text[max(start, done) : end])
        done = max(done, end)
    return texts


def shown_token(text: str, *, spaces: bool = False) -> str:
    """A token as plain text on one line; its line ends are ↵, and one without letters is ·.

    Spaces are ␣ where there is nothing else, or all of them with `spaces`.
    """
    shown = in_plain_lines(text).replace("\n", "↵")
    return (shown.replace(" ", "␣") if spaces or not shown.strip() else shown) or "·"


def trace_html(
    text: str, tokens: Mapping[str, TokenNlls], names: Mapping[str, str], pair: Sequence[str]
) -> str:
    """The trace with the rows of the candidates in `tokens`; `names`: the short name of each.

    The tokens where the two of `pair` differ most are marked, if both are there.
    """
    first = next(iter(tokens.values()))
    top: set[int] = set()
    if len(pair) == 2 and all(each in tokens for each in pair):
        top = set(differing(tokens[pair[0]], tokens[pair[1]]))
    lead = _lead([names[each] for each in tokens])
    cells, since = [lead], 0
    for place, piece in enumerate(token_texts(text, first.spans)):
        if since == _EVERY:
            cells.append(lead)
            since = 0
        cells.append(_column(place, piece, first.weights[place], tokens, names, place in top))
        since += 1
        if "\n" in piece:
            cells += ["<br>", lead]
            since = 0
    label = "Trace by token: text, weight, then the NLL of each candidate"
    # A trace in a script that runs from the right is laid out so.
    return f'<div class="trace" dir="auto" role="group" aria-label="{label}">{"".join(cells)}</div>'


def plain_trace_html(text: str) -> str:
    """A trace of which no tokens are known."""
    return f'<p class="q" dir="auto">{escape(in_plain_lines(text))}</p>'


def scale_html(compared: str) -> str:
    """What the rows and shades mean; `compared` are the short names of the two compared, if any."""
    weights = _steps("w", WEIGHTS, "")
    nlls = _steps("n", NLLS, "")
    marked = (
        f" Bold and underlined are the tokens that add most to the difference of {compared}."
        if compared
        else ""
    )
    return (
        "<p>Under each token of a trace stand its weight (w) and, in the row of each candidate, "
        f"its NLL in nats.{marked}</p>\n"
        f"<p>Shades: weight {weights} or more; NLL {nlls} nats or more. A token that is "
        "underlined with dots has no weight and does not count.</p>\n"
    )


def _steps(kind: str, ends: Sequence[float], unit: str) -> str:
    return "".join(
        f'<span class="scale {kind}{place}">{low:g}{unit}</span>' for place, low in enumerate(ends)
    )


def _lead(names: Sequence[str]) -> str:
    rows = "".join(f"<i>{escape(name)}</i>" for name in names)
    return f'<span class="k lead"><b> </b><u>w</u>{rows}</span>'


def _column(
    place: int,
    piece: str,
    weight: float,
    tokens: Mapping[str, TokenNlls],
    names: Mapping[str, str],
    marked: bool,
) -> str:
    nlls = {name: float(each.nll[place]) for name, each in tokens.items()}
    counts = "no weight" if math.isnan(weight) else f"weight {weight:.3f}"
    # Many ids at every token would be most of the page.
    called = names if len(nlls) > _MOST_IDS else dict(zip(nlls, nlls, strict=True))
    told = ", ".join(f"{called[name]} {number(nll, 3)}" for name, nll in nlls.items())
    title = f"token {place + 1}, {counts}: {told}"
    shade = "wx" if math.isnan(weight) else f"w{_step(WEIGHTS, weight)}"
    shown = escape(shown_token(piece))
    cells = "".join(f'<i class="n{_step(NLLS, nll)}">{_nats(nll)}</i>' for nll in nlls.values())
    kind = "k top" if marked else "k"
    return (
        f'<span class="{kind}" title="{escape(title)}"><b class="{shade}">{shown}</b>'
        f"<u>{_weight(weight)}</u>{cells}</span>"
    )


def _step(ends: Sequence[float], value: float) -> int:
    return max([place for place, low in enumerate(ends) if value >= low], default=0)


def _nats(value: float) -> str:
    return number(value, 1) if value < 99.95 else number(value, 0)


def _weight(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
