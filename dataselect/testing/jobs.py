"""The functions that `ComputeContract` runs as jobs, importable by name in any process.

It must not import pytest: a worker process imports only this module.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dataselect.errors import InputError

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Parcel:
    """A picklable argument that is not of a built-in type."""

    folder: Path
    """Any path."""

    shape: tuple[int, ...]
    """Any numbers."""


class AwkwardError(Exception):
    """An exception that cannot be pickled, rebuilt from its arguments, or printed."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no")


def square(n: int, progress: Progress) -> int:
    """Return n²."""
    return n * n


def echo(value: Any, progress: Progress) -> Any:
    """Return the argument."""
    return value


def burn(seconds: float, progress: Progress) -> None:
    """Use `seconds` of CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def rest(seconds: float, progress: Progress) -> None:
    """Sleep for `seconds` without using the CPU."""
    time.sleep(seconds)


def report(values: list[Any], progress: Progress) -> None:
    """Report each value as progress."""
    for value in values:
        progress({"tokens": value, "total_tokens": 10, "state": "training"})


def ask(file: Path, progress: Progress) -> bool:
    """Report progress, then return whether `file` appears while this job runs."""
    progress({"tokens": 1.0})
    return wait_for(file.exists)


def meet(mine: Path, other: Path, progress: Progress) -> int:
    """Return the process id; fails unless the job that creates `other` runs at the same time."""
    mine.touch()
    assert wait_for(other.exists), "the other job does not run"
    return os.getpid()


def tick(file: Path, seconds: float, progress: Progress) -> None:
    """Report progress once, then append to `file` 50 times a second for `seconds`."""
    file.touch()
    progress({"ticks": 0})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with file.open("a") as stream:
            stream.write("x")
        time.sleep(0.02)


def fail(how: str, progress: Progress) -> NoReturn:
    """Print a line and raise: InputError ("input"), AwkwardError ("awkward"), SystemExit ("exit"),
    else a ValueError whose message has two lines."""
    print("a last word")  # noqa: T201 (an engine may keep what a failed job printed)
    match how:
        case "input":
            raise InputError("data.jsonl:3", "not JSON", "fix the line")
        case "awkward":
            raise AwkwardError(1, 2)
        case "exit":
            sys.exit("leaving")
        case _:
            raise ValueError("two\nlines")


def torch_threads(progress: Progress) -> int:
    """Return the number of threads that PyTorch computes with."""
    import torch

    return torch.get_num_threads()


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether the condition becomes true within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
