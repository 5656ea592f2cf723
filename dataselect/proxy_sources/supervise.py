"""Supervise a command: log its output, and end it when the worker that started it has ended.

A separate program that uses only the standard library: LOG LOCK -- WORD...

A trainer must not outlive the run that needs its checkpoint: the next run would start a second one
on the same output. A worker may be killed at any moment without cleaning up, so this process stands
between. When its standard input, which the worker holds open, ends, it ends the command and all
child processes: SIGTERM, then SIGKILL after `GRACE_SECONDS`. They inherit the lock, so a command
that survived is noticed and waited for.

Values of environment variables that look like secrets are masked in the log, in each spelling that
`dataselect.redaction` knows; one that is split over lines only where these come together.

Not covered: processes that leave the command's session, or run on other machines. End a Slurm job
together with the process that waits for it, or use a job that can resume.
"""

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

NOT_STARTED = 127
STILL_RUNNING = 75
GRACE_SECONDS = 10.0
LOCK_SECONDS = 30.0

_LOOK_SECONDS = 0.2
_LONGEST_LINE = 1 << 16
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|(?:^|_)KEY(?:$|_)", re.IGNORECASE
)
_SHORTEST_SECRET = 8
_HUB_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{8,}")


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code, 128 + n for signal n, or one of the codes above."""
    log_path, lock_path, _, *words = arguments
    signal.signal(signal.SIGTERM, _end_of_us)
    with open(log_path, "ab", buffering=0) as file:
        log = Log(file, secrets(dict(os.environ)))
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _locked(lock):
            log.say("what an earlier attempt started is still running; end it, then run again")
            return STILL_RUNNING
        log.say(time.strftime("%Y-%m-%dT%H:%M:%S%z ") + " ".join(words))
        try:
            process = subprocess.Popen(  # noqa: S603 (the user's own command)
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            log.say(f"{words[0]}: it cannot be started ({error.strerror})")
            return NOT_STARTED
        try:
            _follow(process, log)
        finally:
            _end(process, log)
        code = process.wait()
        return code if code >= 0 else 128 - code


class Log:
    """A log file of whole lines with secrets masked."""

    def __init__(self, file: BinaryIO, hidden: list[bytes]) -> None:
        self._file, self._mask = file, _masking()
        self._hidden = [secret.decode("utf-8", "surrogateescape") for secret in hidden]
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Add output; an unfinished line is held back."""
        self._rest += data
        end = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r")) + 1
        if not end and len(self._rest) > _LONGEST_LINE:
            end = len(self._rest)
        self._put(self._rest[:end])
        self._rest = self._rest[end:]

    def flush(self) -> None:
        """Write the unfinished line."""
        self._put(self._rest)
        self._rest = b""

    def say(self, text: str) -> None:
        """Write a message of this program."""
        self.write(f"[dataselect] {text}\n".encode())

    def _put(self, data: bytes) -> None:
        # Any bytes come back from this as they were.
        text = data.decode("utf-8", "surrogateescape")
        for secret in self._hidden:
            text = self._mask(text.replace(secret, "[hidden]"), secret, "[hidden]")
        data = text.encode("utf-8", "surrogateescape")
        self._file.write(_HUB_TOKEN.sub(b"[hidden]", data))


def _masking() -> Callable[[str, str, str], str]:
    """`dataselect.redaction.mask`, from its file: this program may not find the package."""
    spec = spec_from_file_location("redaction", Path(__file__).parents[1] / "redaction.py")
    assert spec is not None, "it is beside this package"
    assert spec.loader is not None, "it is a file of Python"
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    mask: Callable[[str, str, str], str] = module.mask
    return mask


def secrets(environment: dict[str, str]) -> list[bytes]:
    """Values of variables with the names of secrets, longest first."""
    found = {
        value.encode()
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    return sorted(found, key=len, reverse=True)


def _locked(lock: int) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)


def _follow(process: "subprocess.Popen[bytes]", log: Log) -> None:
    """Copy output until the command or this program's standard input has ended."""
    assert process.stdout is not None, "it was opened with a pipe"
    output = process.stdout.fileno()
    watched = [0, output]
    while True:
        ended = process.poll() is not None
        ready, _, _ = select.select(watched, [], [], 0 if ended else _LOOK_SECONDS)
        if 0 in ready and not os.read(0, 1024):
            return
        if output in ready:
            data = os.read(output, 1 << 16)
            log.write(data)
            if not data:
                watched.remove(output)
        # A process that the command left behind may hold the pipe open for ever.
        elif ended:
            return


def _end(process: "subprocess.Popen[bytes]", log: Log) -> None:
    if process.poll() is None:
        log.flush()
        log.say("the run that asked for this has ended; so does this command")
        _signal(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # Also ends processes that the command left in its session.
    _signal(process.pid, signal.SIGKILL)
    log.flush()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _end_of_us(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
