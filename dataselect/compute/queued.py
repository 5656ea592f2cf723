"""Jobs by a scheduler of a cluster, such as Slurm or Ray.

The driver writes each job into a folder (`job_folder`), asks a `Scheduler` to start the process
that runs it (`supervisor`), and then only reads what comes back into that folder. So every
scheduler has the same progress, counts, outcomes and errors, whatever it keeps in its own books: it
is asked only whether a job that has left nothing is still in its hands.

**The driver may die.** Its jobs go on. A driver that is started again finds them by what they
compute, and goes on watching. Several drivers on one folder each watch their own; that no work is
done twice is seen to by the store's claims.

**Lost attempts.** A job that its scheduler has given up is submitted again up to `retries` times.
A scheduler that starts it again by itself, after the loss of a node, is left to it.
"""

import logging
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dataselect.compute.attempt import Attempt
from dataselect.compute.job_folder import Encoder, JobFolder, job_key, read, tail, write_record
from dataselect.compute.jobs import Event, Job, Outcome, Resources, check_names, closing_event
from dataselect.compute.scheduler import Scheduler, State, Ticket
from dataselect.compute.watched_job import WatchedJob, gone
from dataselect.store.claims import Claim, Claims, Work
from dataselect.store.owner import Lease

logger = logging.getLogger("dataselect")

_VALUES_KEPT_SECONDS = 30 * 24 * 3600.0
_CANCEL_SECONDS = 60.0


@dataclass(frozen=True)
class Pace:
    """How often a driver looks."""

    poll_seconds: float = 1.0
    """Longest time between two looks at the files of jobs."""
    states_seconds: float = 15.0
    """Time between two questions to the scheduler."""
    grace_seconds: float = 10.0
    """How long the files of a job that has ended may be on their way here."""


