"""The interface between the stages and the machines: jobs in, live events, outcomes out.

A job is a module-level function with plain arguments, so that another process or machine can run it
by name. A failed job never stops the others: its outcome has the error as text, because an
exception may not be picklable.

`dataselect.testing.compute` has the tests that every implementation must pass.

Not covered: dependencies between jobs (the stages call `run` once per step) and time limits.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self


@dataclass(frozen=True)
class Job:
    """The call `function(progress=…, **arguments)`.

    Raises ValueError when the function cannot be found by its module and name (a lambda, a local
    function, one defined in `__main__`).
    """

    name: str
    """Unique among the jobs of a run; events and outcomes carry it."""
    function: Callable[..., Any]
    """A module-level function with a picklable, small result. It calls `progress` with a mapping of
    numbers and texts, at most a few times a second."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments: picklable and small. Engines that send jobs by files take plain types,
    paths and dataclasses alone."""
    resources: "Resources | None" = None
    """What this job needs, where it differs from what the engine gives each job."""

    def __post_init__(self) -> None:
        module = getattr(self.function, "__module__", None) or ""
        name = getattr(self.function, "__qualname__", "")
        importable = getattr(sys.modules.get(module), name, None)
        if module == "__main__" or importable is not self.function:
            raise ValueError(f"job {self.name!r}: {self.function!r} is not importable by name")


@dataclass(frozen=True)
class Event:
    """A change in the state of a job."""

    job: str
    """Name of the job."""
    kind: Literal["started", "progress", "done", "failed", "retried"]
    """In the order started, progress…, then done or failed. After the death of a worker: retried,
    then started again."""
    fields: dict[str, float | int | str]
    """started: `attempt`, and `found` where it ran before the driver did. progress: what the job
    reported. done and failed: `wall_seconds` and `cpu_seconds`; failed also `error`. retried:
    `reason`."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job: str
    """Name of the job."""
    result: Any
    """What the function returned; None after a failure."""
    error: str | None
    """One line, for a DataselectError its message; None on success."""
    error_type: str | None
    """Class name of the exception, or "WorkerDied"; None on success."""
    wall_seconds: float
    """Summed over all attempts, including those whose worker died."""
    cpu_seconds: float
    """Summed over all attempts, including those whose worker died, of these up to the last time
    that it was known."""
    attempts: int
    details: str | None = None
    """Traceback and the end of the job's output, for the log."""


_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


BEAT_SECONDS = 5.0
"""Time between two signs of life of a process of jobs."""
SILENCE = 600.0
"""Seconds without a sign of life after which it counts as hung. A native call may keep the
interpreter, and so its signs of life, for minutes."""


STARTING = 120.0
"""Seconds of silence that are allowed in any case until the first sign of life: an interpreter
starts, and imports, before it."""


class Silence:
    """How long nothing was heard, counted while this process itself ran.

    A jump of a clock, or a stop of all processes together, is not the silence of the other one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._looked, self.seconds = clock, clock(), 0.0

    def broken(self) -> None:
        """There was a sign of life."""
        self._looked, self.seconds = self._clock(), 0.0

    def look(self) -> float:
        """Seconds of silence so far; call it every few seconds."""
        now = self._clock()
        self.seconds += min(max(0.0, now - self._looked), 2 * BEAT_SECONDS)
        self._looked = now
        return self.seconds


@dataclass(frozen=True)
class Resources:
    """What one job may use. Raises ValueError for fewer than one thread, or negative numbers.

    The engine of one machine gives threads, one number for all jobs, and GPUs, and limits neither
    memory nor time. A scheduler is asked for all of it.
    """

    threads: int | None = None
    """Threads for the numeric libraries of a job; None for no limit."""
    gpus: float = 0.0
    """GPUs; less than 1 shares one among several jobs."""
    memory: int | None = None
    """Bytes of main memory; None: the scheduler's default."""
    seconds: float | None = None
    """Longest time of an attempt; None: the scheduler's default."""
    cores: int | None = None
    """Cores; None: as many as threads."""
    silence: float = SILENCE
    """Longest time in seconds that a process of jobs may give no sign of life; then it is ended."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads are at least 1")
        if self.gpus < 0 or any(
            each is not None and each <= 0
            for each in (self.memory, self.seconds, self.cores, self.silence)
        ):
            raise ValueError("resources are positive")

    @property
    def beat(self) -> float:
        """Seconds between two signs of life of a process with these resources."""
        return min(BEAT_SECONDS, self.silence / 4)

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
        """The most jobs that run in parallel; at least 1, constant."""
        ...

    @property
    def resources(self) -> Resources:
        """What each job may use; constant."""
        ...

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """Run all jobs and return their outcomes in the order of the jobs.

        `on_event` is called in the caller's thread while the jobs run. KeyboardInterrupt, and any
        exception of `on_event`, ends the running jobs and propagates. Raises ValueError unless
        names are unique.
        """
        ...

    def close(self) -> None:
        """Release what is kept between runs; `run` must not be called afterwards.

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
    """Raise ValueError when two jobs share a name: events and outcomes identify jobs by it."""
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"several jobs are named {twice[0]!r}")


def plain_fields(fields: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Progress as plain Python values: unpickling a NumPy scalar or a tensor would import it."""
    return {
        name: value if type(value) in (int, str) else float(value) for name, value in fields.items()
    }


def closing_event(outcome: Outcome) -> Event:
    """The last event of a job: done or failed."""
    seconds: dict[str, float | int | str] = {
        "wall_seconds": outcome.wall_seconds,
        "cpu_seconds": outcome.cpu_seconds,
    }
    if outcome.error is None:
        return Event(outcome.job, "done", seconds)
    return Event(outcome.job, "failed", {**seconds, "error": outcome.error})
