"""SHA-256 of files outside the store, each computed once while the file is unchanged.

The user's checkpoints are identified by the hashes of their files. They are gigabytes, and a
command that finds every score in the store would still have to read all of them. So a hash is
cached by the file's path and its state in the file system: device, inode, size, and modification
and change times in nanoseconds. A program can set back the modification time but not the change
time, so a rewritten file is always hashed again.

A hash is cached only if the file had not changed for `SETTLED_SECONDS` before it was read: clocks
are coarse, and a change within the same tick could not be noticed later.

Lines of the cache have checksums; one that is spoilt, or a cache that cannot be written or read,
only costs time. Not covered: bit rot of the user's files without a write.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dataselect.store.files import sha256_of
from dataselect.store.sealed import sealed_line, whole_lines

SETTLED_SECONDS = 3.0
"""Time that a file must be unchanged before it is read; some file systems have ticks of 2 s."""

_State = tuple[int, int, int, int, int]
_Known = Mapping[str, tuple[_State, str]]


def known_hashes(paths: Iterable[Path], memo: Path) -> dict[Path, str]:
    """SHA-256 of each file, hexadecimal; new hashes are added to the cache file `memo`."""
    known = _read(memo)
    hashes, fresh = {}, []
    for path in paths:
        where, before = str(path.resolve()), _state(path)
        state, value = known.get(where, (None, ""))
        if state != before:
            began = time.time()
            value = sha256_of(path)
            last_touched = max(before[-2:]) / 1e9
            if _state(path) == before and last_touched < began - SETTLED_SECONDS:
                fresh.append({"path": where, "state": before, "sha256": value})
        hashes[path] = value
    if fresh:
        _append(memo, fresh)
    return hashes


def _state(path: Path) -> _State:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(memo: Path) -> _Known:
    """The last record of each path; incomplete and invalid lines are left out."""
    known: dict[str, tuple[_State, str]] = {}
    with suppress(OSError):
        for _, record in whole_lines(memo.read_bytes(), lambda *_: None):
            with suppress(ValueError, TypeError, KeyError):
                device, inode, size, modified, changed = record["state"]
                state = (device, inode, size, modified, changed)
                known[str(record["path"])] = state, str(record["sha256"])
    return known


def _append(memo: Path, records: Iterable[Mapping[str, object]]) -> None:
    # Surrogates of a path that is not UTF-8 stay escaped. The line end in front ends a line that a
    # crash left incomplete.
    text = b"".join(b"\n" + sealed_line(record) for record in records)
    with suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(memo, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)
