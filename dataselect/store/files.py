"""Atomic writes: a file is complete or absent, also after a crash or a power cut.

What cannot be written is a line for the user: a full disk may have room when the same command runs
again (PassingError), all else needs another place (InputError).

A rename is atomic for readers, but survives a power cut only if the data is fsynced before it and
the folder after it. A plain write on a full disk destroys the old file; temporary file, fsync and
rename keep it.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from dataselect.errors import InputError, PassingError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_WORDS = tuple(f"(os error {number})" for number in _FULL)
"""How libraries in Rust end what they say of such an error."""


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, or raise OSError and leave the file unchanged."""
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync(path.parent)


def is_full(error: BaseException | None) -> bool:
    """Whether the error, or one that it was raised from, is of a disk or quota that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if str(error).endswith(_FULL_IN_WORDS):
            return True
        error = error.__cause__
    return False


@contextlib.contextmanager
def needs_room(where: Path) -> Iterator[None]:
    """Raise PassingError where the disk of `where` is full; other errors pass as they are."""
    try:
        yield
    except Exception as error:
        if isinstance(error, PassingError) or not is_full(error):
            raise
        raise PassingError(full_disk(where)) from error


def full_disk(where: object) -> str:
    """One line on a full disk."""
    return f"{where}: no space left on its disk; make room and run the same command again"


@contextlib.contextmanager
def writing(where: Path, fix: str) -> Iterator[None]:
    """Raise PassingError where the disk of `where` is full, and InputError with `fix` for every
    other OSError."""
    try:
        with needs_room(where):
            yield
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise InputError(where, problem, fix) from error


def remove(path: Path) -> None:
    """Remove a folder with all in it, or a file; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's data, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Force a folder and everything in it to disk, each folder after its content."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
