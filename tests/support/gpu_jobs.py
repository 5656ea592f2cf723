"""Jobs that tell which GPUs their process was started with. Nothing heavy is imported here."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from dataselect.testing.jobs import Progress, wait_for


@dataclass(frozen=True)
class Seen:
    """What a job had, and when."""

    gpus: tuple[str, ...]
    """What the variable says."""
    pid: int
    """Its process."""
    began: float
    """By a clock that all processes share."""
    ended: float
    """By the same clock."""


def gpus_at_start(variable: str) -> tuple[str, ...]:
    """The variable as this process was started with it, before it could load anything."""
    text = Path("/proc/self/environ").read_bytes().decode()
    values = dict(each.partition("=")[::2] for each in text.split("\0"))
    assert values.get(variable) == os.environ.get(variable)
    return tuple(values.get(variable, "all").split(","))


def see(
    progress: Progress,
    seconds: float = 0.0,
    variable: str = "CUDA_VISIBLE_DEVICES",
    touch: Path | None = None,
    wait: Path | None = None,
) -> Seen:
    """Tell what this process sees, after `seconds`, and after the file `wait` is there."""
    began = time.monotonic()
    if touch is not None:
        touch.touch()
    time.sleep(seconds)
    assert wait is None or wait_for(wait.exists), "what it waits for did not run meanwhile"
    return Seen(gpus_at_start(variable), os.getpid(), began, time.monotonic())


def see_or_die(progress: Progress, marker: Path) -> Seen:
    """Killed the first time, then as `see`."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return see(progress)
