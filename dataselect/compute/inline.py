"""Jobs one after the other in this process: for tests, debugging and a single tiny job.

Not covered: a crash of the interpreter or Ctrl-C inside native code also ends the caller, and the
output of a job goes to the caller's output.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from dataselect.compute.attempt import attempt
from dataselect.compute.jobs import (
    Event,
    Job,
    Outcome,
    Resources,
    check_names,
    closing_event,
    plain_fields,
)


class _CallbackFailed(BaseException):
    """Carries an exception of `on_event` through the job, which must not catch it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(error)


class InlineCompute:
    """A `Compute` without processes: one slot, and the thread settings of this process."""

    slots = 1
    resources = Resources()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """See `Compute.run`."""
        check_names(jobs)
        return [_run_one(job, on_event) for job in jobs]

    def close(self) -> None:
        """Does nothing: no resources are kept between runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _run_one(job: Job, on_event: Callable[[Event], None]) -> Outcome:
    def progress(fields: Mapping[str, Any]) -> None:
        event = Event(job.name, "progress", plain_fields(fields))
        try:
            on_event(event)
        except Exception as error:
            raise _CallbackFailed(error) from None

    on_event(Event(job.name, "started", {"attempt": 1}))
    try:
        ended = attempt(lambda: job.function(progress=progress, **job.arguments))
    except _CallbackFailed as failed:
        raise failed.error from None
    outcome = Outcome(
        job.name,
        ended.result,
        ended.error,
        ended.error_type,
        ended.wall_seconds,
        ended.cpu_seconds,
        attempts=1,
        details=ended.details,
    )
    on_event(closing_event(outcome))
    return outcome
