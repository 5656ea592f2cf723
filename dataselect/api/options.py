"""What functions of the public face check of their arguments; the command line does it by type.

Errors name options as the commands do: `--limit` is the argument `limit`.
"""

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
    if value not in choices:
        meant = nearest(str(value), choices) or "name one that there is"
        raise InputError(option, f"there is no {quoted(value)}", f"{meant} ({', '.join(choices)})")
