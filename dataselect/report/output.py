"""Atomic writing of a file that the user named; failures are user errors, not bugs."""

from pathlib import Path

from dataselect.errors import InputError


def write_out(path: Path, text: str, option: str = "--out") -> None:
    """Write the file that `option` names. Raises InputError if it cannot be written."""
    from dataselect.store import write_atomic

    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise InputError(
            path, f"cannot be written: {error.strerror}", f"give another {option}"
        ) from None
