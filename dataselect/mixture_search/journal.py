"""An Optuna journal in a file that survives its writers.

Optuna's own file backend uses the same format. But its lock is a file that a killed process leaves
behind, and if a killed process leaves half a line, the next line is appended to it and the journal
becomes unreadable. Here the lock is the kernel's (`flock`), which is released when its holder dies,
and the next writer cuts off a torn end: that line was never acknowledged.

Not covered: file systems without `flock`; use a database there.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from dataselect.errors import InputError

logger = logging.getLogger("dataselect")


class JournalFile(BaseJournalBackend):
    """JSON lines, appended by many processes; the file is created if absent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._offsets = [0]
        with self._locked() as descriptor:
            _cut_torn_end(descriptor, path)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The logs from that number on; a last line that is still being written is left out."""
        known = min(log_number_from, len(self._offsets) - 1)
        with self._path.open("rb") as file:
            file.seek(self._offsets[known])
            for number, line in enumerate(file, start=known):
                if not line.endswith(b"\n"):
                    return
                if number + 1 == len(self._offsets):
                    self._offsets.append(self._offsets[number] + len(line))
                if number >= log_number_from:
                    yield self._parsed(line, number + 1)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add logs; they are on disk when this returns."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._locked() as descriptor:
            _cut_torn_end(descriptor, self._path)
            written = os.write(descriptor, lines)
            if written != len(lines):
                raise OSError(f"{self._path}: the disk took {written} of {len(lines)} bytes")
            os.fsync(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            log = json.loads(line)
        except ValueError:
            log = None
        if not isinstance(log, dict):
            raise InputError(
                f"{self._path}:{number}",
                "this line is no log of a study",
                "remove it, or the file; trained proxies stay in the store",
            )
        return log


def _cut_torn_end(descriptor: int, path: Path) -> None:
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    end = size
    while end > 0:
        begin = max(0, end - 4096)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    os.ftruncate(descriptor, end)
    os.fsync(descriptor)
    logger.warning("%s: cut off %d bytes that a killed process had torn", path, size - end)
