"""Argument checks of the public functions; the command line checks the same by type.

Error messages name options as the commands do: `--limit` is the argument `limit`.
"""

from collections.abc import Sequence
from pathlib import Path

from dataselect.errors import InputError
from dataselect.wording import nearest, quoted

Paths = str | Path | Sequence[str | Path]
"""One path or name, or several."""


def several(given: Paths) -> list[str]:
    """The given paths or names as a list of strings, also if there is only one."""
    return [str(given)] if isinstance(given, str | Path) else [str(each) for each in given]


def require_one_of(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError unless `value` is one of `choices`."""
    if value not in choices:
        meant = nearest(str(value), choices) or "name one that there is"
        raise InputError(option, f"there is no {quoted(value)}", f"{meant} ({', '.join(choices)})")
