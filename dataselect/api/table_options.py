"""Arguments of the functions on tables: tables by path or in memory, settings, range checks.

Error messages name options as the commands do: `--force` is the argument `force`.
"""

import inspect
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Union

from dataselect.api.arguments import as_path
from dataselect.errors import InputError
from dataselect.formats.in_memory import Table, frame

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.transfer.setting_file import SettingFile

FilePath = str | os.PathLike[str]
TableInput = Union[str, os.PathLike[str], "pd.DataFrame"]
"""A path of a CSV file, or a frame with the same columns."""

LEAST_DRAWS = 100
"""Fewest bootstrap draws that an interval may come from."""


def as_table(argument: str, given: TableInput) -> Table:
    """A table for the readers. Raises InputError for what is neither a path nor a frame."""
    if not isinstance(given, str | os.PathLike):
        # Here, because a command reads files, and pandas takes longer to load than all that does.
        import pandas as pd

        if isinstance(given, pd.DataFrame):
            return frame(argument, given)
    return as_path(argument, given, "give the path of a CSV file or a pandas frame")


def as_setting(given: FilePath | Mapping[str, Any] | None) -> "SettingFile | None":
    """A setting from a JSON file, or from the content of one. Raises InputError."""
    from dataselect.formats.jsonfile import parse_json
    from dataselect.transfer.setting_file import SettingFile, read_setting

    if given is None:
        return None
    if isinstance(given, Mapping):
        try:
            text = json.dumps(dict(given))
        except TypeError as error:
            raise InputError("setting (a mapping)", str(error), "write plain values") from None
        return parse_json(SettingFile, text, "setting (a mapping)", "fix or leave out that field")
    return read_setting(as_path("setting", given, "give the path of a JSON file or a mapping"))


def python_call(function: Callable[..., object], given: Mapping[str, Any]) -> str:
    """The call as Python text, which files record as their origin, without default arguments.

    `given` are the arguments by name. Tables and models in memory appear as their type.
    """
    arguments = []
    for name, parameter in inspect.signature(function).parameters.items():
        value = given[name]
        plain = isinstance(value, str | bool | int | float)
        if name in ("command", "watch") or value is None or (plain and value == parameter.default):
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
