"""Arguments of the functions on tables: tables by path or in memory, settings, range checks.

Error messages name options as the commands do: `--force` is the argument `force`.
"""

import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dataselect.errors import InputError
from dataselect.formats.in_memory import Table, frame
from dataselect.formats.jsonfile import parse_json
from dataselect.transfer.setting_file import SettingFile, read_setting

FilePath = str | os.PathLike[str]
TableInput = FilePath | pd.DataFrame
"""A path of a CSV file, or a frame with the same columns."""

LEAST_DRAWS = 100
"""Fewest bootstrap draws that an interval may come from."""


def as_table(argument: str, given: TableInput) -> Table:
    """A table for the readers. Raises InputError for what is neither a path nor a frame."""
    if isinstance(given, pd.DataFrame):
        return frame(argument, given)
    return as_path(argument, given, "give the path of a CSV file or a pandas frame")


def as_path(argument: str, given: object, fix: str) -> Path:
    """A path. Raises InputError for anything else."""
    if isinstance(given, str | os.PathLike):
        return Path(given)
    raise InputError(argument, f"{type(given).__name__} does not fit", fix)


def as_setting(given: FilePath | Mapping[str, Any] | None) -> SettingFile | None:
    """A setting from a JSON file, or from the content of one. Raises InputError."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        try:
            text = json.dumps(dict(given))
        except TypeError as error:
            raise InputError("setting (a mapping)", str(error), "write plain values") from None
        return parse_json(SettingFile, text, "setting (a mapping)", "fix or leave out that field")
    return read_setting(as_path("setting", given, "give the path of a JSON file or a mapping"))


def check_confidence(confidence: float) -> None:
    """Raise InputError unless `confidence` is between 0 and 1."""
    if not 0 < confidence < 1:
        raise InputError(
            "--confidence", f"{confidence:g} is not between 0 and 1", "write one like 0.9"
        )


def check_draws(draws: int) -> None:
    """Raise InputError for fewer than `LEAST_DRAWS` draws."""
    if draws < LEAST_DRAWS:
        raise InputError("--draws", f"{draws} are too few", f"give {LEAST_DRAWS} or more")


def check_seed(seed: int) -> None:
    """Raise InputError for a seed below 0."""
    if seed < 0:
        raise InputError("--seed", f"{seed} is below 0", "give 0 or more")


def python_call(function: Callable[..., object], given: Mapping[str, Any]) -> str:
    """The call as Python text, which files record as their origin, without default arguments.

    `given` are the arguments by name. Tables and models in memory appear as their type.
    """
    arguments = []
    for name, parameter in inspect.signature(function).parameters.items():
        value = given[name]
        plain = isinstance(value, str | bool | int | float)
        if name == "command" or value is None or (plain and value == parameter.default):
            continue
        text = _value_text(value)
        first = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        arguments.append(text if first else f"{name}={text}")
    return f"dataselect.{function.__name__}({', '.join(arguments)})"


def _value_text(value: object) -> str:
    if isinstance(value, str | bool | int | float | dict):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    return f"<{type(value).__name__}>"
