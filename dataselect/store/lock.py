"""A lock on a report folder, which one run at a time may write.

Stores are shared (`claims`). Runs hold a shared lock on theirs all the same: older versions, which
need a store for themselves, are kept out while a newer one runs, and the other way round.

`flock` rather than a file whose existence means locked: the kernel releases it when the holder
dies, also by SIGKILL, so there is never a stale lock to remove by hand. The file stays after
release; deleting it would let two runs hold locks on two different files of the same name.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from dataselect import strict_json
from dataselect.errors import InputError, LockedError
from dataselect.store.ledger import NO_LOCKS

_OTHER_FOLDER = "choose another folder with --store or --out"


@contextmanager
def lock(folder: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold `folder` (made if absent) for this process; `what` names it in errors: "the store".

    A `shared` lock excludes only locks that are not shared, and is not taken where the file system
    has none. Raises LockedError, which names the
    holder, when another lock is held (also by this process), and InputError when the folder cannot
    be made, written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            folder, f"cannot be used as {what} ({error.strerror})", _OTHER_FOLDER
        ) from error
    try:
        _acquire(descriptor, folder, what, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, what: str, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(
            f"{folder}: {what} is in use by {_holder(descriptor)}; "
            f"wait until that run ends, or {_OTHER_FOLDER}"
        ) from None
    except OSError as error:
        if kind == fcntl.LOCK_SH and error.errno in NO_LOCKS:
            return
        problem = f"the file system cannot lock {what} ({error.strerror})"
        raise InputError(folder, problem, _OTHER_FOLDER) from error
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        holder = strict_json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        # The holder takes the lock first and writes its record afterwards.
        return "another run"
