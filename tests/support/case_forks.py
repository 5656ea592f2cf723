"""Work in a fork of this process: what hangs, dies or fills the memory there ends nothing here.

A fork has what this process has imported, and its own memory, which can be measured and bounded.
This process must not have run threads of its own.
"""

import importlib
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

ADDRESSES = 12 << 30
"""Bytes of address space that a fork may have."""


@dataclass(frozen=True)
class Apart:
    """What became of work in a fork."""

    value: Any
    """What it returned; None where it did not come to its end."""
    problem: str
    """Why it did not; "" where it did."""
    printed: str
    """What was written to its standard output and error by other ways than Python's."""
    seconds: float
    """CPU seconds."""
    peak: int
    """Most bytes of memory at a time."""


def apart(work: Callable[[], Any], seconds: float) -> Apart:
    """Do the work in a fork, killed after so many seconds of wall time."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as result, tempfile.TemporaryFile() as log:
        pid = os.fork()
        if pid == 0:
            _child(work, result.fileno(), log.fileno())
        ended = os.pidfd_open(pid)
        try:
            ready, _, _ = select.select([ended], [], [], seconds)
            # Also the children that it may have left.
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
        finally:
            os.close(ended)
        result.seek(0)
        log.seek(0)
        data, printed = result.read(), log.read()[-4000:].decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    problem = ""
    if not ready:
        problem = f"nothing after {seconds:g} s"
    elif code:
        problem = f"its process ended with {code}"
    value = pickle.loads(data) if not problem else None
    cpu = used.ru_utime + used.ru_stime
    return Apart(value, problem, printed, cpu, used.ru_maxrss << 10)


def _child(work: Callable[[], Any], result: int, log: int) -> None:
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (1, 2):
            os.dup2(log, number)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        data = pickle.dumps(work())
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(os.dup(result), "wb") as file:
            file.write(data)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def preload(work: Callable[[], Any], seconds: float = 600.0) -> Apart:
    """Do the work in a fork, and import here what it imported there."""

    def listing() -> tuple[Any, list[str]]:
        value = work()
        return value, list(sys.modules)

    done = apart(listing, seconds)
    if done.problem:
        raise RuntimeError(f"{done.problem}: {done.printed}")
    value, names = done.value
    for name in names:
        if name not in sys.modules and not name.startswith("__"):
            with suppress(Exception):
                importlib.import_module(name)
    return Apart(value, "", done.printed, done.seconds, done.peak)
