"""Progress display of a run: one line for each piece of work, with its speed and time left.

Below them is how many of the part's proxies are done, and when the whole will be (`overall`). In a
terminal the lines are redrawn in place, and steps, notes and failures are printed above them.
Elsewhere (a log file, a batch system) a line is printed when a piece of work begins or ends, and at
most one progress line every ten seconds for all of them. The display only observes: numbers that
are missing or not finite are left out, and nothing here can stop a run.
"""

import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dataselect.compute import Event
from dataselect.report.overall import (
    counts,
    loss_words,
    overall,
    ranking_table,
    score_words,
    speed_words,
)
from dataselect.stages.progress import Progress, Work
from dataselect.stages.work import Fact, Planned, StageRanking
from dataselect.units import format_seconds
from dataselect.wording import one_line

LINE_SECONDS = 10.0
"""Least time between two progress lines if the display cannot be redrawn."""


def numbers(work: Work, peers: float | None = None) -> tuple[str, str, str]:
    """Speed, loss and time left of a piece of work; an empty string for each that is not known.

    `peers`: the median loss of others that are as far.
    """
    loss, left = work.number("loss"), work.number("seconds_left")
    return (
        speed_words(work.fields),
        loss_words(loss, peers),
        "" if left is None or work.share == 1 else f"{format_seconds(max(left, 0))} left",
    )


def work_title(work: Work) -> str:
    """The name, and for whom it waits while another process does this work."""
    return work.name if work.waits_for is None else f"{work.name} waits for {work.waits_for}"


class LiveWatch:
    """A `Watch` on a rich console; use it as a context manager around the run.

    `clock` returns monotonic seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._progress = Progress(clock)
        self._line_at = -math.inf
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=lambda: self,
                console=self._console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._close_step()
        self._progress = Progress(self._clock)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        self._close_step()
        self._progress.step(title)
        self._print(title, "bold")

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """Progress of the work in this process; a new name ends the work shown so far."""
        here = self._progress.here
        if here is None or here.name != work:
            self._end_here()
            self._begin(work)
        self._progress.progress(work, fields)
        self._progress_line()

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        self._end_here()
        self._progress.event(event)
        if event.kind == "started":
            self._begin(event.job)
        elif event.kind == "progress":
            self._progress_line()
        elif event.kind == "retried":
            reason = event.fields.get("reason", "")
            self._print(f"{event.job}: {reason}; trying it again", "yellow")
        else:
            self._end(event)

    def note(self, text: str) -> None:
        """A note for the user."""
        self._print(f"note: {text}", "yellow")

    def tell(self, fact: Fact) -> None:
        """Something is known of the work, or a stage has its ranking."""
        self._progress.tell(fact)
        part = self._progress.part
        if isinstance(fact, Planned) and fact.found and part is not None:
            total = fact.found + sum(job.runs for job in fact.jobs)
            self._print(f"  {fact.found} of {total} are in the store already")
        if isinstance(fact, StageRanking):
            self._console.print(ranking_table(fact))

    def _begin(self, name: str) -> None:
        # In a terminal the live display shows running work.
        if self._live is None:
            self._print(f"  {name} started")

    def _end(self, event: Event) -> None:
        seconds = event.fields.get("wall_seconds")
        took = f" after {format_seconds(seconds)}" if isinstance(seconds, int | float) else ""
        if event.fields.get("quiet"):
            return
        if event.kind == "failed":
            self._print(f"  {event.job} failed{took}: {event.fields.get('error', '')}", "red")
            return
        if event.fields.get("model") is not None:
            # A score is worth a line in a terminal too.
            self._print(f"  {event.job} done{took}{score_words(event.fields)}")
        elif self._live is None:
            self._print(f"  {event.job} done{took}")

    def _end_here(self) -> None:
        here = self._progress.here
        if here is None:
            return
        if self._live is None:
            took = format_seconds(self._clock() - here.begun)
            self._print(f"  {here.name} done after {took}")
        self._progress.here = None

    def _close_step(self) -> None:
        """Print the counts of a part, unless it had no jobs."""
        self._end_here()
        part = self._progress.part
        if part is not None and part.title and part.jobs:
            took = format_seconds(self._clock() - part.begun)
            style = "red" if part.runs("failed") else "green"
            self._print(f"  {counts(part.runs('done'), part.runs('failed'))} in {took}", style)
        self._progress.close()

    def _works(self) -> list[Work]:
        # A separate thread redraws the display: it gets copies made by one atomic call. A lock
        # here could deadlock with rich's own lock.
        here, part = self._progress.here, self._progress.part
        jobs = [] if part is None or part.ended is not None else list(part.jobs.values())
        running = [work for work in jobs if work.state == "running"]
        return running if here is None else [here, *running]

    def _progress_line(self) -> None:
        if self._live is not None:
            return
        now = self._clock()
        if now - self._line_at < LINE_SECONDS:
            return
        parts = []
        for work in self._works():
            share = "" if work.share is None else f"{100 * work.share:.0f}%"
            peers = self._progress.peers_loss(work)
            shown = " ".join(filter(None, [share, *numbers(work, peers)]))
            if shown or work.waits_for is not None:
                parts.append(f"{work_title(work)} {shown}".rstrip())
        if parts:
            self._line_at = now
            whole = overall(self._progress)
            self._print(f"  {' | '.join([*([whole] if whole else []), *parts])}")

    def _print(self, text: str, style: str = "") -> None:
        # Text, not a string: names and errors may contain rich markup.
        indent = " " * (len(text) - len(text.lstrip(" ")))
        self._console.print(Text(indent + one_line(text), style=style), soft_wrap=True)

    def __rich__(self) -> Group:
        """The lines that a terminal redraws in place: the running work."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(width=16)
        for justify in ("right", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)
        table.expand = True
        for work in self._works():
            share = work.share
            bar = ProgressBar(
                total=1.0 if share is not None else None,
                completed=share or 0.0,
                pulse=share is None,
            )
            shown = numbers(work, self._progress.peers_loss(work))
            table.add_row(Text(one_line(work_title(work))), bar, *map(Text, shown))
        lines: list[Text | Table] = [table]
        part = self._progress.part
        if part is not None and (part.planned or part.runs("done", "failed")):
            took = f"{format_seconds(self._clock() - part.begun)} so far"
            known = overall(self._progress) or counts(part.runs("done"), part.runs("failed"))
            lines.append(Text(f"{known}, {took}", style="dim"))
        return Group(*lines)
