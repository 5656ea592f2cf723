import io
import math

import pytest
from rich.console import Console

from dataselect.compute import Event
from dataselect.report.live import LiveWatch
from dataselect.report.overall import about
from dataselect.stages.watch import Watch
from dataselect.stages.work import (
    ExpectedPart,
    Outlook,
    Planned,
    PlannedJob,
    RankedRow,
    StageRanking,
)

FIGURES = {
    "tokens": 300_000,
    "total_tokens": 1_000_000,
    "tokens_per_second": 22_345.0,
    "loss": 5.12,
    "seconds_left": 75.0,
}


class Clock:
    """A clock that advances only on request."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A console and what was printed on it."""

    def __init__(self, terminal: bool) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, width=80, force_terminal=terminal, color_system=None)

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.file.getvalue().splitlines() if line.strip()]


def progress(job: str, **changed: float) -> Event:
    return Event(job, "progress", {**FIGURES, **changed})


def test_in_a_log_there_is_a_line_for_each_beginning_and_end() -> None:
    screen, clock = Screen(terminal=False), Clock()
    with LiveWatch(screen.console, clock) as watch:
        watch.step("Stage 1: screen")
        watch.event(Event("a", "started", {"attempt": 1}))
        watch.event(Event("b", "started", {"attempt": 1}))
        clock.now += 65
        watch.event(Event("a", "done", {"wall_seconds": 61.0}))
        watch.event(Event("b", "failed", {"wall_seconds": 2.0, "error": "no [/room]"}))
    assert screen.lines == [
        "Stage 1: screen",
        "a started",
        "b started",
        "a done after 1m 1s",
        "b failed after 2.0s: no [/room]",
        "1 done, 1 failed in 1m 5s",
    ]


def test_a_job_that_waits_for_another_process_says_for_which() -> None:
    waits: dict[str, float | int | str] = {"waits_for": "process 7 on node1 (stage1/web)"}
    screen = Screen(terminal=False)
    with LiveWatch(screen.console, Clock()) as watch:
        watch.event(Event("stage1/web", "started", {}))
        watch.event(Event("stage1/web", "progress", waits))
    assert "stage1/web waits for process 7 on node1 (stage1/web)" in screen.lines
    with LiveWatch(Screen(terminal=True).console, Clock()) as watch:
        watch.progress("tokens", waits)
        shown = Screen(terminal=False)
        shown.console.print(watch)
        assert "tokens waits for process 7 on node1" in shown.lines[0]
        watch.progress("tokens", FIGURES)
        shown.console.print(watch)
        assert "waits" not in shown.lines[-1]


def test_in_a_log_progress_takes_one_line_in_ten_seconds_for_all_jobs() -> None:
    screen, clock = Screen(terminal=False), Clock()
    with LiveWatch(screen.console, clock) as watch:
        for job in ("a", "b"):
            watch.event(Event(job, "started", {}))
        for _ in range(50):
            clock.now += 0.5
            for job in ("a", "b"):
                watch.event(progress(job))
    lines = [line for line in screen.lines if "tok/s" in line]
    assert len(lines) == 3  # at once, then after 10 and 20 of the 25 seconds
    assert lines[-1] == (
        "a 30% 22.3K tok/s loss 5.120 1m 15s left | b 30% 22.3K tok/s loss 5.120 1m 15s left"
    )


