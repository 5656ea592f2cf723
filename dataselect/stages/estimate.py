"""How long a run still takes: from the training FLOPs that are left and the speed that was seen.

A job takes its FLOPs divided by the speed of the training loop, and besides a time that does not
depend on them, for starting and scoring, which finished jobs tell. Jobs of a part run side by side,
and a part begins when the one before it is over. A part of which nothing has been seen is taken to
have the speed of the last that was, if both train. Before any speed is known there is no estimate.

Where several processes share the jobs of a part, it is as if one ran as many at a time as all.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkLeft:
    """What is left of a job."""

    flops: float | None
    """Training FLOPs that are left; None if not known."""
    speed: float | None = None
    """FLOPs a second that its training reaches now; None if that was not seen."""
    past: float = 0.0
    """Seconds of what it takes besides training that are over; of a job whose FLOPs are not known,
    seconds since it began."""


@dataclass(frozen=True)
class PartLeft:
    """What is left of a part of the run, and what was seen of it so far."""

    jobs: tuple[WorkLeft, ...]
    """Its jobs that are not done."""
    speed: float | None = None
    """FLOPs a second of a job's training; None if none was seen."""
    besides: float | None = None
    """Seconds of a job apart from its training; None before one is done."""
    whole: float | None = None
    """Seconds of a job whose FLOPs are not known; None before one is done."""
    is_training: bool = True
    """Whether the speeds are those of training, which tell the speed of other training."""
    processes: int = 1
    """How many processes share its jobs, each running as many at a time."""
    slots: int | None = None
    """Its jobs that run at a time; None: as many as of other parts."""


def seconds_left(parts: Sequence[PartLeft], slots: int) -> float | None:
    """Seconds until all parts are done, `slots` jobs at a time; None if that is not known."""
    total, speed, besides = 0.0, None, None
    for part in parts:
        if part.is_training:
            speed = speed if part.speed is None else part.speed
            besides = besides if part.besides is None else part.besides
            seen = speed, besides
        else:
            seen = part.speed, part.besides
        times = [_seconds(job, *seen, part.whole) for job in part.jobs]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return None
        if known:
            total += max(sum(known) / ((part.slots or slots) * part.processes), *known)
    return total


def _seconds(
    job: WorkLeft, speed: float | None, besides: float | None, whole: float | None
) -> float | None:
    if job.flops is None:
        return None if whole is None else max(0.0, whole - job.past)
    speed = speed if job.speed is None else job.speed
    if job.flops > 0 and not speed:
        return None
    if job.flops == 0 and besides is None:
        return None
    training = job.flops / speed if job.flops and speed else 0.0
    return training + max(0.0, (besides or 0.0) - job.past)
