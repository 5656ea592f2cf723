"""Jobs in parallel processes on this machine.

Processes, because a crash or a lack of memory must cost one job and not the run, and because
training threads do not share an interpreter well. Workers are kept between runs (importing torch
takes seconds), and a job whose worker dies is retried in another. A job that raises is not retried:
it would raise again.

Told of the machine's GPUs, it gives each worker some of its own for its life, and to each job a
worker with what the job asks for (`Resources.gpus`). A worker sees those alone, by the variable
that it starts with, before any library is loaded. An idle one keeps its GPUs with the libraries and
the memory that it has of them, until another worker needs them; it is ended first. A job that waits
for GPUs is not overtaken by another that needs some, so a large one gets its turn; one that needs
none does not wait.

A worker gives a sign of life every few seconds. One that stops giving any (a machine that swaps, a
driver that hangs, a debugger) is ended and counts as dead.

Not covered: limits on memory or time, what other programs do with the GPUs, other machines; work
that hangs while its process lives.
"""

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from dataselect.compute.attempt import Attempt, attempt
from dataselect.compute.gpu_slots import GpuSlots, Grant
from dataselect.compute.gpus import VisibleGpus
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
from dataselect.errors import InputError

# Longest wait for messages; then dead workers whose child keeps the connection open are noticed.
_POLL_SECONDS = 1.0


@dataclass
class _Task:
    """A job that waits or runs."""

    job: Job
    payload: bytes
    """The pickled function and arguments, for the worker."""
    gpus: float
    """GPUs that it needs, or a share of one."""
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
    `retries` times. Of `gpus` each job gets so many as its resources say, by default `share`;
    without `gpus` all jobs see what this process sees.
    """

    def __init__(
        self,
        jobs: int,
        threads: int,
        retries: int = 1,
        gpus: VisibleGpus | None = None,
        share: float = 1.0,
        silence: float = SILENCE,
    ) -> None:
        if jobs < 1 or threads < 1 or retries < 0:
            raise ValueError("jobs and threads are at least 1, retries at least 0")
        self._gpus = None if gpus is None else GpuSlots(gpus)
        self.slots, self.retries = jobs, retries
        self.resources = Resources(threads, 0.0 if gpus is None else share, silence=silence)
        self._workers: dict[WorkerProcess, _Task | None] = {}  # None: idle
        self._grants: dict[WorkerProcess, Grant] = {}
        # A pipe that nobody writes to: when this process ends, for any reason, the workers read
        # the end of the file.
        self._lifeline: tuple[int, int] | None = os.pipe()

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """See `Compute.run`. Raises pickle's error when arguments cannot be pickled, and InputError
        when a job needs more GPUs than there are."""
        check_names(jobs)
        tasks = [
            _Task(job, pickle.dumps((job.function, job.arguments)), self._needed(job))
            for job in jobs
        ]
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
            for task in self._start(waiting):
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

    def slots_for(self, resources: Resources) -> int:
        """The most jobs with these resources that run in parallel."""
        if self._gpus is None or not resources.gpus:
            return self.slots
        return max(1, min(self.slots, self._gpus.capacity(resources.gpus)))

    def _needed(self, job: Job) -> float:
        """GPUs of a job. Raises InputError if there are not so many."""
        if self._gpus is None:
            return 0.0
        needed = (job.resources or self.resources).gpus
        problem = self._gpus.problem(needed)
        if problem is not None:
            raise InputError(f"job {job.name!r}", problem, "ask for fewer ('gpus')")
        return needed

    def _start(self, waiting: deque[_Task]) -> Iterator[_Task]:
        """Start those that can be, and take them out of `waiting`."""
        held: list[_Task] = []
        blocked = False
        while waiting and len(self._busy()) < self.slots:
            task = waiting.popleft()
            if (blocked and task.gpus) or not self._assign(task):
                blocked = True
                held.append(task)
            else:
                yield task
        waiting.extendleft(reversed(held))

    def _busy(self) -> list[tuple[WorkerProcess, _Task]]:
        return [(worker, task) for worker, task in self._workers.items() if task is not None]

    def _idle(self) -> list[WorkerProcess]:
        return [worker for worker, task in self._workers.items() if task is None]

    def _ready(self) -> list[tuple[WorkerProcess, _Task]]:
        """Busy workers that sent a message or ended; waits up to `_POLL_SECONDS` for one."""
        ready = set(wait([worker.connection for worker, _ in self._busy()], _POLL_SECONDS))
        return [
            (worker, task)
            for worker, task in self._busy()
            if worker.connection in ready or worker.has_ended()
        ]

    def _assign(self, task: _Task) -> bool:
        """Send the task to an idle worker that is still alive, else to a new one.

        False where not so many GPUs are free as it needs.
        """
        for worker in self._idle():
            if self._suits(worker, task):
                with suppress(OSError):
                    worker.send(task.payload)
                    self._begin(worker, task)
                    return True
                self._discard(worker)
        new = self._new_worker(task)
        if new is None:
            return False
        self._begin(new, task)
        # If it has ended already, the next read from it shows that.
        with suppress(OSError):
            new.send(task.payload)
        return True

    def _begin(self, worker: WorkerProcess, task: _Task) -> None:
        task.attempts += 1
        task.started = time.perf_counter()
        self._workers[worker] = task

    def _suits(self, worker: WorkerProcess, task: _Task) -> bool:
        """Whether a worker has what the task needs, no more and no less."""
        return self._gpus is None or self._gpus.is_for(self._grants[worker], task.gpus)

    def _new_worker(self, task: _Task) -> WorkerProcess | None:
        """A worker with what the task needs, for which idle ones make room; None without GPUs."""
        if self._lifeline is None:
            raise RuntimeError("this compute is closed")
        grant = None
        if self._gpus is not None:
            holders = [worker for worker in self._idle() if self._grants[worker].names]
            while (grant := self._gpus.take(task.gpus)) is None:
                if not holders:
                    return None
                self._discard(holders.pop())
        for worker in self._idle()[: max(0, len(self._workers) - self.slots + 1)]:
            self._discard(worker)
        if self._gpus is None or grant is None:
            return WorkerProcess(self.resources, self._lifeline[0])
        try:
            environment = self._gpus.environment(grant)
            worker = WorkerProcess(self.resources, self._lifeline[0], environment)
        except BaseException:
            self._gpus.give_back(grant)
            raise
        self._grants[worker] = grant
        return worker

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
        grant = self._grants.pop(worker, None)
        if self._gpus is not None and grant is not None:
            self._gpus.give_back(grant)

    def _end_workers(self) -> None:
        for worker in list(self._workers):
            self._discard(worker)


def _unpickled(sent: Attempt) -> Attempt:
    """The attempt with its result unpickled; a failed attempt when it cannot be."""
    if sent.error is not None:
        return sent
    read = attempt(lambda: pickle.loads(sent.result))  # noqa: S301 (from our own child)
    return replace(read, wall_seconds=sent.wall_seconds, cpu_seconds=sent.cpu_seconds)