def drawn(watch: LiveWatch) -> list[str]:
    """The lines that a terminal shows for the running work."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(watch)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_figures_that_are_missing_or_no_numbers_are_left_out() -> None:
    screen = Screen(terminal=False)
    with LiveWatch(screen.console, Clock()) as watch:
        watch.event(Event("a", "started", {}))
        watch.event(progress("a", loss=math.nan, seconds_left=math.inf, total_tokens=0))
        watch.event(Event("b", "progress", {"tokens": "many", "loss": 2.5}))
        watch.event(Event("c", "progress", {}))
        lines = drawn(watch)
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]
    assert lines[0].rstrip().endswith("22.3K tok/s")
    assert lines[1].rstrip().endswith("loss 2.500")
    assert screen.lines[1] == "a 22.3K tok/s"


def test_a_terminal_draws_a_line_for_each_running_job_within_80_columns() -> None:
    with LiveWatch(Screen(terminal=True).console, Clock()) as watch:
        watch.step("Stage 1: screen")
        for job in ("stage1/[/bad]", f"stage1/{'x' * 64}"):
            watch.event(Event(job, "started", {}))
            watch.event(progress(job))
        watch.event(Event("stage1/c", "done", {"wall_seconds": 1.0}))
        lines = drawn(watch)
    assert lines[0].startswith("stage1/[/bad] ")
    assert all(line.endswith("22.3K tok/s loss 5.120 1m 15s left") for line in lines[:2])
    assert lines[2].strip() == "1 done, 0.0s so far"
    assert max(map(len, lines)) <= 80


def test_a_terminal_keeps_only_what_matters() -> None:
    screen = Screen(terminal=True)
    with LiveWatch(screen.console, Clock()) as watch:
        watch.step("Stage 1: screen")
        watch.event(Event("stage1/[/bad]", "started", {}))
        watch.note("look [here]")
        watch.event(Event("stage1/[/bad]", "retried", {"reason": "its worker died"}))
        watch.event(Event("stage1/[/bad]", "started", {"attempt": 2}))
        watch.event(Event("stage1/[/bad]", "done", {"wall_seconds": 1.0}))
    text = screen.file.getvalue()
    assert "Stage 1: screen" in text
    assert "note: look [here]" in text
    assert "stage1/[/bad]: its worker died; trying it again" in text
    assert "1 done in 0.0s" in text
    assert "started" not in text
    assert shows_cursor(text)


def shows_cursor(text: str) -> bool:
    return text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_work_in_this_process_ends_when_other_work_begins() -> None:
    screen, clock = Screen(terminal=False), Clock()
    with LiveWatch(screen.console, clock) as watch:
        watch.step("Corpus")
        watch.progress("web", {"tokens": 1.0, "total_tokens": 2.0})
        clock.now += 3
        watch.progress("books", {"tokens": 1.0, "total_tokens": 2.0})
        clock.now += 4
        watch.step("Stage 1: screen")
    assert [line for line in screen.lines if "done" in line] == [
        "web done after 3.0s",
        "books done after 4.0s",
    ]


def test_an_interruption_gives_the_terminal_back_and_claims_nothing() -> None:
    screen = Screen(terminal=True)

    def interrupted() -> None:
        with LiveWatch(screen.console, Clock()) as watch:
            watch.step("Stage 1: screen")
            watch.event(Event("a", "started", {}))
            watch.event(Event("b", "done", {}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = screen.file.getvalue()
    assert shows_cursor(text)
    assert "1 done in" not in text


def test_it_is_a_watch() -> None:
    watch: Watch = LiveWatch(Screen(terminal=False).console)
    watch.note("ok")


def test_how_far_the_whole_is_stands_below_the_jobs_and_in_a_log_before_them() -> None:
    outlook = Outlook(1, (ExpectedPart("Stage 1: screen", 3, 1e6), ExpectedPart("Stage 2", 1, 5e6)))
    planned = Planned(tuple(PlannedJob(name, 1, 1e6, 1_000_000) for name in "ab"), found=1)
    screen, clock = Screen(terminal=False), Clock()
    with LiveWatch(screen.console, clock) as watch:
        watch.tell(outlook)
        watch.step("Stage 1: screen")
        watch.tell(planned)
        assert drawn(watch)[-1].strip() == "1 of 3 done; time left not known yet, 0.0s so far"
        watch.event(Event("a", "started", {}))
        clock.now += 60
        watch.event(progress("a", tokens_per_second=10_000.0))
        assert drawn(watch)[-1].strip() == "1 of 3 done; about 11m left in all, 1m so far"
        watch.event(Event("a", "failed", {"error": "no disk", "wall_seconds": 1.0}))
        watch.event(Event("a", "retried", {"reason": "no disk"}))
        watch.event(Event("a", "started", {}))
        watch.event(Event("a", "done", {"wall_seconds": 1.0}))
        watch.event(Event("b", "failed", {"error": "bad data", "wall_seconds": 1.0}))
    assert "1 of 3 are in the store already" in screen.lines
    assert any(
        line.startswith("1 of 3 done; about 11m left in all | a 30%") for line in screen.lines
    )
    assert "a: no disk; trying it again" in screen.lines
    assert screen.lines[-1] == "1 done, 1 failed in 1m"


def test_a_ranking_is_shown_at_once_within_80_columns() -> None:
    rows = tuple(
        RankedRow(f"candidate-{n}", n, n / 10, n / 10 - 1, n / 10 + 1, 1 / n, n < 3)
        for n in range(1, 12)
    )
    screen = Screen(terminal=False)
    with LiveWatch(screen.console, Clock()) as watch:
        without = {
            "web [/x]": "its worker was killed by SIGKILL, often a sign of too little memory"
        }
        watch.tell(StageRanking("stage1", "Stage 1", 2, rows, without))
    assert "P(best 2)" in screen.lines[0]
    assert " ".join(screen.lines[2].split()) == "1 candidate-1 0.10 [−0.90, 1.10] > 0.99 goes on"
    assert any("web [/x]" in line for line in screen.lines)
    assert max(map(len, screen.lines)) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.0, "10s"), (43.0, "40s"), (61.0, "1m"), (1499.0, "25m"), (12_345.0, "3h 30m")],
)
def test_an_estimate_has_few_digits(seconds: float, text: str) -> None:
    assert about(seconds) == text
