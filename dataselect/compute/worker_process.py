"""The parent's handle on one worker: a fresh interpreter at the other end of a socket.

Not `multiprocessing.Process`: a child started here runs only `dataselect.compute.worker`, not the
caller's main script again (so notebooks, heredocs and scripts without a `__main__` guard work), and
gets its environment before its first import. Its output is redirected from the start, so nothing
that it or native code prints disturbs the live display in the terminal.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from dataselect.compute.jobs import STARTING, Resources, Silence

_TAIL_BYTES = 4000
_HINT = (
    ", often a sign of too little memory: if so, set fewer 'jobs' at a time in the plan's 'compute'"
)


class WorkerProcess:
    """A worker process, started on construction, with `variables` in its environment."""

    def __init__(
        self, resources: Resources, lifeline: int, variables: Mapping[str, str] | None = None
    ) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        # Without a name, so that it disappears with the processes even after SIGKILL.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        self._output_start = 0
        self._cpu_total = self._cpu_reported = 0.0
        self._jobs = 0
        self._begun = False
        self._silence = Silence()
        self._most_silence = resources.silence
        self._hung = False
        inherited = (theirs.fileno(), lifeline)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from dataselect.compute.worker import main; "
            f"main({theirs.fileno()}, {lifeline}, {os.getpid()}, {resources.beat})"
        )
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (this same interpreter)
                [sys.executable, "-c", code],
                env={**_environment(resources), **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
            )

    def send(self, payload: bytes) -> None:
        """Start a job, a pickled (function, arguments). Raises OSError if the worker has ended."""
        self._output_start = os.fstat(self._output.fileno()).st_size
        self._jobs += 1
        self._begun = False
        self._silence = Silence()
        self.connection.send_bytes(payload)

    def receive(self) -> Any:
        """The next message. Raises EOFError or OSError when the worker has ended."""
        # Checked in this order, so that messages sent before its end are still read. A child that
        # it forked may keep the connection open, and then there is no end of file.
        if self.has_ended() and not self.connection.poll():
            raise EOFError
        message = self.connection.recv()
        self._silence.broken()
        if message[0] == "begun":
            self._begun = True
        if message[0] == "end":
            self._cpu_reported += message[1].cpu_seconds
        return message

    @property
    def died_idle(self) -> bool:
        """Whether a worker that has ended died between two jobs, before it began the latest."""
        # For a moment, sending to a dying process succeeds. Not with its first job: that may be
        # what keeps a worker from starting at all.
        return self._jobs > 1 and not self._begun

    def has_ended(self) -> bool:
        """Whether the process has ended; does not wait."""
        return self._reap(os.WNOHANG)

    def end_if_hung(self) -> None:
        """Kill a process with a job that gave no sign of life for too long; it is then found dead.

        Call it every few seconds.
        """
        most = self._most_silence if self._begun else max(self._most_silence, STARTING)
        if self._silence.look() > most and not self.connection.poll():
            self._hung = not self.has_ended()
            self._kill()

    def end(self) -> None:
        """Kill the process. Results are published by rename, so nothing is left half-written."""
        self._kill()
        self.connection.close()
        self._output.close()

    def output_tail(self) -> str:
        """The end of what the latest job printed. Call it before `end`."""
        number = self._output.fileno()
        size = os.fstat(number).st_size
        start = max(self._output_start, size - _TAIL_BYTES)
        return os.pread(number, size - start, start).decode("utf-8", "replace").strip()

    def cause_of_death(self) -> str:
        """Why the worker died; kills it if only its connection has closed."""
        self._kill()
        if self._hung:
            return (
                f"its worker gave no sign of life for {self._silence.seconds:.0f} s and was ended"
            )
        code = self._process.returncode
        if code >= 0:
            return f"its worker exited with code {code}"
        name = signal.Signals(-code).name
        return f"its worker was killed by {name}{_HINT if name == 'SIGKILL' else ''}"

    @property
    def cpu_seconds_unreported(self) -> float:
        """After its end: CPU seconds that no finished attempt has reported."""
        return max(0.0, self._cpu_total - self._cpu_reported)

    def _kill(self) -> None:
        if not self.has_ended():
            self._process.kill()
            self._reap(0)

    def _reap(self, options: int) -> bool:
        if self._process.returncode is None:
            # wait4 rather than Popen.wait: the CPU time of a killed job is part of the cost.
            pid, status, usage = os.wait4(self._process.pid, options)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._cpu_total = usage.ru_utime + usage.ru_stime
        return self._process.returncode is not None


def _environment(resources: Resources) -> dict[str, str]:
    # Unbuffered, because a killed process does not flush its last output.
    return {**os.environ, **resources.environment(), "PYTHONUNBUFFERED": "1"}
