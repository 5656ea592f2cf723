"""Run a job from its folder, on the machine where a scheduler started this process.

The job has a process of its own (`job_process`), with the environment that it must have before its
first import, and a crash of it is seen here. This process keeps the record of the attempt: where
it runs, what it has used so far, how it ended. When this process ends, for any reason, so does the
job's.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataselect.compute import wire
from dataselect.compute.job_folder import (
    ALIVE,
    AttemptFolder,
    ChangedJobError,
    JobFolder,
    write_record,
)
from dataselect.compute.jobs import BEAT_SECONDS, STARTING, Resources, Silence

_HINT = ", often a sign of too little memory: if so, ask for more 'memory' in the plan's 'compute'"
_TICKS = os.sysconf("SC_CLK_TCK")
_TOLD = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURMD_NODENAME",
)
"""Variables by which a scheduler says what it started, and how often."""


def supervise(folder: str, digest: str, told: Mapping[str, str] | None = None) -> None:
    """Run the job in `folder`, whose job.json has this SHA-256, unless it is done already.

    `told` is what the scheduler says of itself, for people; returns when the job has ended.
    """
    job = JobFolder(Path(folder))
    if any(attempt.outcome() is not None for attempt in job.attempts()):
        return  # started again after its end
    attempt = job.new_attempt()
    known = {name: os.environ[name] for name in _TOLD if name in os.environ}
    begun = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "time": time.time(),
        "scheduler": {**known, **(told or {})},
    }
    _write(attempt, "begun.json", begun)
    try:
        resources = wire.decode(job.read(digest)["resources"], imports=True)
    except (OSError, ChangedJobError, wire.WireError) as error:
        ended = {"reason": str(error), "wall_seconds": 0.0, "cpu_seconds": 0.0}
        _write(attempt, "ended.json", ended)
        return
    _Attempt(job, attempt, digest, resources).run()


class _Attempt:
    """A process that runs the job, from its start to its end."""

    def __init__(
        self, job: JobFolder, attempt: AttemptFolder, digest: str, resources: Resources
    ) -> None:
        self.job, self.attempt, self.digest, self.resources = job, attempt, digest, resources
        self.began = time.monotonic()
        self.cpu_before = _children_cpu()

    def run(self) -> None:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from dataselect.compute.job_process import main; "
            f"main({str(self.job.path)!r}, {self.digest!r}, {str(self.attempt.path)!r}, "
            f"{self.resources.beat})"
        )
        environment = {**os.environ, **self.resources.environment(), "PYTHONUNBUFFERED": "1"}
        with (
            (self.attempt.path / "output.log").open("wb") as output,
            subprocess.Popen(  # noqa: S603 (this same interpreter)
                [sys.executable, "-c", code],
                env=environment,
                # Held open: at its end, which is this process's end, the job's process exits.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                ended = self._wait(process)
            finally:
                process.kill()
                process.wait()
        self._record(
            "ended.json", _children_cpu() - self.cpu_before, ended or self._reason(process)
        )

    def _wait(self, process: "subprocess.Popen[bytes]") -> str | None:
        """Wait for the end; why this process is to end it, or None if it has ended itself."""
        limit, host = self.resources.seconds, socket.gethostname()
        silence, alive, most = Silence(), None, max(STARTING, self.resources.silence)
        while True:
            left = min(BEAT_SECONDS, self.resources.silence / 2)
            if limit is not None:
                left = min(left, limit - (time.monotonic() - self.began))
            try:
                process.wait(max(0.01, left))
                return None
            except subprocess.TimeoutExpired:
                if limit is not None and time.monotonic() - self.began >= limit:
                    return f"it was ended on {host} after its time, {limit:g} s"
                # Compared with itself alone: clocks of machines and file systems may jump.
                if (sign := _touched(self.attempt.path / ALIVE)) != alive:
                    alive, most = sign, self.resources.silence
                    silence.broken()
                elif silence.look() > most:
                    silent = f"{silence.seconds:.0f} s"
                    return f"its process on {host} gave no sign of life for {silent} and was ended"
                self._record("seconds.json", tree_cpu_seconds(process.pid))

    def _record(self, name: str, cpu_seconds: float, reason: str | None = None) -> None:
        seconds: dict[str, Any] = {
            "wall_seconds": time.monotonic() - self.began,
            "cpu_seconds": cpu_seconds,
        }
        _write(self.attempt, name, seconds if reason is None else {**seconds, "reason": reason})

    def _reason(self, process: "subprocess.Popen[bytes]") -> str:
        host = socket.gethostname()
        if process.returncode >= 0:
            return f"its process on {host} exited with code {process.returncode}"
        name = signal.Signals(-process.returncode).name
        return f"its process on {host} was killed by {name}{_HINT if name == 'SIGKILL' else ''}"


def _write(attempt: AttemptFolder, name: str, content: Mapping[str, Any]) -> None:
    # The driver removes the folder when it is interrupted; then nobody reads this.
    with suppress(OSError):
        write_record(attempt.path / name, content)


def _touched(path: Path) -> int | None:
    """Time stamp of a file; None where there is none yet."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_cpu_seconds(pid: int) -> float:
    """CPU seconds so far of a process, its living descendants and its ended children.

    0 where the system does not tell.
    """
    total, waiting = 0.0, [pid]
    while waiting:
        each = waiting.pop()
        with suppress(OSError, ValueError, IndexError):
            # The second field, the program's name in brackets, may hold anything.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
            for thread in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
    return total


def main() -> None:
    """`python -m dataselect.compute.supervisor FOLDER SHA256`, for schedulers that run commands."""
    folder, digest = sys.argv[1:]
    supervise(folder, digest)


if __name__ == "__main__":
    main()
