"""Jobs in parallel processes on this machine.

Processes, because a crash or a lack of memory must cost one job and not the run, and because
training threads do not share an interpreter well. Workers are kept between runs (importing torch
takes seconds), and a job whose worker dies is retried in another. A job that raises is not retried:
it would raise again.

A worker gives a sign of life every few seconds. One that stops giving any (a machine that swaps, a
driver that hangs, a debugger) is ended and counts as dead.

Not covered: sharing GPUs out among workers, limits on memory or time, other machines; work that
hangs while its process lives.
"""

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from dataselect.compute.attempt import Attempt, attempt
from dataselect.compute.jobs import (
    SILENCE,
    Event,
    Job,
    Outcome,
    Resources,
    check_names,
    closing_event,
)
from dataselect.compute.worker_process import WorkerProcess

# Longest wait for messages; then dead workers whose child keeps the connection open are noticed.
_POLL_SECONDS = 1.0


@dataclass
class _Task:
    """A job that waits or runs."""

    job: Job
    payload: bytes
    """The pickled function and arguments, for the worker."""
    attempts: int = 0
    started: float = 0.0
    """When the latest attempt started, by `time.perf_counter`."""
    wall_lost: float = 0.0
    """Seconds of the attempts whose worker died."""
    cpu_lost: float = 0.0
    """CPU seconds of the attempts whose worker died."""

    def outcome(self, last: Attempt, output: str | None = None) -> Outcome:
        """The outcome after the `last` attempt; `output` is the end of what that one printed."""
        details = last.details
        if last.error is not None and output:
            details = "\n".join(filter(None, [last.details, "it printed last:", output]))
        return Outcome(
            self.job.name,
            last.result,
            last.error,
            last.error_type,
            self.wall_lost + last.wall_seconds,
            self.cpu_lost + last.cpu_seconds,
            self.attempts,
            details,
        )


class LocalProcesses:
    """A `Compute` of up to `jobs` worker processes with `threads` numeric threads each.

    A job whose worker dies, or gives no sign of life for `silence` seconds, is retried up to
    `retries` times.
    """

    def __init__(self, jobs: int, threads: int, retries: int = 1, silence: float = SILENCE) -> None:
        if jobs < 1 or threads < 1 or retries < 0:
            raise ValueError("jobs and threads are at least 1, retries at least 0")
        self.slots, self.resources, self.retries = (
            jobs,
            Resources(threads, silence=silence),
            retries,
        )
        self._workers: dict[WorkerProcess, _Task | None] = {}  # None: idle
        # A pipe that nobody writes to: when this process ends, for any reason, the workers read
        # the end of the file.
        self._lifeline: tuple[int, int] | None = os.pipe()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """See `Compute.run`. Raises pickle's error when arguments cannot be pickled."""
        check_names(jobs)
        tasks = [_Task(job, pickle.dumps((job.function, job.arguments))) for job in jobs]
        try:
            outcomes = self._run(deque(tasks), on_event)
        except BaseException:
            self._end_workers()
            raise
        return [outcomes[job.name] for job in jobs]

    def close(self) -> None:
        """Stop the workers; calling it again does nothing."""
        self._end_workers()
        if self._lifeline is not None:
            for descriptor in self._lifeline:
                os.close(descriptor)
            self._lifeline = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, waiting: deque[_Task], on_event: Callable[[Event], None]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        while waiting or self._busy():
            while waiting and len(self._busy()) < self.slots:
                task = waiting.popleft()
                self._assign(task)
                on_event(Event(task.job.name, "started", {"attempt": task.attempts}))
            for worker, _ in self._busy():
                worker.end_if_hung()
            for worker, task in self._ready():
                try:
                    kind, content = worker.receive()
                except (EOFError, OSError):
                    if worker.died_idle:
                        self._discard(worker)
                        task.attempts -= 1
                        waiting.appendleft(task)
                        continue
                    outcome = self._end_lost(worker, task)
                    if task.attempts <= self.retries:
                        on_event(Event(task.job.name, "retried", {"reason": str(outcome.error)}))
                        # At the end of the queue, where fewer jobs run beside it and use memory.
                        waiting.append(task)
                        continue
                else:
                    if kind in ("begun", "alive"):
                        continue
                    if kind == "progress":
                        on_event(Event(task.job.name, "progress", content))
                        continue
                    self._workers[worker] = None
                    outcome = task.outcome(_unpickled(content), worker.output_tail())
                outcomes[task.job.name] = outcome
                on_event(closing_event(outcome))
        return outcomes

    def _busy(self) -> list[tuple[WorkerProcess, _Task]]:
        return [(worker, task) for worker, task in self._workers.items() if task is not None]

    def _ready(self) -> list[tuple[WorkerProcess, _Task]]:
        """Busy workers that sent a message or ended; waits up to `_POLL_SECONDS` for one."""
        ready = set(wait([worker.connection for worker, _ in self._busy()], _POLL_SECONDS))
        return [
            (worker, task)
            for worker, task in self._busy()
            if worker.connection in ready or worker.has_ended()
        ]

    def _assign(self, task: _Task) -> None:
        """Send the task to an idle worker that is still alive, else to a new one."""
        task.attempts += 1
        task.started = time.perf_counter()
        for worker in [worker for worker, busy_with in self._workers.items() if busy_with is None]:
            with suppress(OSError):
                worker.send(task.payload)
                self._workers[worker] = task
                return
            self._discard(worker)
        if self._lifeline is None:
            raise RuntimeError("this compute is closed")
        worker = WorkerProcess(self.resources, self._lifeline[0])
        self._workers[worker] = task
        # If it has ended already, the next read from it shows that.
        with suppress(OSError):
            worker.send(task.payload)

    def _end_lost(self, worker: WorkerProcess, task: _Task) -> Outcome:
        """Clean up after a dead worker; the task's outcome if this was its last attempt."""
        error = worker.cause_of_death()
        task.wall_lost += time.perf_counter() - task.started
        task.cpu_lost += worker.cpu_seconds_unreported
        lost = Attempt(None, error, "WorkerDied", None, wall_seconds=0.0, cpu_seconds=0.0)
        outcome = task.outcome(lost, worker.output_tail())
        self._discard(worker)
        return outcome

    def _discard(self, worker: WorkerProcess) -> None:
        worker.end()
        del self._workers[worker]

    def _end_workers(self) -> None:
        for worker in list(self._workers):
            self._discard(worker)


def _unpickled(sent: Attempt) -> Attempt:
    """The attempt with its result unpickled; a failed attempt when it cannot be."""
    if sent.error is not None:
        return sent
    read = attempt(lambda: pickle.loads(sent.result))  # noqa: S301 (from our own child)
    return replace(read, wall_seconds=sent.wall_seconds, cpu_seconds=sent.cpu_seconds)
