"""What is asked of a scheduler of a cluster, such as Slurm or Ray, and what it answers.

Little, so that schedulers are alike: it starts a process somewhere (`supervisor`), says whether a
job is still in its hands, and ends it. The rest comes by files (`job_folder`) to `queued`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dataselect.compute.jobs import Resources

AUTOMATIC_SLOTS = 100
"""Jobs in a cluster's hands at a time where the plan does not say."""


@dataclass(frozen=True)
class Ticket:
    """A job for a scheduler."""

    name: str
    """For people."""
    folder: Path
    """For `supervisor.supervise`, with `digest`."""
    digest: str
    """SHA-256 of its job.json."""
    resources: Resources
    """What it needs."""


@dataclass(frozen=True)
class State:
    """What a scheduler says of a job."""

    kind: Literal["queued", "running", "ended", "cancelled"]
    """`queued` also while it is to be started again; `cancelled` by somebody else than us."""
    words: str = ""
    """Its own words."""


class Scheduler(Protocol):
    """Starts processes somewhere."""

    name: str
    """For people, and the records: "slurm"."""

    def submit(self, tickets: Sequence[Ticket]) -> list[str]:
        """Ids of the jobs. Raises InputError where the scheduler refuses them."""

    def states(self, ids: Sequence[str]) -> Mapping[str, State] | None:
        """What is known of jobs; one that is not known has ended. None: no answer now."""

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs; those that have ended are left alone."""

    def log(self, job: str) -> Path | None:
        """The scheduler's own log of a job, for errors."""

    def forget(self, job: str) -> None:
        """Remove what it keeps of a job that has ended well."""

    def close(self) -> None:
        """Release what is kept."""