class QueuedCompute:
    """A `Compute` that has up to `slots` jobs in the hands of a scheduler.

    `folder` is for the jobs; the driver and all machines must see it at the same path.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        folder: Path,
        slots: int,
        resources: Resources,
        retries: int = 1,
        pace: Pace | None = None,
    ) -> None:
        if slots < 1 or retries < 0:
            raise ValueError("slots are at least 1, retries at least 0")
        self.slots, self.resources, self.retries = slots, resources, retries
        self._scheduler, self._folder = scheduler, Path(folder).absolute()
        self._pace = pace or Pace()
        self._asked_at = 0.0

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        """See `Compute.run`. Raises WireError when an argument cannot be sent by a file."""
        check_names(jobs)
        encoder = Encoder(self._folder / "values")
        tasks: list[WatchedJob] = []
        try:
            for number, job in enumerate(jobs):
                tasks.append(self._task(number, job, encoder.encode(job)))
            self._tell_found(tasks)
            outcomes = self._run(tasks, on_event)
        except BaseException:
            self._end(tasks)
            raise
        finally:
            for task in tasks:
                _release(task)
        return [outcomes[job.name] for job in jobs]

    def close(self) -> None:
        """Release the scheduler, and remove arguments of old jobs."""
        self._scheduler.close()
        old = time.time() - _VALUES_KEPT_SECONDS
        for path in (self._folder / "values").glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < old:
                    path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- Before

    def _task(self, number: int, job: Job, encoded: Mapping[str, str]) -> WatchedJob:
        key = job_key(job, encoded)
        self._folder.mkdir(parents=True, exist_ok=True)
        claims = Claims(self._folder, Lease(), lambda name, owner: None)
        request = claims.request(key, Work(job.name))
        try:
            answer = request.attempt()
            claim = answer if isinstance(answer, Claim) else None
            if claim is not None and claim.lost is not None:
                claim.sign()
            # What a living driver watches is its own; this one has another folder.
            mine = key if claim is not None else f"{key}-{time.time_ns():x}"
            folder = JobFolder(self._folder / mine)
            resources = job.resources or self.resources
            task = WatchedJob(job, folder, "", request, claim, resources, number)
            if claim is None or not self._find(task):
                shutil.rmtree(folder.path, ignore_errors=True)
                task.digest = folder.write(job, encoded, resources, sys.path)
        except BaseException:
            request.close()
            raise
        return task

    def _find(self, task: WatchedJob) -> bool:
        """Take over a job that an earlier driver submitted, if it runs or was done."""
        known = read(task.folder.path / "submitted.json")
        if known is None or known.get("scheduler") != self._scheduler.name:
            return False
        job, digest = str(known.get("id")), str(known.get("digest"))
        outcomes = [attempt.outcome() for attempt in task.folder.attempts()]
        if not any(each is not None and each.error is None for each in outcomes):
            states = self._scheduler.states([job])
            if states is None or job not in states or states[job].kind in ("ended", "cancelled"):
                return False
        task.id, task.digest, task.found = job, digest, True
        task.before = max(0, len(outcomes) - 1)
        return True

    def _tell_found(self, tasks: Sequence[WatchedJob]) -> None:
        names = [task.job.name for task in tasks if task.found]
        if names:
            listed = ", ".join(names[:5]) + (" and more" if len(names) > 5 else "")
            logger.warning(
                "found at %s, submitted by an earlier run of this command: %s",
                self._scheduler.name,
                listed,
            )

    # --- Meanwhile

    def _run(
        self, tasks: Sequence[WatchedJob], on_event: Callable[[Event], None]
    ) -> dict[str, Outcome]:
        waiting = deque(task for task in tasks if not task.id)
        live = {task.number: task for task in tasks if task.id}
        outcomes: dict[str, Outcome] = {}
        pause = min(0.05, self._pace.poll_seconds)
        self._asked_at = time.monotonic()

        def end(task: WatchedJob, outcome: Outcome) -> None:
            task.report(self._scheduler.name, on_event)
            outcomes[task.job.name] = outcome
            self._forget(task, outcome)
            on_event(closing_event(outcome))

        while waiting or live:
            batch = [waiting.popleft() for _ in range(min(len(waiting), self.slots - len(live)))]
            if batch:
                self._submit(batch)
                live |= {task.number: task for task in batch}
            moved = bool(batch)
            # Ends before beginnings: a slot is free before it is taken again.
            for task in list(live.values()):
                outcome = task.outcome()
                if outcome is not None:
                    del live[task.number]
                    end(task, outcome)
                    moved = True
            for task in live.values():
                moved = task.report(self._scheduler.name, on_event) or moved
            for task, outcome in self._lost(list(live.values())):
                del live[task.number]
                if outcome is None:
                    waiting.append(task)
                else:
                    end(task, outcome)
            if not moved:
                pause = min(1.3 * pause, self._pace.poll_seconds)
                time.sleep(pause)
            else:
                pause = min(0.05, self._pace.poll_seconds)
        return outcomes

    def _submit(self, tasks: Sequence[WatchedJob]) -> None:
        tickets = [
            Ticket(task.job.name, task.folder.path, task.digest, task.resources) for task in tasks
        ]
        ids = self._scheduler.submit(tickets)
        for task, job in zip(tasks, ids, strict=True):
            task.id, task.ended_at = job, None
            _write_record(task.folder.path, self._scheduler.name, job, task.digest)

    def _lost(self, tasks: Sequence[WatchedJob]) -> list[tuple[WatchedJob, Outcome | None]]:
        """Jobs that their scheduler has given up; without an outcome those to submit again."""
        now = time.monotonic()
        doubtful = any(task.ended_at or task.all_ended for task in tasks)
        pause = min(self._pace.states_seconds, 2.0) if doubtful else self._pace.states_seconds
        if not tasks or now - self._asked_at < pause:
            return []
        self._asked_at = now
        states = self._scheduler.states([task.id for task in tasks])
        if states is None:
            return []
        lost: list[tuple[WatchedJob, Outcome | None]] = []
        for task in tasks:
            state = states.get(task.id, State("ended"))
            if state.kind in ("queued", "running"):
                task.ended_at = None
                continue
            task.ended_at = task.ended_at or now
            # The record of an end comes last, so there is nothing to wait for behind it.
            if now - task.ended_at < self._pace.grace_seconds and not task.all_ended:
                continue
            if task.outcome() is not None:
                continue
            lost.append((task, self._give_up(task, state)))
        return lost

    def _give_up(self, task: WatchedJob, state: State) -> Outcome | None:
        """The outcome of a job that is lost; None if it is to be tried again."""
        attempts = task.folder.attempts()
        words = f"{self._scheduler.name} job {task.id} ended: {state.words}" if state.words else ""
        if attempts:
            last = attempts[-1]
            reason = last.ended or words or gone(last.begun)
            task.reasons[last.number] = reason
            printed = last.output_tail
        else:
            reason = words or f"{self._scheduler.name} job {task.id} ended before it began"
            printed = ""
        if state.kind != "cancelled" and task.resubmitted < self.retries:
            task.resubmitted += 1
            return None
        own_log = self._scheduler.log(task.id)
        if own_log is not None and own_log.exists():
            printed = "\n".join(filter(None, [printed, f"{own_log}:", tail(own_log)]))
        return task.outcome_after(
            Attempt(None, reason, "WorkerDied", None, 0.0, 0.0), printed, None
        )

    # --- After

    def _forget(self, task: WatchedJob, outcome: Outcome) -> None:
        """Remove what was handed over; the logs of a failure stay until the job's next start."""
        if outcome.error is None:
            shutil.rmtree(task.folder.path, ignore_errors=True)
            self._scheduler.forget(task.id)
        else:
            (task.folder.path / "submitted.json").unlink(missing_ok=True)
        _release(task)

    def _end(self, tasks: Sequence[WatchedJob]) -> None:
        """End all jobs, and wait until they have."""
        ids = [task.id for task in tasks if task.id]
        if not ids:
            return
        self._scheduler.cancel(ids)
        end = time.monotonic() + _CANCEL_SECONDS
        while time.monotonic() < end:
            states = self._scheduler.states(ids)
            alive = ("queued", "running")
            if states is not None and not any(states[i].kind in alive for i in ids if i in states):
                break
            time.sleep(0.1)
        for task in tasks:
            shutil.rmtree(task.folder.path, ignore_errors=True)


def _release(task: WatchedJob) -> None:
    if task.claim is not None:
        task.claim.release()
        task.claim = None
    task.request.close()


def _write_record(folder: Path, scheduler: str, job: str, digest: str) -> None:
    """Record where a job was submitted, for a driver that is started again."""
    record = {"scheduler": scheduler, "id": job, "digest": digest, "time": time.time()}
    write_record(folder / "submitted.json", record)
