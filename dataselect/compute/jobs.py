"""The interface between the order of work and the machines: jobs in, events live, outcomes out.

A job is a module-level function with plain arguments, so that it can be run in another process
or on another machine by name. One failed job never stops the others: its outcome carries the
error as text, because an exception object may not survive the trip.

`dataselect.testing.compute` has the tests that every implementation must pass.

Not covered: dependencies between jobs (the stages call `run` once per step) and time limits.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self


@dataclass(frozen=True)
class Job:
    """`function(progress=…, **arguments)`; arguments and result must be picklable and small.

    `progress` takes a mapping of numbers and texts, at most a few times a second. ValueError
    when the function cannot be found again by its module and name (a lambda, a local function,
    one defined in `__main__`).
    """

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module = getattr(self.function, "__module__", None) or ""
        name = getattr(self.function, "__qualname__", "")
        found = getattr(sys.modules.get(module), name, None)
        if module == "__main__" or found is not self.function:
            raise ValueError(f"job {self.name!r}: {self.function!r} is not importable by name")


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job, in order: started, progress…, then done or failed.

    When its worker died there is a `retried` (fields: `reason`) and then `started` once more.
    Fields: started `attempt`; progress whatever the job said; done and failed `wall_seconds`,
    `cpu_seconds`, and failed also `error`.
    """

    job: str
    kind: Literal["started", "progress", "done", "failed", "retried"]
    fields: dict[str, float | int | str]


@dataclass(frozen=True)
class Outcome:
    """How a job ended. Seconds are summed over its attempts, those that died included.

    `error` is one line (for a DataselectError its message) and None on success; `error_type` is
    the exception's class name, or "WorkerDied". `details` holds the traceback and the tail of
    what the job printed, for the log.
    """

    job: str
    result: Any
    error: str | None
    error_type: str | None
    wall_seconds: float
    cpu_seconds: float
    attempts: int
    details: str | None = None


_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Resources:
    """What one job may use. ValueError for fewer than one thread.

    Not covered: GPUs. Jobs are told the device in their arguments, and all of them see all GPUs.
    """

    threads: int | None = None
    """Threads that the numeric libraries of a job compute with; None where nothing limits them."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads are at least 1")

    def environment(self) -> dict[str, str]:
        """Environment variables that limit a process to these resources.

        The numeric libraries read them once, when they are first imported, so they must be set
        before the process starts.
        """
        if self.threads is None:
            return {}
        return dict.fromkeys(_THREAD_VARIABLES, str(self.threads))


class Compute(Protocol):
    """Runs jobs. Use it as a context manager, or call `close` at the end."""

    @property
    def slots(self) -> int:
        """How many jobs run side by side at most; at least 1, and always the same."""
        ...

    @property
    def resources(self) -> Resources:
        """What each job may use; always the same."""
        ...

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """Run all jobs and return their outcomes in the order of the jobs.

        `on_event` is called in the caller's thread while the jobs run. KeyboardInterrupt, and
        whatever `on_event` raises, ends the running jobs and propagates. Names must be unique
        (ValueError).
        """
        ...

    def close(self) -> None:
        """Give back what is held between runs; `run` must not be called afterwards.

        Calling it again does nothing. Leaving the context manager calls it too.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_names(jobs: Sequence[Job]) -> None:
    """ValueError when two jobs share a name, which events and outcomes go by."""
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"several jobs are named {twice[0]!r}")


def plain_fields(fields: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Progress as plain Python values: reading a NumPy scalar or a tensor would import it."""
    return {
        name: value if type(value) in (int, str) else float(value) for name, value in fields.items()
    }


def closing_event(outcome: Outcome) -> Event:
    """The last event of a job, from how it ended."""
    seconds: dict[str, float | int | str] = {
        "wall_seconds": outcome.wall_seconds,
        "cpu_seconds": outcome.cpu_seconds,
    }
    if outcome.error is None:
        return Event(outcome.job, "done", seconds)
    return Event(outcome.job, "failed", {**seconds, "error": outcome.error})
