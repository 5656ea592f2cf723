"""A job that a driver has handed to a scheduler, as its files tell of it.

Each process that runs the job leaves a folder of its own (`job_folder`). From these come the events
of its attempts, in the order in which they happened, and its outcome with the cost of all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dataselect.compute.attempt import Attempt
from dataselect.compute.job_folder import JobFolder
from dataselect.compute.jobs import Event, Job, Outcome, Resources, plain_fields
from dataselect.store.claims import Claim, Request


@dataclass
class WatchedJob:
    """A job that waits or runs."""

    job: Job
    folder: JobFolder
    digest: str
    request: Request
    claim: Claim | None
    """The right to watch it; None: another driver has its like, and this one a copy."""
    resources: Resources
    number: int
    """Its place among the jobs of this run."""
    id: str = ""
    """The scheduler's; empty while it waits here."""
    seen: int = 0
    """Attempts that were reported."""
    offset: int = 0
    """Bytes of the progress of the latest attempt that were reported."""
    resubmitted: int = 0
    found: bool = False
    """Whether an earlier driver submitted it."""
    before: int = 0
    """Attempts that were over when it was found; whoever went on after them has counted them."""
    ended_at: float | None = None
    """When the scheduler was first heard to have given it up."""
    reasons: dict[int, str] = field(default_factory=dict)
    """What the scheduler said of lost attempts."""

    def report(self, scheduler: str, on_event: Callable[[Event], None]) -> bool:
        """Tell of new attempts and of progress; whether there was anything to tell."""
        attempts = self.folder.attempts()
        told = False
        if self.found and not self.seen and attempts:
            # What its first driver has told is not told again.
            self.seen = len(attempts) - 1
            on_event(
                Event(
                    self.job.name,
                    "started",
                    {"attempt": self.seen + 1, "found": f"{scheduler} job {self.id}"},
                )
            )
            self.seen, told = self.seen + 1, True
        while self.seen < len(attempts):
            if self.seen:
                before = attempts[self.seen - 1]
                reason = before.ended or self.reasons.get(before.number) or gone(before.begun)
                on_event(Event(self.job.name, "retried", {"reason": reason}))
            self.seen, self.offset, told = self.seen + 1, 0, True
            on_event(Event(self.job.name, "started", {"attempt": self.seen}))
        if attempts:
            reports, self.offset = attempts[-1].progress(self.offset)
            for report in reports:
                on_event(Event(self.job.name, "progress", plain_fields(report)))
            told = told or bool(reports)
        return told

    def outcome(self) -> Outcome | None:
        """The outcome of a job that has left one."""
        for attempt in self.folder.attempts():
            ended = attempt.outcome()
            if ended is not None:
                return self.outcome_after(ended, attempt.output_tail, attempt.number)
        return None

    def outcome_after(self, last: Attempt, printed: str, number: int | None) -> Outcome:
        """The outcome after all attempts; attempt `number` has the times of `last`."""
        mine = self.folder.attempts()[self.before :]
        lost = [each.seconds for each in mine if each.number != number]
        details = last.details
        if last.error is not None and printed:
            details = "\n".join(filter(None, [last.details, "it printed last:", printed]))
        attempts = len(lost) + (number is not None)
        return Outcome(
            self.job.name,
            last.result,
            last.error,
            last.error_type,
            last.wall_seconds + sum(wall for wall, _ in lost),
            last.cpu_seconds + sum(cpu for _, cpu in lost),
            max(1, attempts),
            details,
        )

    @property
    def all_ended(self) -> bool:
        """Whether every process of the job that began is known to have ended."""
        attempts = self.folder.attempts()
        return bool(attempts) and all(attempt.ended is not None for attempt in attempts)


def gone(begun: Mapping[str, object]) -> str:
    """Why an attempt that left no word of its end is over."""
    where = begun.get("host")
    return f"its process on {where} is gone" if where else "its process is gone"
