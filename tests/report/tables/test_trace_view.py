import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dataselect.benchmarks.items import CodeCheck, Exclusion, Item
from dataselect.report.tables.trace_view import print_summary, print_trace, trace_text
from dataselect.traces.summary import summarise
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

HOSTILE = "[red]\x1b[31m\x1b]0;title\x07[/bad] \u202e\x9b2J\r"
ITEM = Item("arc-1", "Which?\nThink.", "B", ("red", "blue"), 1)
TRACE = Trace("arc-1", "It is blue,\nsurely.", ((5, 1.0), (7, 0.3), (6, 0.9), (1, None)), "A")
HEADER = TraceHeader("arc", "gpt-4o", "", "dataselect 1", {"how": "by hand"}, "arc@1", None, "2026")


def console(terminal: bool = False, no_color: bool = False) -> Console:
    return Console(
        width=80,
        file=io.StringIO(),
        force_terminal=terminal,
        color_system="truecolor" if terminal else None,
        no_color=no_color,
    )


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def shown(
    trace: Trace = TRACE,
    item: Item | None = ITEM,
    correct: bool | None = False,
    on: Console | None = None,
) -> str:
    on = console() if on is None else on
    print_trace(on, trace, item, correct)
    return written(on)


def test_each_run_has_the_shade_of_its_probability() -> None:
    text = trace_text(TRACE)
    assert text.plain == TRACE.text
    styles = [str(span.style) for span in text.spans]
    assert [(span.start, span.end) for span in text.spans] == [(0, 5), (5, 12), (12, 18), (18, 19)]
    assert len(set(styles)) == 4
    assert ["underline" in style for style in styles] == [False, True, False, False]
    assert "dim" in styles[3]


def test_it_shows_question_choices_reasoning_and_both_answers() -> None:
    lines = [line.rstrip() for line in shown().splitlines()]
    assert lines == [
        "arc-1",
        "Which?",
        "Think.",
        "A. red",
        "B. blue",
        "",
        "It is ⟦blue,⟧",
        "surely.",
        "",
        "probability: ⟦ ⟧ below 0.5; 1 of 19 letters have none",
        "final answer: A (wrong)",
        "right answer: B. blue",
    ]


def test_verdicts_are_told_apart() -> None:
    assert "A (right)" in shown(correct=True)
    assert "A (cannot be told)" in shown(correct=None)


def test_a_trace_without_item_or_answer_is_shown_alone() -> None:
    text = shown(Trace("x", "So.", ((3, 0.5),)), item=None)
    assert "final answer: none\n" in text
    assert "right answer" not in text


def test_the_right_code_keeps_its_indent() -> None:
    item = Item("HumanEval/0", "def f():", "    return 1\n", code=CodeCheck("check", "f"))
    assert "right answer: \n    return 1\n" in shown(item=item)


def test_a_terminal_gets_colours_with_a_scale_and_no_brackets() -> None:
    text = shown(on=console(terminal=True))
    assert "48;2;" in text
    assert "⟦" not in text
    assert "underlined below 0.5" in text


def test_no_color_gets_brackets_and_no_colours() -> None:
    text = shown(on=console(terminal=True, no_color=True))
    assert "48;2;" not in text
    assert "It is ⟦blue,⟧\nsurely" in text.replace("\x1b[4m", "").replace("\x1b[0m", "")


def test_hostile_texts_are_shown_and_never_acted_on() -> None:
    item = Item(HOSTILE, HOSTILE, "A", (HOSTILE, "x"), 0)
    trace = Trace(HOSTILE, HOSTILE, ((len(HOSTILE), 0.9),), HOSTILE)
    text = shown(trace, item)
    assert not any(mark in text for mark in "\x1b\x07\u202e\x9b\r")
    # The id, the question, the choice, the reasoning, and both answers.
    assert text.count(r"[red]\x1b[31m\x1b]0;title\x07[/bad] \u202e\x9b2J") == 6


def test_lost_backslashes_can_be_seen() -> None:
    assert trace_text(Trace("x", "2\times\x0crac", ((10, 0.9),))).plain == r"2\times\x0crac"


@given(st.text(min_size=1), st.booleans())
def test_any_text_can_be_shown(text: str, brackets: bool) -> None:
    trace = Trace("x", text, ((1, 0.1), (len(text) - 1, 0.9))[: min(len(text), 2)])
    plain = trace_text(trace, brackets=brackets).plain
    assert all(letter.isprintable() or letter in "\n\u200c\u200d" for letter in plain)


def summary_text(traces: TraceSet, correct: dict[str, bool | None] | None = None) -> str:
    on = console()
    print_summary(on, summarise(traces, None, correct), traces.header)
    return written(on)


def test_the_summary_shows_origin_figures_and_what_was_left_out() -> None:
    out = tuple(Exclusion(f"q{i}", f"row {i}: refused") for i in range(12))
    traces = TraceSet(HEADER, {TRACE.item: TRACE}, (*out, Exclusion("z", "too long")))
    text = summary_text(traces, {"arc-1": True})
    pairs = [re.split(r" {2,}", line.strip(), maxsplit=1) for line in text.splitlines()]
    rows = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    assert rows["frontier model"] == "gpt-4o"
    assert rows["made"] == "2026 by dataselect 1"
    assert rows["how"] == "by hand"
    # Most important first.
    assert text.index("letters") < text.index("left out:") < text.index("recorded with:")
    assert rows["letters"] == "mean 19.0, median 19.0, 19 to 19"
    assert rows["probabilities"] == "0.3 to 1.000, mean 0.694"
    assert rows["right answers"] == "1 of 1 (100.0%)"
    assert "12  row … refused" in text
    assert " 1  too long" in text
    assert "flat" not in text


def test_the_summary_of_hostile_texts_acts_on_nothing() -> None:
    header = TraceHeader(HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, HOSTILE)
    traces = TraceSet(header, {TRACE.item: TRACE}, (Exclusion("q", HOSTILE),))
    text = summary_text(traces)
    assert not any(mark in text for mark in "\x1b\x07\u202e\x9b\r")
    assert r"[red]\x1b[31m" in text


def test_the_summary_fits_80_columns() -> None:
    header = TraceHeader("b" * 90, "m" * 90, "", "dataselect 1")
    traces = TraceSet(header, {TRACE.item: TRACE}, (Exclusion("q", "w" * 200),))
    text = summary_text(traces)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("w") >= 200
