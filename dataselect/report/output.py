"""Writing a file that a user has named: at once or not at all, and told apart from our own bugs."""

from pathlib import Path

from dataselect.errors import InputError


def write_out(path: Path, text: str, option: str = "--out") -> None:
    """Write the file that an option names. Raises InputError where it cannot be written."""
    from dataselect.store import write_atomic

    try:
        write_atomic(path, text.encode())
    except OSError as failed:
        raise InputError(
            path, f"cannot be written: {failed.strerror}", f"give another {option}"
        ) from None
