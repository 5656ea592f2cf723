"""Display of `dataselect traces build`: the estimated cost, then a progress bar."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dataselect.traces.recording.batch import Queue
from dataselect.traces.recording.build import Progress as Made
from dataselect.traces.recording.spending import Estimate
from dataselect.units import format_count, format_seconds


class OnlyEstimated(Exception):  # noqa: N818 - a normal end, not an error
    """Ends a dry run after the estimate."""


class ShownBuild:
    """A progress bar of questions with the money spent; `dry_run` ends after the estimate.

    With `dry_run`, `start` raises OnlyEstimated.
    """

    def __init__(self, console: Console, dry_run: bool = False) -> None:
        self._dry_run = dry_run
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
        words = ["asking"]
        if progress.excluded:
            words.append(f"{progress.excluded} left out")
        if progress.usd is not None and progress.expected_usd is not None:
            words.append(f"{progress.usd:.2f} of about {progress.expected_usd:.2f} USD")
        described = ", ".join(words)
        self._bar.update(
            self._task,
            total=progress.questions,
            completed=progress.settled,
            description=described,
        )
        tenth = 10 * progress.settled // max(progress.questions, 1)
        if not self._bar.console.is_terminal and tenth > self._printed:
            self._printed = tenth
            self._bar.console.print(
                f"{progress.settled} of {progress.questions}: {described}",
                markup=False,
                highlight=False,
            )
