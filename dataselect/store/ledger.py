"""The ledger of resources spent: one JSON line per piece of work, appended, never rewritten.

A line is written with one system call under a lock and fsynced, so lines of several processes do
not mix. Where the file system has no locks, each process appends to a file of its own beside it. A
crash can only leave the last line incomplete; the next append starts a new line. Each line has its
checksum, and reading leaves out those that are not as they were written. The ledger is outside the
artifacts because failed work costs too.

Not covered: sums over the records, which belong to `dataselect.cost`.
"""

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataselect.store.sealed import sealed_line, whole_lines

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system that has no locks."""

logger = logging.getLogger("dataselect")


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record (JSON types, no NaN); it is on disk when this returns."""
    line = sealed_line(record, ascii_only=False)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            os.close(descriptor)
            own = path.with_name(f"{path.stem}-{socket.gethostname()}-{os.getpid()}{path.suffix}")
            descriptor = os.open(own, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """All complete records in the order of writing; empty without a ledger."""
    own = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    records = [each for file in (path, *own) if file.exists() for each in _records(file)]
    # Each file is in order already; seconds are told apart by it.
    return sorted(records, key=lambda each: str(each.get("time", ""))) if own else records


def _records(path: Path) -> list[dict[str, Any]]:
    def spoilt(number: int, problem: str) -> None:
        logger.warning("%s:%d: a line %s; it is left out of the cost", path, number, problem)

    return [record for _, record in whole_lines(path.read_bytes(), spoilt)]
