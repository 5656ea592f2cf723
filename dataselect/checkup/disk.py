"""Folders that a run writes to: free space, and what their file systems can do.

What is tried is tried in a folder of its own, which is removed again; a store is not made.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dataselect.checkup.finding import Finding, State
from dataselect.errors import InputError
from dataselect.store.objects import AbsentError, Objects, UnreachableError, is_url
from dataselect.store.opened import open_store

_LEAST_BYTES, _FEW_BYTES = 1 << 30, 10 << 30
"""Below the first nothing can be trained; below the second a run of many proxies may not fit."""
_LEAST_FILES = 10_000
_CLOCK_SECONDS = 5.0
"""Claims of several machines compare the times of files."""
_VOLATILE = ("tmpfs", "ramfs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "fuse", "9p")


def examine_disk(store: str, out: Path, needed: int = 0) -> Iterator[Finding]:
    """The store, the folder of reports, and the folder of temporary files.

    `needed`: bytes that the run is expected to add to the store. Raises nothing.
    """
    try:
        root = open_store(store).root
    except InputError as error:
        yield Finding("disk", "store", "problem", f"{store}: {error.problem}", error.fix)
    else:
        yield space(
            "store", root, "choose another folder with --store, or make room", needed=needed
        )
        yield from _abilities(root)
        if is_url(store):
            yield _remote(store)
    yield space("reports", out, "choose another folder with --out, or make room")
    temporary = Path(tempfile.gettempdir())
    yield space("temporary files", temporary, "set TMPDIR to a folder with more room")


def space(check: str, folder: Path, fix: str, *, needed: int = 0, part: str = "disk") -> Finding:
    """Free space of a folder that is written to, whether it exists already or not."""
    state, text = _room(folder, needed)
    return Finding(part, check, state, text, "" if state == "ok" else fix)


def _room(folder: Path, needed: int) -> tuple[State, str]:
    existing = _existing(folder)
    if not existing.is_dir():
        return "problem", f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return "problem", f"{existing} cannot be written"
    try:
        free, nodes = shutil.disk_usage(existing).free, os.statvfs(existing)
    except OSError as error:
        return "problem", f"{existing}: {error.strerror}"
    text = f"{_amount(free)} free in {folder.absolute()}"
    if needed:
        text += f"; this run adds up to about {_amount(needed)}"
    if nodes.f_files and nodes.f_favail < _LEAST_FILES:
        return "problem", f"{text}, and room for {nodes.f_favail} files"
    if free < max(_LEAST_BYTES, needed):
        return "problem", text
    return ("note" if free < max(_FEW_BYTES, 2 * needed) else "ok"), text


def _abilities(root: Path) -> Iterator[Finding]:
    """Whether the file system of the store locks, renames at once, and has this machine's time."""
    existing = _existing(root)
    kind = _kind(existing)
    elsewhere = "put the store on another file system with --store"
    try:
        folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=existing))
    except OSError:
        return  # told by its space
    try:
        if not _locks(folder / "lock"):
            text = f"{kind} does not lock files, so two runs at once may write the ledger together"
            yield Finding("disk", "store locks", "note", text, f"one run at a time, or {elsewhere}")
        else:
            yield Finding("disk", "store locks", "ok", f"{kind} locks files")
        if not _renames(folder):
            text = f"{kind} does not rename a folder at once, on which claims and artifacts rest"
            yield Finding("disk", "store renames", "problem", text, elsewhere)
        else:
            yield Finding("disk", "store renames", "ok", f"{kind} renames folders at once")
        apart = _clock(folder / "clock")
        if apart > _CLOCK_SECONDS:
            text = f"its clock is {apart:.0f} seconds from this machine's"
            fix = "set both by NTP: a run that shares the store may be taken for dead"
            yield Finding("disk", "store clock", "note", text, fix)
    except OSError as error:
        text = f"{existing}: {error.strerror or error}"
        yield Finding("disk", "store file system", "problem", text, elsewhere)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if kind in _VOLATILE:
        text = f"{kind}: all of it is lost when the machine restarts"
        yield Finding("disk", "store kind", "note", text, elsewhere)
    elif kind.partition(".")[0] in _NETWORK:
        text = f"{kind}: machines that see it may share the store"
        yield Finding("disk", "store kind", "ok", text)


def _locks(path: Path) -> bool:
    """Whether a lock keeps a second one out."""
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2))
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    except OSError:
        return False
    finally:
        os.close(first)
        os.close(second)


def _renames(folder: Path) -> bool:
    """Whether a folder takes a free name, and does not take that of a folder with content."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "content").write_text(name, encoding="utf-8")
    os.rename(folder / "one", folder / "name")
    with suppress(OSError):
        os.rename(folder / "two", folder / "name")
        return False
    return (folder / "name" / "content").read_text(encoding="utf-8") == "one"


def _clock(path: Path) -> float:
    """Seconds between this machine's time and that which the file system gives a file."""
    before = time.time()
    path.write_text("", encoding="utf-8")
    given, after = path.stat().st_mtime, time.time()
    return max(0.0, before - given, given - after)


def _remote(url: str) -> Finding:
    """Whether the object store answers; nothing is written there."""
    try:
        objects = Objects(url)
        objects.read("dataselect-store.json")
    except InputError as error:
        return Finding("disk", "object store", "problem", error.problem, error.fix)
    except AbsentError:
        pass
    except UnreachableError as error:
        fix = "check the network and the credentials, as the library of the service reads them"
        return Finding("disk", "object store", "problem", f"{objects.name}: {error}", fix)
    return Finding("disk", "object store", "ok", f"{objects.name} answers; writing is not tried")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    whole = folder.expanduser().absolute()
    for each in (whole, *whole.parents):
        with suppress(OSError):
            if each.exists():
                return each
    return Path("/")


def _kind(folder: Path) -> str:
    """Name of the file system, as Linux gives it."""
    best, kind = "", "this file system"
    with suppress(OSError, ValueError):
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            _, place, name, *_ = line.split(" ")
            inside = str(folder) == place or str(folder).startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, kind = place, name
    return kind


def _amount(count: int) -> str:
    if count < 2**30:
        return f"{max(1, round(count / 2**20))} MiB"
    return f"{count / 2**30:,.1f} GiB" if count < 100 * 2**30 else f"{count / 2**30:,.0f} GiB"
