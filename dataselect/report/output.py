"""Folders and files that the user named; what cannot be written is a user error, not a bug."""

from pathlib import Path

from dataselect.errors import InputError

ELSEWHERE = "remove what is there, or choose another folder with --out"
"""What to do where a file of an output folder cannot be written."""


def make_folder(folder: Path, option: str = "--out") -> Path:
    """The folder that `option` names, created if absent. Raises InputError if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"cannot be made: {error.strerror}"
        raise InputError(folder, problem, f"give another {option}") from None
    return folder


def check_folder(folder: Path, option: str = "--out") -> None:
    """Raise InputError if there is something else than a folder; nothing is created."""
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is not a folder", f"give another {option}")


def write_out(path: Path, text: str, option: str = "--out") -> None:
    """Write the file that `option` names.

    Raises InputError if it cannot be written, and PassingError where the disk is full.
    """
    from dataselect.store.files import needs_room, write_atomic

    try:
        with needs_room(path):
            write_atomic(path, text.encode())
    except OSError as error:
        raise InputError(
            path, f"cannot be written: {error.strerror}", f"give another {option}"
        ) from None
