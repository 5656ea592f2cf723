"""Progress display of a run: one line for each piece of work, with its speed and time left.

In a terminal the lines are redrawn in place, and steps, notes and failures are printed above them.
Elsewhere (a log file, a batch system) a line is printed when a piece of work begins or ends, and at
most one progress line every ten seconds for all of them. The display only observes: numbers that
are missing or not finite are left out, and nothing here can stop a run.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dataselect.compute import Event
from dataselect.units import format_count, format_seconds
from dataselect.wording import one_line

LINE_SECONDS = 10.0
"""Least time between two progress lines if the display cannot be redrawn."""


@dataclass
class _Work:
    """A running piece of work and the last progress it reported."""

    name: str
    """Name of the job or of the work in this process."""

    begun: float
    """Clock time of its start, in seconds."""

    fields: Mapping[str, float | int | str] = field(default_factory=dict)
    """The last progress: `tokens`, `total_tokens`, `tokens_per_second`, `loss`, ..."""

    def number(self, key: str) -> float | None:
        """A number of the progress; None if it is missing or not finite."""
        value = self.fields.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
        return None

    @property
    def title(self) -> str:
        """The name, and for whom it waits while another process does this work."""
        holder = self.fields.get("waits_for")
        return self.name if holder is None else f"{self.name} waits for {holder}"

    @property
    def share(self) -> float | None:
        """Share of the tokens done, in 0..1; None if not known."""
        done, total = self.number("tokens"), self.number("total_tokens")
        return None if done is None or not total else min(done / total, 1.0)

    def texts(self) -> tuple[str, str, str]:
        """Speed, loss and time left; an empty string for each that is not known."""
        speed, loss = self.number("tokens_per_second"), self.number("loss")
        left = self.number("seconds_left")
        return (
            "" if speed is None else f"{format_count(max(speed, 0))} tok/s",
            "" if loss is None else f"loss {loss:.3f}",
            "" if left is None or self.share == 1 else f"{format_seconds(max(left, 0))} left",
        )


class LiveWatch:
    """A `Watch` on a rich console; use it as a context manager around the run.

    `clock` returns monotonic seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._jobs: dict[str, _Work] = {}
        self._here: _Work | None = None
        self._title, self._begun = "", clock()
        self._done = self._failed = 0
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
        self._jobs.clear()
        self._here = None
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        self._close_step()
        self._title, self._begun = title, self._clock()
        self._print(title, "bold")

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """Progress of the work in this process; a new name ends the work shown so far."""
        if self._here is None or self._here.name != work:
            self._end_here()
            self._here = _Work(work, self._clock())
            self._begin(work)
        self._here.fields = dict(fields)
        self._progress_line()

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        self._end_here()
        work = self._jobs.setdefault(event.job, _Work(event.job, self._clock()))
        if event.kind == "started":
            work.fields = {}
            self._begin(event.job)
        elif event.kind == "progress":
            work.fields = dict(event.fields)
        elif event.kind == "retried":
            work.fields = {}
            reason = event.fields.get("reason", "")
            self._print(f"{event.job}: {reason}; trying it again", "yellow")
        else:
            del self._jobs[event.job]
            self._end(event)
        if event.kind == "progress":
            self._progress_line()

    def note(self, text: str) -> None:
        """A note for the user."""
        self._print(f"note: {text}", "yellow")

    def _begin(self, name: str) -> None:
        # In a terminal the live display shows running work.
        if self._live is None:
            self._print(f"  {name} started")

    def _end(self, event: Event) -> None:
        seconds = event.fields.get("wall_seconds")
        took = f" after {format_seconds(seconds)}" if isinstance(seconds, int | float) else ""
        if event.kind == "failed":
            self._failed += 1
            self._print(f"  {event.job} failed{took}: {event.fields.get('error', '')}", "red")
            return
        self._done += 1
        if self._live is None:
            self._print(f"  {event.job} done{took}")

    def _end_here(self) -> None:
        if self._here is None:
            return
        if self._live is None:
            took = format_seconds(self._clock() - self._here.begun)
            self._print(f"  {self._here.name} done after {took}")
        self._here = None

    def _close_step(self) -> None:
        """Print the counts of a step, unless it had no jobs."""
        self._end_here()
        if self._title and self._done + self._failed:
            took = format_seconds(self._clock() - self._begun)
            self._print(f"  {self._counts()} in {took}", "green" if not self._failed else "red")
        self._done = self._failed = 0

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} done{failed}"

    def _works(self) -> list[_Work]:
        # A separate thread redraws the display: it gets a copy made by one atomic call. A lock
        # here could deadlock with rich's own lock.
        here, jobs = self._here, list(self._jobs.values())
        return jobs if here is None else [here, *jobs]

    def _progress_line(self) -> None:
        if self._live is not None:
            return
        now = self._clock()
        if now - self._line_at < LINE_SECONDS:
            return
        parts = []
        for work in self._works():
            share = "" if work.share is None else f"{100 * work.share:.0f}%"
            numbers = " ".join(filter(None, [share, *work.texts()]))
            if numbers or work.title != work.name:
                parts.append(f"{work.title} {numbers}".rstrip())
        if parts:
            self._line_at = now
            self._print(f"  {' | '.join(parts)}")

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
            table.add_row(Text(one_line(work.title)), bar, *map(Text, work.texts()))
        lines: list[Text | Table] = [table]
        if self._done + self._failed:
            took = format_seconds(self._clock() - self._begun)
            lines.append(Text(f"{self._counts()}, {took} so far", style="dim"))
        return Group(*lines)
