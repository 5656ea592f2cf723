"""What functions of the public face check of their arguments; the command line does it by type."""

from collections.abc import Sequence
from pathlib import Path

from dataselect.errors import InputError
from dataselect.wording import nearest, quoted

Paths = str | Path | Sequence[str | Path]
"""One or several."""


def several(given: Paths) -> list[str]:
    """A list of texts, also of a single one."""
    return [str(given)] if isinstance(given, str | Path) else [str(each) for each in given]


def require_one_of(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError for a value that there is not."""
    if value in choices:
        return
    meant = nearest(str(value), choices)
    raise InputError(
        option,
        f"there is no {option} {quoted(value)}",
        f"{meant + ' ' if meant else ''}give one of {', '.join(choices)}",
    )
