"""The progress of asking a server for traces, as a `Watch` gets it, and whether it goes well.

What a later stage pays for is decided here: a model whose answers are mostly wrong, or cannot be
read, costs the same as a good one. So the shares of both are followed while the money is spent.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dataselect.stages.progress import Fields
from dataselect.stages.watch import Watch
from dataselect.traces.recording.batch import Queue
from dataselect.traces.recording.build import Progress
from dataselect.traces.recording.spending import Estimate

ENOUGH = 20
"""Answers or requests before their share says something."""
_FEWEST_FOR_SPEED = 3
_LOW_CORRECT, _MANY_LOST = 0.5, 0.2


@dataclass(frozen=True)
class Pace:
    """The speed of a recording, from its first question in this call."""

    began: float
    """Clock time, in seconds."""
    before: int
    """Questions that were settled then."""

    def fields(self, progress: Progress, now: float) -> dict[str, float | int | str]:
        """What is known of the recording now."""
        found: dict[str, float | int | str] = {
            "items": progress.settled,
            "total_items": progress.questions,
            "left_out": progress.excluded,
            "requests": progress.requests,
            "failed": progress.failed,
        }
        settled, seconds = progress.settled - self.before, now - self.began
        if settled >= _FEWEST_FOR_SPEED and seconds > 0:
            rate = settled / seconds
            found["items_per_second"] = rate
            found["seconds_left"] = (progress.questions - progress.settled) / rate
        if progress.graded:
            found |= {"graded": progress.graded, "correct": progress.correct}
        money = {
            "usd": progress.usd,
            "expected_usd": progress.expected_usd,
            "max_usd": progress.max_usd,
        }
        found |= {name: value for name, value in money.items() if value is not None}
        return found


def low_shares(progress: Progress) -> dict[str, str]:
    """What goes badly so far, by kind, each in a sentence; empty where too little is known."""
    found = {}
    if progress.graded >= ENOUGH and progress.correct < _LOW_CORRECT * progress.graded:
        found["correct"] = (
            f"only {progress.correct} of {progress.graded} answers are right so far; traces with"
            " wrong answers are a weak measure: Ctrl-C keeps what is paid for"
        )
    if progress.requests >= ENOUGH and progress.failed > _MANY_LOST * progress.requests:
        found["failed"] = (
            f"{progress.failed} of {progress.requests} requests got no answer so far; fewer at a"
            " time (--concurrency) or a longer --timeout may help"
        )
    settled = progress.settled
    if settled >= ENOUGH and progress.excluded > _MANY_LOST * settled:
        found["left_out"] = (
            f"{progress.excluded} of {settled} answers cannot be used so far; the trace file says"
            " why, item by item"
        )
    return found


class WatchedBuild:
    """A `BatchWatch` that tells a `Watch` of a recording, and notes once what goes badly.

    `work` is its name in the progress display.
    """

    def __init__(
        self, watch: Watch, work: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch, self._work, self._clock = watch, work, clock
        self._pace = Pace(clock(), 0)
        self._fields: Fields = {}
        self._said: set[str] = set()

    def start(self, estimate: Estimate, progress: Progress) -> None:
        """The first question is about to be asked."""
        self._pace = Pace(self._clock(), progress.settled)
        self.advance(progress)

    def advance(self, progress: Progress) -> None:
        """A question is settled."""
        self._fields = self._pace.fields(progress, self._clock())
        self._watch.progress(self._work, self._fields)
        for kind, text in low_shares(progress).items():
            if kind not in self._said:
                self._said.add(kind)
                self._watch.note(text)

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        """No batch is over; what is done in them has no trace yet."""
        self._watch.progress(self._work, {**self._fields, "done_in_batches": queue.done})
