"""A tracker in a process of its own, which reads the run's `metrics.jsonl`.

A thread would do less: libraries of trackers wait for networks at exit, install handlers of
signals, print, and take seconds to import. A process can be left behind and ended, and sees it
when the run is killed.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dataselect.trackers.tracker import Status

END_SECONDS = 20.0
"""How long the end of a run waits for its trackers, all together."""


class Sidecar:
    """The tracker `name` of the run whose numbers are in `metrics`, from byte `offset` on.

    `note` shows what it says: where the run is, once, and why it is off, once. Nothing here
    raises, blocks or waits but `close`.
    """

    def __init__(
        self, name: str, metrics: Path, offset: int, folder: Path, note: Callable[[str], None]
    ) -> None:
        self.name, self._note = name, note
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self.log = folder / f"tracker-{name}.log"
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - this program
                    [
                        *(sys.executable, "-m", "dataselect.trackers.follow"),
                        *(name, str(metrics), str(offset), str(folder)),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # Ctrl-C in the terminal is for the run alone.
                    start_new_session=True,
                )
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
        except OSError as error:
            self._off(f"its process cannot be started ({error})")

    def poll(self) -> None:
        """Show what it has said since the last call."""
        process = self._process
        if process is None or process.stdout is None:
            return
        over = process.poll() is not None
        for message in self._messages():
            if "shown" in message:
                self._note(f"{self.name}: {message['shown']}")
            if "failed" in message:
                self._off(message["failed"])
                return
        if over and process.returncode:
            self._off(f"its process ended with code {process.returncode}")

    def end(self, status: Status) -> None:
        """Tell it how the run ended; `close` then waits for it."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(f"{status}\n".encode())
                process.stdin.close()

    def close(self, seconds: float) -> None:
        """Wait for what it still sends, at most so many seconds; then it is ended."""
        process = self._process
        if process is None:
            return
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until and self._process is not None:
            self.poll()
            time.sleep(0.02)
        self.poll()
        if self._process is not None and process.poll() is None:
            self._off(f"it did not end within {END_SECONDS:.0f} seconds of the run's end")
        self._process = None

    def _messages(self) -> list[dict[str, str]]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            while read := process.stdout.read(65536):
                self._rest += read
        *whole, self._rest = self._rest.split(b"\n")
        found = []
        for line in whole:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    found.append({str(key): str(value) for key, value in message.items()})
        return found

    def _off(self, why: str) -> None:
        """It is off from now on, with one note."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        self._note(f"{self.name} is off ({why}); the numbers are in metrics.jsonl, see {self.log}")
