"""An Optuna journal in a file that survives its writers.

Optuna's own file backend uses the same format. But its lock is a file that a killed process leaves
behind, and if a killed process leaves half a line, the next line is appended to it and the journal
becomes unreadable. Here the lock is the kernel's (`flock`), which is released when its holder dies,
and the next writer cuts off a torn end: that line was never acknowledged.

Every line has its checksum. Trials are numbered by their place among the lines, so one spoilt line
spoils all after it: the file is then set aside when a search opens it, and a new one begun. Its
trials are proxies and scores in the store, so that the same search finds them without training.
A worker that was at work meanwhile ends, with one line.

Not covered: file systems without `flock`; use a database there.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from dataselect.errors import IncompleteError
from dataselect.store.files import needs_room
from dataselect.store.sealed import SpoiltError, read_line, sealed_line, set_aside, whole_lines

logger = logging.getLogger("dataselect")


class JournalFile(BaseJournalBackend):
    """JSON lines, appended by many processes; the file is created if absent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            set_aside(path, "is a folder", "its trials are read from the store again")
        self._offsets = [0]
        self._file: tuple[int, int] | None = None
        with self._locked() as descriptor:
            problem = _no_content(path)
            if problem is None:
                _cut_torn_end(descriptor, path)
                problem = _problem(path)
            if problem is not None:
                # Workers that are at work find another file, and end.
                set_aside(path, problem, "its trials are read from the store again")
        with self._locked() as descriptor:
            self._file = _identity(descriptor)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The logs from that number on; a last line that is still being written is left out."""
        known = min(log_number_from, len(self._offsets) - 1)
        with self._path.open("rb") as file:
            file.seek(self._offsets[known])
            self._require_same(file.fileno())
            for number, line in enumerate(file, start=known):
                if not line.endswith(b"\n"):
                    return
                if number + 1 == len(self._offsets):
                    self._offsets.append(self._offsets[number] + len(line))
                if number >= log_number_from:
                    yield self._parsed(line, number + 1)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add logs; they are on disk when this returns."""
        lines = b"".join(map(sealed_line, logs))
        with self._locked() as descriptor, needs_room(self._path):
            _cut_torn_end(descriptor, self._path)
            size = os.fstat(descriptor).st_size
            written = os.write(descriptor, lines)
            if written != len(lines):
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._require_same(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            return read_line(line)
        except SpoiltError as error:
            raise IncompleteError(
                f"{self._path}:{number}: this line {error}; run the same command again to set the "
                "file aside and to read its trials from the store"
            ) from error

    def _require_same(self, descriptor: int) -> None:
        if self._file is not None and _identity(descriptor) != self._file:
            raise IncompleteError(
                f"{self._path}: it was spoilt and another process has set it aside; run the same "
                "command again"
            )


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _no_content(path: Path) -> str | None:
    data = path.read_bytes()
    return "holds zeros alone" if data and not data.strip(b"\0") else None


def _problem(path: Path) -> str | None:
    """What is wrong with the first line that is not as it was written; None if all are."""
    spoilt: list[tuple[int, str]] = []
    count = sum(1 for _ in whole_lines(path.read_bytes(), lambda *each: spoilt.append(each)))
    if not spoilt:
        return None
    number, problem = spoilt[0]
    return f"line {number} of {count + len(spoilt)} {problem}"


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
