"""Run model-written programs with their tests in a sandbox.

Each program gets its own process (`sandbox_child`) in new Linux namespaces: no network, no view
of other processes, the system's and Python's folders read-only, no home, and a scratch folder in
memory that is dropped afterwards. It has an empty environment, no privileges, and limits on time,
memory, files and processes; at the time limit, all that it started is killed. It has only
Python's standard library. Sets iterate in the same order every run.

Not covered: bugs of the kernel, and total memory, which is bounded only by the limit of a process
times the number of processes (unlimited when this runs as a root that cannot become another
user). A program written to cheat its tests can do so, because both run in one interpreter; one
that only exits early cannot.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dataselect.errors import IncompleteError, InputError

_CHILD = Path(__file__).with_name("sandbox_child.py")
# To start and end the child; the child itself enforces the program's time limit.
_GRACE_SECONDS = 30.0
_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Program:
    """Code with its test; `check` of the test is called with the function `entry_point`."""

    code: str
    """Source code that defines `entry_point`."""

    test: str
    """Source code that defines `check`; it runs after `code`."""

    entry_point: str
    """Name of the function under test."""


@dataclass(frozen=True)
class Verdict:
    """The result of one program."""

    passed: bool
    """Whether `check` returned."""

    reason: str = ""
    """Why it did not pass; empty when it did."""


def run_programs(
    programs: Sequence[Program],
    *,
    seconds: float = 5.0,
    memory_bytes: int = _MEMORY_BYTES,
    unsafe: bool = False,
) -> list[Verdict]:
    """Run each program and its check, one per core at a time; their verdicts, in order.

    `seconds` of wall time and `memory_bytes` of address space (for each of its processes) limit
    one program. Raises InputError where isolation does not work, unless `unsafe` is set; then the
    program can use the user's files and network, and only the limits apply. Raises
    IncompleteError when the machine could not start a child.
    """
    require_isolation(unsafe)
    isolated = isolation_problem() is None

    def verdict_of(program: Program) -> Verdict:
        return _run(program, seconds, memory_bytes, isolated=isolated)

    with ThreadPoolExecutor(_available_cores()) as pool:
        try:
            return list(pool.map(verdict_of, programs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def require_isolation(unsafe: bool) -> None:
    """Raise InputError when isolation does not work and `unsafe` is not set."""
    problem = isolation_problem()
    if problem is not None and not unsafe:
        raise InputError(
            "generated code",
            f"it cannot be run in isolation here ({problem})",
            "use a Linux machine that permits user namespaces, or take the risk with "
            "--confirm-run-unsafe-code",
        )


@cache
def isolation_problem() -> str | None:
    """Why programs cannot be isolated on this machine; None when they can. Tested once."""
    if sys.platform != "linux":
        return "it needs Linux"
    probe = Program("import random\ndef f(): return 1\n", "def check(f): assert f() == 1\n", "f")
    try:
        verdict = _run(probe, _GRACE_SECONDS, _MEMORY_BYTES, isolated=True)
    except IncompleteError as error:
        return str(error)
    return None if verdict.passed else f"a trial program failed: {verdict.reason}"


def _run(program: Program, seconds: float, memory_bytes: int, *, isolated: bool) -> Verdict:
    job = {
        "code": program.code,
        "test": program.test,
        "entry_point": program.entry_point,
        "seconds": seconds,
        "memory_bytes": memory_bytes,
        "isolated": isolated,
        "parent": os.getpid(),
    }
    answer = _ask_child(json.dumps(job).encode(), seconds + _GRACE_SECONDS)
    if "set_up" in answer:
        raise IncompleteError(f"the sandbox cannot be set up: {answer['set_up']}")
    return Verdict(answer.get("passed") is True, str(answer.get("reason", "")))


def _ask_child(job: bytes, seconds: float) -> dict[str, object]:
    # Not -I, which would ignore the hash seed.
    command = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(_CHILD)]
    environment = {"PYTHONHASHSEED": "0"}
    # Some interpreters cannot start without it.
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            child = subprocess.Popen(  # noqa: S603 (this same interpreter)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise IncompleteError(f"the sandbox cannot be started: {error}") from error
        with child:
            try:
                output, _ = child.communicate(job, seconds)
            except BaseException as error:
                os.killpg(child.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    return {"passed": False, "reason": "it took too long and was killed"}
                raise
    try:
        answer = json.loads(output)
    except ValueError:
        return {"passed": False, "reason": "its process ended without a verdict"}
    return answer if isinstance(answer, dict) else {}


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
