"""Signs of life of the processes that hold something in a store.

While a process holds a key or writes an artifact, `owners/TOKEN` says which process it is, and a
thread touches that file every few seconds. Whoever finds the owner dead removes the file. That is
the end of this owner, also if the process lives after all: its next touch fails, which tells it
that everything it held is lost.

**Clocks of machines are never compared.** An owner counts as dead when its process is seen to be
gone; when its file has not changed while a waiting process watched for `expiry_seconds` of its own
monotonic clock; or, at first sight, when its file is older than `_LONG_AGO` leases beside one that
the waiting process touches now. The last compares two time stamps of one file system: a server's
for NFS, but each client's own for Lustre, whose clocks may therefore differ by `_LONG_AGO` leases.
A process of this machine that is seen to run is alive however long it was silent: a native call may
keep its thread from touching the file.
"""

import errno
import json
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.store.process import Process, this_process

_LONG_AGO = 5
_GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)


@dataclass(frozen=True)
class Lease:
    """How long an owner may be silent."""

    heartbeat_seconds: float = 10.0
    """Time between two signs of life."""
    expiry_seconds: float = 120.0
    """An owner that gave none for so long counts as dead, unless it is seen to run."""
    poll_seconds: float = 1.0
    """Longest time between two looks at what is waited for."""

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_seconds < self.expiry_seconds or self.poll_seconds <= 0:
            raise ValueError("a lease expires after its heartbeat, and all times are positive")


class Owner:
    """This process in one store, from the first thing that it holds to the last."""

    def __init__(self, folder: Path, lease: Lease) -> None:
        self.lease, self.process = lease, this_process()
        self.token = secrets.token_hex(8)
        self.path = folder / self.token
        self.users = 0
        self._lost = False
        folder.mkdir(parents=True, exist_ok=True)
        record = self.process.record() | {"expiry_seconds": lease.expiry_seconds}
        with self.path.open("x") as file:
            json.dump(record, file)

    @property
    def now_ns(self) -> int:
        """The time stamp of the last touch, by the file system's clock."""
        sign = last_sign(self.path)
        return 0 if sign is None else sign.mtime_ns

    @property
    def known_lost(self) -> bool:
        """Whether it is known to be declared dead; asks nothing of the file system."""
        return self._lost

    def touch(self) -> bool:
        """Give a sign of life; False if this owner was declared dead."""
        try:
            # The file system's time, not this machine's.
            os.utime(self.path)
        except OSError as error:
            # Anything else, such as a server that does not answer now, decides nothing.
            if error.errno in _GONE:
                self._lost = True
        return not self._lost

    def end(self) -> None:
        """Remove the file: nothing is held any more."""
        with suppress(OSError):
            self.path.unlink()


class _Heart:
    """What this process owns, by folder of owners, and the thread that shows that it lives."""

    def __init__(self) -> None:
        self.reset()
        # What a parent owns is not its forked child's, and threads do not survive a fork.
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        # Reentrant: the garbage collector may end a claim at any moment, here too.
        self._changed = threading.Condition(threading.RLock())
        self._owners: dict[Path, Owner] = {}
        self._pause = Lease().heartbeat_seconds
        self._beats = False

    def enter(self, folder: Path, lease: Lease) -> Owner:
        with self._changed:
            owner = self._owners.get(folder)
            if owner is None or owner.known_lost:
                owner = self._owners[folder] = Owner(folder, lease)
                if not self._beats:
                    self._beats = True
                    threading.Thread(target=self._beat, name="signs of life", daemon=True).start()
                if lease.heartbeat_seconds < self._pause:
                    self._changed.notify_all()
            owner.users += 1
        return owner

    def leave(self, folder: Path, owner: Owner) -> None:
        with self._changed:
            owner.users -= 1
            if owner.users == 0:
                if self._owners.get(folder) is owner:
                    del self._owners[folder]
                owner.end()

    def _beat(self) -> None:
        while True:
            with self._changed:
                pauses = [owner.lease.heartbeat_seconds for owner in self._owners.values()]
                self._pause = min([Lease().heartbeat_seconds, *pauses])
                self._changed.wait(self._pause)
                owners = list(self._owners.values())
            for owner in owners:
                owner.touch()


_heart = _Heart()


def enter(folder: Path, lease: Lease) -> Owner:
    """This process as an owner in `folder`, shown to live until as many `leave`. Raises OSError."""
    return _heart.enter(folder, lease)


def leave(folder: Path, owner: Owner) -> None:
    """The end of one use of the owner; with the last one its file is removed."""
    _heart.leave(folder, owner)


@dataclass(frozen=True)
class Sign:
    """The last sign of life of an owner."""

    process: Process | None
    """Which process it is; None if its record cannot be read."""
    expiry_seconds: float
    """How long it may be silent, by its own word."""
    mtime_ns: int
    """When the file system saw it last, by the file system's clock."""


def last_sign(path: Path) -> Sign | None:
    """The sign of life in an owner's file; None if the file is gone."""
    try:
        # Opened: NFS remembers the times of a file for a minute, unless it is opened anew.
        with path.open("rb") as file:
            record, mtime = file.read(), os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    process, expiry = None, Lease().expiry_seconds
    with suppress(ValueError, KeyError, TypeError):
        known: dict[str, Any] = strict_json.loads(record)
        process, expiry = Process.read(known), float(known["expiry_seconds"])
    return Sign(process, expiry, mtime)


class Watcher:
    """Judges whether owners are dead; it remembers since when each was silent."""

    def __init__(self) -> None:
        self._silent: dict[Path, tuple[int, float]] = {}

    def is_dead(self, path: Path, sign: Sign | None, now_ns: int) -> bool:
        """Whether the owner of this file is dead, by its last sign.

        `now_ns` is the time stamp of a file that was touched now in the same file system.
        """
        if sign is None:
            return True
        sight = "elsewhere" if sign.process is None else sign.process.seen_from_here()
        if sight in ("gone", "running"):
            return sight == "gone"
        now = time.monotonic()
        mtime, since = self._silent.setdefault(path, (sign.mtime_ns, now))
        if mtime != sign.mtime_ns:
            self._silent[path] = sign.mtime_ns, now
            since = now
        if now - since > sign.expiry_seconds:
            return True
        return (now_ns - sign.mtime_ns) / 1e9 > _LONG_AGO * sign.expiry_seconds
