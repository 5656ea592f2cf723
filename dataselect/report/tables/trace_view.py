"""Terminal views of one trace and of a set of traces.

The reasoning is shaded by the frontier model's probability, which is each letter's weight in
rBridge: darker is more probable. Text and background colours are set together, so that any
terminal theme works. Shade is lost in files and to colour-blind readers, so tokens below one half
are also underlined, and put in ⟦ ⟧ where there are no colours.

Texts of models and benchmarks may hold anything: they are passed to rich as plain text, and control
characters are shown as escapes.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataselect.benchmarks.items import LETTERS, Item
from dataselect.report.numbers import number, percent
from dataselect.traces.summary import Spread, Summary
from dataselect.traces.trace import Trace, TraceHeader
from dataselect.wording import in_plain_lines, one_line

UNCERTAIN = 0.5
"""Tokens with a lower probability are marked."""

# Lower ends of the shades: ColorBrewer's Blues; the two darkest have white text.
_SHADES = (
    (0.0, "#000000 on #eff3ff"),
    (0.2, "#000000 on #c6dbef"),
    (0.4, "#000000 on #9ecae1"),
    (0.6, "#000000 on #6baed6"),
    (0.8, "#ffffff on #2171b5"),
    (0.95, "#ffffff on #08306b"),
)
_NO_PROBABILITY = "dim italic"
_OPEN, _CLOSE = "⟦", "⟧"
_VERDICTS = {True: ("right", "green"), False: ("wrong", "red"), None: ("cannot be told", "dim")}


def trace_text(trace: Trace, *, brackets: bool = False) -> Text:
    """The trace, shaded by probability; neighbouring runs of one shade look like one.

    `brackets` puts tokens below `UNCERTAIN` in ⟦ ⟧, for output without colour.
    """
    text, at = Text(), 0
    for length, p in trace.runs:
        shown = in_plain_lines(trace.text[at : at + length])
        if brackets and p is not None and p < UNCERTAIN:
            core = shown.strip() or shown
            shown = shown.replace(core, f"{_OPEN}{core}{_CLOSE}", 1)
        text.append(shown, _style(p))
        at += length
    return text


def print_trace(
    console: Console, trace: Trace, item: Item | None = None, correct: bool | None = None
) -> None:
    """Print question, choices, shaded reasoning with its scale, the final and the right answer.

    `correct` is None if the answer could not be graded.
    """
    coloured = console.color_system is not None and not console.no_color
    console.print(Text(one_line(trace.item), style="bold"))
    if item is not None:
        console.print(Text(in_plain_lines(item.question)))
        for letter, choice in zip(LETTERS, item.choices or (), strict=False):
            console.print(Text(f"{letter}. {in_plain_lines(choice)}"))
    console.print()
    console.print(trace_text(trace, brackets=not coloured))
    console.print()
    console.print(_scale(trace, coloured))
    if trace.spans:
        parts = [trace.text[start:end] for start, end in trace.spans]
        marked = Text("marked: ")
        marked.append(" | ".join(one_line(part) for part in parts), "bold")
        console.print(marked)
    word, style = _VERDICTS[correct]
    final = Text("final answer: ")
    final.append("none" if trace.answer is None else in_plain_lines(trace.answer), "bold")
    if item is not None:
        final.append(f" ({word})", style)
    console.print(final)
    if item is not None:
        console.print(Text(f"right answer: {in_plain_lines(gold_text(item))}"))


def print_summary(console: Console, summary: Summary, header: TraceHeader) -> None:
    """Print the origin of the traces, their statistics, left-out items and recording settings."""
    console.print(_rows((*_origin(header), *_statistics(summary))))
    if summary.exclusions:
        console.print()
        console.print(Text("left out:", style="dim"))
        left_out = Table.grid(padding=(0, 2))
        left_out.add_column(justify="right", no_wrap=True)
        left_out.add_column(overflow="fold")
        for reason, count in summary.exclusions:
            left_out.add_row(Text(str(count)), Text(one_line(reason)))
        console.print(left_out)
    if header.notes:
        console.print()
        console.print(Text("recorded with:", style="dim"))
        names = [(one_line(name).replace("_", " "), value) for name, value in header.notes.items()]
        console.print(_rows([row for row in names if row[1]]))


def _rows(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False, show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(one_line(value)))
    return table


def _origin(header: TraceHeader) -> list[tuple[str, str]]:
    rows = [
        ("benchmark", header.benchmark),
        ("items from", header.benchmark_revision),
        ("frontier model", header.model),
        ("fingerprint", header.fingerprint),
        ("made", " by ".join(filter(None, (header.created, header.created_by)))),
    ]
    return [(name, value) for name, value in rows if value]


def _statistics(summary: Summary) -> list[tuple[str, str]]:
    traces = f"{summary.traces:,}"
    if summary.items is not None:
        traces += f" for {summary.items:,} items, {summary.without:,} of them without"
    rows = [("traces", traces)]
    if summary.letters is not None and summary.tokens is not None:
        rows += [("letters", _spread(summary.letters)), ("tokens", _spread(summary.tokens))]
    if summary.lowest is not None:
        ends = f"{summary.lowest:.3g} to {number(summary.highest, 3)}"
        rows.append(("probabilities", f"{ends}, mean {number(summary.mean, 3)}"))
    rows.append(("letters without one", percent(summary.share_without_probability)))
    if summary.flat:
        rows.append(("flat traces", f"{summary.flat:,} (all letters about equally probable)"))
    if summary.marked:
        share = percent(summary.share_marked)
        rows.append(("marked traces", f"{summary.marked:,}, with {share} of all letters marked"))
    if summary.graded is not None:
        right = f"{summary.right:,} of {summary.graded:,} ({percent(summary.share_right)})"
        ungraded = f", {summary.ungraded:,} cannot be told" if summary.ungraded else ""
        rows.append(("right answers", right + ungraded))
    return rows


def _spread(spread: Spread) -> str:
    return (
        f"mean {number(spread.mean, 1)}, median {number(spread.median, 1)}, "
        f"{spread.low:,} to {spread.high:,}"
    )


def _scale(trace: Trace, coloured: bool) -> Text:
    scale = Text("probability: ")
    if coloured:
        for low, _ in _SHADES:
            scale.append(f" {low:.2g} ", _style(low))
        scale.append(" and more; underlined below 0.5")
    else:
        scale.append(f"{_OPEN} {_CLOSE} below 0.5")
    missing = sum(length for length, p in trace.runs if p is None)
    if missing:
        scale.append(f"; {missing} of {len(trace.text)} letters have none")
        if coloured:
            scale.append(" (in italics)")
    return scale


def _style(p: float | None) -> str:
    if p is None:
        return _NO_PROBABILITY
    style = next(style for low, style in reversed(_SHADES) if p >= low)
    return f"underline {style}" if p < UNCERTAIN else style


def gold_text(item: Item) -> str:
    """The right answer, with the words of the choice where it is one."""
    if item.choices is not None and item.answer_index is not None:
        return f"{item.answer}. {item.choices[item.answer_index]}"
    # Code starts with an indent, so it starts on a new line.
    return f"\n{item.answer}" if item.code is not None else item.answer
