"""Checks of what callers pass from Python; the command line does the same by its types.

Errors name options as the commands do: `--force` is the argument `force`.
"""

import operator
import os
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from dataselect.errors import InputError
from dataselect.units import parse_count
from dataselect.wording import nearest, quoted

if TYPE_CHECKING:
    from dataselect.config.manifest import Manifest
    from dataselect.store import OnWait, Store

Paths = str | Path | Sequence[str | Path]
"""One path or name, or several."""


def as_path(argument: str, given: object, fix: str) -> Path:
    """The path in `given`. Raises InputError if it is none, or empty."""
    if not isinstance(given, str | os.PathLike):
        raise InputError(argument, f"{type(given).__name__} does not fit", fix)
    text = os.fspath(given)
    if not text or "\0" in text:
        raise InputError(argument, "it is empty" if not text else "it has a NUL character", fix)
    return Path(text)


def as_manifest(given: "str | os.PathLike[str] | Manifest") -> "Manifest":
    """A loaded manifest, or the one of a file. Raises InputError."""
    # Here, as the store below, because what works on tables alone needs neither.
    from dataselect.config.manifest import Manifest, load_manifest

    if isinstance(given, Manifest):
        return given
    return load_manifest(as_path("manifest", given, "give the path of a manifest"))


def as_folder(argument: str, given: object) -> Path:
    """The path of a folder, which need not exist. Raises InputError if it is none."""
    return as_path(argument, given, "give the path of a folder")


def as_store(argument: str, given: object, on_wait: "OnWait | None" = None) -> "Store":
    """The store in a folder, or at a URL. Raises InputError if it can be neither."""
    from dataselect.store import open_store

    place = as_path(argument, given, "give the path of a folder, or a URL such as s3://bucket/team")
    # Not the Path, which would make one slash of two.
    return open_store(given if isinstance(given, str) else place, on_wait)


def several(argument: str, given: object) -> list[str]:
    """One or several paths or names, as they are written. Raises InputError for anything else."""
    fix = "give a path or a name, or several in a list"
    each = [given] if isinstance(given, str | os.PathLike) else given
    if not isinstance(each, Iterable):
        raise InputError(argument, f"{type(given).__name__} does not fit", fix)
    # Not as a Path, which would drop the "./" that tells a folder from an id on the Hub.
    return [os.fspath(one) for one in each if as_path(argument, one, fix)]


def as_count(option: str, given: object, least: int) -> int:
    """A whole number of at least `least`, also from NumPy. Raises InputError for anything else."""
    fix = f"give {least} or more"
    try:
        if isinstance(given, bool):
            raise TypeError
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(option, f"{given!r} is not a whole number", fix) from None
    if value < least:
        problem = f"{value} are too few" if least > 1 else f"{value} is below {least}"
        raise InputError(option, problem, fix)
    return value


def as_amount(option: str, given: object) -> int:
    """A whole number of at least 1, also with a suffix (`10M`). Raises InputError for others."""
    if not isinstance(given, str):
        return as_count(option, given, 1)
    try:
        value = parse_count(given)
    except ValueError as error:
        raise InputError(option, *str(error).split("; ", 1)) from None
    return as_count(option, value, 1)


def as_counts(option: str, given: object) -> tuple[int, ...]:
    """Counts of at least 1, from one or several. Raises InputError for anything else."""
    each = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    counts = []
    for one in each:
        try:
            counts.append(as_count(option, one, 1))
        except InputError:
            fix = "give counts like 1, 3 and 5"
            raise InputError(option, f"{one!r} is not a count", fix) from None
    return tuple(counts)


def as_confidence(given: object) -> float:
    """A share between 0 and 1. Raises InputError for anything else."""
    fix = "write one like 0.9"
    if isinstance(given, bool) or not isinstance(given, Real):
        raise InputError("--confidence", f"{given!r} is not a number", fix)
    value = float(given)
    if not 0 < value < 1:
        raise InputError("--confidence", f"{value:g} is not between 0 and 1", fix)
    return value


def as_flag(option: str, given: object) -> bool:
    """True or False, also from NumPy. Raises InputError for anything else."""
    if isinstance(given, bool) or str(getattr(given, "dtype", "")) == "bool":
        return bool(given)
    raise InputError(option, f"{given!r} is neither True nor False", "give one of these")


def require_one_of(option: str, value: object, choices: Sequence[str]) -> None:
    """Raise InputError unless `value` is one of `choices`."""
    if value not in choices:
        meant = nearest(str(value), choices) or "name one that there is"
        listed = ", ".join(choices)
        raise InputError(option, f"there is no {quoted(str(value))}", f"{meant} ({listed})")
