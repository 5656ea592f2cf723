"""Display of `dataselect traces build`: the estimated cost, then a progress bar."""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dataselect.report.overall import about, speed_words
from dataselect.stages.trace_progress import Pace
from dataselect.traces.recording.batch import Queue
from dataselect.traces.recording.build import Progress as Made
from dataselect.traces.recording.spending import Estimate
from dataselect.units import format_count, format_seconds

LINE_SECONDS = 30.0
"""Without a terminal there is a line for each tenth, and one in so many seconds."""


class OnlyEstimated(Exception):  # noqa: N818 - a normal end, not an error
    """Ends a dry run after the estimate."""


class ShownBuild:
    """A progress bar of questions with the money spent; `dry_run` ends after the estimate.

    With `dry_run`, `start` raises OnlyEstimated. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        console: Console,
        dry_run: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dry_run, self._clock = dry_run, clock
        self._pace = Pace(clock(), 0)
        self._line_at = -math.inf
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            # Without a terminal, progress is printed as lines.
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("asking", visible=False)
        self._printed = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, estimate: Estimate, progress: Made) -> None:
        """Print the number of questions and the estimated cost."""
        tokens = estimate.usage
        cost = "prices not known" if estimate.usd is None else f"about {estimate.usd:.2f} USD"
        kept = f" ({progress.settled} answered before)" if progress.settled else ""
        self._bar.console.print(
            f"{estimate.requests} questions to ask{kept}, about "
            f"{format_count(tokens.prompt_tokens)} tokens in and "
            f"{format_count(tokens.completion_tokens)} out: {cost}",
            markup=False,
            highlight=False,
        )
        if self._dry_run:
            raise OnlyEstimated
        self._pace = Pace(self._clock(), progress.settled)
        self._line_at = self._clock()
        self._bar.update(self._task, visible=True)
        self.advance(progress)

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        """Print the progress of the batches on the server."""
        self._bar.console.print(
            f"{queue.done} of {queue.requests} requests in batches are done, checking again in"
            f" {format_seconds(next_look_seconds)}",
            markup=False,
            highlight=False,
        )

    def advance(self, progress: Made) -> None:
        """Update the progress bar; without a terminal, print a line for every tenth."""
        now = self._clock()
        known = self._pace.fields(progress, now)
        words = ["asking"]
        if progress.excluded:
            words.append(f"{progress.excluded} left out")
        if progress.graded:
            words.append(f"{100 * progress.correct / progress.graded:.0f}% right")
        if progress.failed:
            words.append(f"{progress.failed} of {progress.requests} requests failed")
        words += _money(progress)
        described = ", ".join(words)
        self._bar.update(
            self._task,
            total=progress.questions,
            completed=progress.settled,
            description=described,
        )
        tenth = 10 * progress.settled // max(progress.questions, 1)
        due = tenth > self._printed or now - self._line_at >= LINE_SECONDS
        if not self._bar.console.is_terminal and due and progress.settled:
            self._printed, self._line_at = tenth, now
            left = known.get("seconds_left")
            if isinstance(left, float) and left >= 1:
                described += f", {speed_words(known)}, about {about(left)} left"
            self._bar.console.print(
                f"{progress.settled} of {progress.questions}: {described}",
                markup=False,
                highlight=False,
            )

    def note(self, text: str) -> None:
        """Print a remark above the bar."""
        self._bar.console.print(f"note: {text}", style="yellow", markup=False, highlight=False)


def _money(progress: Made) -> list[str]:
    """What was spent, what all will cost, and the cap."""
    if progress.usd is None:
        return []
    spent = f"{progress.usd:.2f}"
    if progress.expected_usd is not None:
        spent += f" of about {progress.expected_usd:.2f}"
    cap = "" if progress.max_usd is None else f" (cap {progress.max_usd:g})"
    return [f"{spent} USD{cap}"]
