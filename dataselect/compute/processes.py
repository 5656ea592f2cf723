"""Jobs side by side in processes of this machine.

Processes, because a crash or a lack of memory must cost one job and not the run, and because
training threads do not share an interpreter well. Workers are kept between runs (importing torch
costs seconds), and a job whose worker dies is tried again in another. An exception is not tried
again: the same job would raise it again.

Not covered: sharing GPUs out among workers, limits on memory or time, other machines.
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
from dataselect.compute.jobs import Event, Job, Outcome, Resources, check_names, closing_event
from dataselect.compute.worker_process import WorkerProcess

# How late the end of a worker may be seen whose connection a child of its own keeps open.
_LOOK_SECONDS = 1.0


@dataclass
class _Task:
    """A job on its way: what is sent to the worker, and what its lost attempts took."""

    job: Job
    payload: bytes
    attempts: int = 0
    started: float = 0.0
    wall_lost: float = 0.0
    cpu_lost: float = 0.0

    def outcome(self, made: Attempt, output: str | None = None) -> Outcome:
        """How it ended, by its last attempt; `output` is what that one printed last."""
        details = made.details
        if made.error is not None and output:
            details = "\n".join(filter(None, [made.details, "it printed last:", output]))
        return Outcome(
            self.job.name,
            made.result,
            made.error,
            made.error_type,
            self.wall_lost + made.wall_seconds,
            self.cpu_lost + made.cpu_seconds,
            self.attempts,
            details,
        )


class LocalProcesses:
    """A `Compute` of up to `jobs` worker processes with `threads` numeric threads each.

    A job whose worker dies is tried up to `retries` times more.
    """

    def __init__(self, jobs: int, threads: int, retries: int = 1) -> None:
        if jobs < 1 or threads < 1 or retries < 0:
            raise ValueError("jobs and threads are at least 1, retries at least 0")
        self.slots, self.resources, self.retries = jobs, Resources(threads), retries
        self._workers: dict[WorkerProcess, _Task | None] = {}  # None: idle
        # Nothing is ever written: when this process ends, however it does, the workers see
        # the end of the file.
        self._lifeline: tuple[int, int] | None = os.pipe()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """See `Compute.run`. Raises what pickle raises when arguments cannot be pickled."""
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
                self._give(task)
                on_event(Event(task.job.name, "started", {"attempt": task.attempts}))
            for worker, task in self._speaking():
                try:
                    kind, content = worker.receive()
                except (EOFError, OSError):
                    if worker.died_idle:
                        self._discard(worker)
                        task.attempts -= 1
                        waiting.appendleft(task)
                        continue
                    outcome = self._bury(worker, task)
                    if task.attempts <= self.retries:
                        on_event(Event(task.job.name, "retried", {"reason": str(outcome.error)}))
                        # Last in the queue: with fewer neighbours there is more memory.
                        waiting.append(task)
                        continue
                else:
                    if kind == "begun":
                        continue
                    if kind == "progress":
                        on_event(Event(task.job.name, "progress", content))
                        continue
                    self._workers[worker] = None
                    outcome = task.outcome(_readable(content), worker.output_tail())
                outcomes[task.job.name] = outcome
                on_event(closing_event(outcome))
        return outcomes

    def _busy(self) -> list[tuple[WorkerProcess, _Task]]:
        return [(worker, task) for worker, task in self._workers.items() if task is not None]

    def _speaking(self) -> list[tuple[WorkerProcess, _Task]]:
        """Busy workers with a message, or that are gone; waits until there is one, or briefly."""
        ready = set(wait([worker.connection for worker, _ in self._busy()], _LOOK_SECONDS))
        return [
            (worker, task)
            for worker, task in self._busy()
            if worker.connection in ready or worker.has_ended()
        ]

    def _give(self, task: _Task) -> None:
        """Send the task to an idle worker that is still alive, else to a new one."""
        task.attempts += 1
        task.started = time.perf_counter()
        for worker in [worker for worker, held in self._workers.items() if held is None]:
            with suppress(OSError):
                worker.send(task.payload)
                self._workers[worker] = task
                return
            self._discard(worker)
        if self._lifeline is None:
            raise RuntimeError("this compute is closed")
        worker = WorkerProcess(self.resources, self._lifeline[0])
        self._workers[worker] = task
        # If it is gone already, reading from it will say so.
        with suppress(OSError):
            worker.send(task.payload)

    def _bury(self, worker: WorkerProcess, task: _Task) -> Outcome:
        """End what is left of a lost worker; the outcome if this attempt was the last."""
        error = worker.cause_of_death()
        task.wall_lost += time.perf_counter() - task.started
        task.cpu_lost += worker.cpu_seconds_unreported
        made = Attempt(None, error, "WorkerDied", None, wall_seconds=0.0, cpu_seconds=0.0)
        outcome = task.outcome(made, worker.output_tail())
        self._discard(worker)
        return outcome

    def _discard(self, worker: WorkerProcess) -> None:
        worker.end()
        del self._workers[worker]

    def _end_workers(self) -> None:
        for worker in list(self._workers):
            self._discard(worker)


def _readable(made: Attempt) -> Attempt:
    """The attempt with its result unpickled, or failed when that is impossible here."""
    if made.error is not None:
        return made
    read = attempt(lambda: pickle.loads(made.result))  # noqa: S301 (from our own child)
    return replace(read, wall_seconds=made.wall_seconds, cpu_seconds=made.cpu_seconds)
