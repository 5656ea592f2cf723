"""Numbers in options as people write them: `2_5` may be meant as 2.5, and Python reads 25.

Underscores may part thousands (`2_000`), as in manifests and plans.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

_GROUPED = re.compile(r"[+-]?\d{1,3}(_\d{3})+(\.\d*)?")


class PlainNumbers(TyperCommand):
    """A command that refuses a number with underscores that part no thousands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Check the values of options that take numbers, and parse."""
        names = _numeric(self.callback) if self.callback is not None else set()
        options = {option for each in self.params if each.name in names for option in each.opts}
        for option, value in _values(args):
            plain = value.isascii() and ("_" not in value or _GROUPED.fullmatch(value))
            if option in options and not plain:
                fix = "write plain digits; underscores part thousands, as in 2_000"
                raise typer.BadParameter(f"{option}: {value!r} is not a number; {fix}")
        return super().parse_args(ctx, args)


def _numeric(function: Callable[..., Any]) -> set[str]:
    """Names of the arguments of a function that are numbers."""
    hints = get_type_hints(inspect.unwrap(function))
    return {name for name, kind in hints.items() if {int, float} & {kind, *get_args(kind)}}


def _values(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options with their values: `--draws=5` or `--draws 5`."""
    for place, argument in enumerate(arguments):
        option, separator, value = argument.partition("=")
        if option.startswith("-") and separator:
            yield option, value
        elif option.startswith("-") and place + 1 < len(arguments):
            yield option, arguments[place + 1]
