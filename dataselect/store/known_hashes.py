"""SHA-256 of files that lie outside the store, each computed once for as long as it is unchanged.

Checkpoints of the user's own are known by the hashes of their files. They are gigabytes, and a
command that finds every score in the store would still read all of them. So a hash is remembered
by the file's path and everything that the file system says of its state: device, inode, size, and
both times in nanoseconds. Of these a program can set back the modification time, but not the
change time, so a file that was rewritten is hashed again even when it looks as before.

A hash is remembered only of a file that nobody had touched for `SETTLED_SECONDS` when it was
read: clocks tick coarsely, and a change within the same tick could not be seen later.

Not covered: bits that rot on the disk without a write. A memo that cannot be written or read
costs time, and nothing else.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dataselect.store.files import sha256_of

SETTLED_SECONDS = 3.0
"""How long before its reading a file must have been left alone; some file systems count in 2 s."""

_State = tuple[int, int, int, int, int]
_Known = Mapping[str, tuple[_State, str]]


def known_hashes(paths: Iterable[Path], memo: Path) -> dict[Path, str]:
    """SHA-256 of each file; what had to be computed is added to the file `memo`."""
    known = _read(memo)
    found, fresh = {}, []
    for path in paths:
        where, before = str(path.resolve()), _state(path)
        state, value = known.get(where, (None, ""))
        if state != before:
            began = time.time()
            value = sha256_of(path)
            last_touched = max(before[-2:]) / 1e9
            if _state(path) == before and last_touched < began - SETTLED_SECONDS:
                fresh.append({"path": where, "state": before, "sha256": value})
        found[path] = value
    if fresh:
        _append(memo, fresh)
    return found


def _state(path: Path) -> _State:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(memo: Path) -> _Known:
    """The last record of each path; lines that are torn or are none are left out."""
    known: dict[str, tuple[_State, str]] = {}
    with suppress(OSError):
        for line in memo.read_bytes().splitlines():
            with suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                device, inode, size, modified, changed = record["state"]
                state = (device, inode, size, modified, changed)
                known[str(record["path"])] = state, str(record["sha256"])
    return known


def _append(memo: Path, records: Iterable[Mapping[str, object]]) -> None:
    # Surrogates of a path that is no UTF-8 stay escaped. The line end in front shuts off a line
    # that a crash tore.
    text = "".join("\n" + json.dumps(record) for record in records) + "\n"
    with suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(memo, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
