"""The interface of trackers, which show a run's numbers elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["done", "incomplete", "failed", "interrupted", "killed"]
"""How a run ended; `killed`: its process was gone without an end."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run when it begins."""

    id: str
    """Letters and digits, equal for all calls that resume one run, and for no other run."""
    name: str
    """Its name, for people; other runs may have the same."""
    kind: str
    """"run", "mix" or "score"."""
    call: int
    """Number of the call, from 1; a resumed run goes on under the same id."""
    folder: Path
    """Of the run, in its store: for files that the tracker keeps."""
    config: Mapping[str, Any]
    """What was run, as JSON values, without secrets."""


class Tracker(Protocol):
    """Shows the numbers of one run; the methods are called in one thread of a process of its own.

    An exception ends the tracking with a note, and nothing else.
    """

    def start(self, run: TrackedRun) -> str | None:
        """Begin, or go on with, the run `run.id`; returns where it is shown, such as a URL."""

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Show finite numbers by name, such as `loss/stage1/web`.

        `step`: tokens trained on, where that is what the numbers belong to; it is not sorted,
        since several proxies train at a time.
        """

    def finish(self, status: Status) -> None:
        """Send what is left and end; nothing is called after it."""
