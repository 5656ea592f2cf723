"""Display while traces are built: the cost estimate, then the progress."""

import io

import pytest
from rich.console import Console

from dataselect.report.tables.trace_build import OnlyEstimated, ShownBuild
from dataselect.traces.recording.build import Progress
from dataselect.traces.recording.spending import Estimate, Usage

ESTIMATE = Estimate(40, Usage(12_000, 3_400), 1.234)
BEFORE = Progress(50, 10, 0, 0.5, 2.0)


def console(terminal: bool = False) -> Console:
    return Console(width=100, file=io.StringIO(), force_terminal=terminal, color_system=None)


def written(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_the_cost_is_said_before_the_first_question() -> None:
    on = console()
    with ShownBuild(on) as watch:
        watch.start(ESTIMATE, BEFORE)
    first = written(on).splitlines()[0]
    assert first == (
        "40 questions to ask (10 answered before), about 12K tokens in and 3.4K out: about 1.23 USD"
    )


def test_nothing_is_said_of_earlier_answers_and_prices_that_there_are_not() -> None:
    on = console()
    with ShownBuild(on) as watch:
        watch.start(Estimate(50, Usage(12_000, 3_400), None), Progress(50, 0, 0, None, None))
    first = written(on).splitlines()[0]
    assert first.startswith("50 questions to ask, about")
    assert first.endswith("out: prices not known")
    assert "USD" not in written(on)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_dry_run_ends_after_the_estimate(terminal: bool) -> None:
    on = console(terminal)
    with pytest.raises(OnlyEstimated), ShownBuild(on, dry_run=True) as watch:
        watch.start(ESTIMATE, BEFORE)
    assert "1.23 USD" in written(on)
    assert "asking" not in written(on)


def test_without_a_terminal_every_tenth_is_a_line() -> None:
    on = console()
    with ShownBuild(on) as watch:
        watch.start(Estimate(50, Usage(1, 1), 2.0), Progress(50, 0, 0, 0.0, 2.0))
        for settled in range(1, 51):
            watch.advance(Progress(50, settled, settled // 20, settled / 25, 2.0))
    lines = [line for line in written(on).splitlines() if " of 50: " in line]
    assert [line.split()[0] for line in lines] == [str(n) for n in range(5, 51, 5)]
    assert lines[0] == "5 of 50: asking, 0.20 of about 2.00 USD"
    assert lines[-1] == "50 of 50: asking, 2 left out, 2.00 of about 2.00 USD"


def test_in_a_terminal_it_is_a_bar() -> None:
    on = console(terminal=True)
    with ShownBuild(on) as watch:
        watch.start(ESTIMATE, BEFORE)
        watch.advance(Progress(50, 50, 1, 2.0, 2.0))
    text = written(on)
    assert "50/50" in text
    assert "asking, 1 left out, 2.00 of about 2.00 USD" in text
    assert "50 of 50" not in text


def test_no_question_at_all_is_shown_as_well() -> None:
    on = console()
    with ShownBuild(on) as watch:
        watch.start(Estimate(0, Usage(0, 0), 0.0), Progress(0, 0, 0, 0.0, 0.0))
    assert written(on).startswith("0 questions to ask")
