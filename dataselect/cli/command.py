"""How every command behaves: whole lines in the lists of commands, `-h`, renamed options,
suggestions for misspelt names, and plain numbers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from dataselect.cli.plain_numbers import PlainNumbers

RENAMED: Mapping[str, str] = {
    "--benchmark": "--benchmarks",
    "--tasks": "--benchmarks",
    "--model": "--with",
}
"""Former and other common names of options, with today's. A name counts as renamed only in a
command that has the new one and not the old one: `traces build --model` is an option of its own."""

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""Settings that all commands inherit from the first group."""


class Command(PlainNumbers):
    """A command of dataselect."""

    json_file: tuple[str, str] | None = None
    """Where `--json` once took a file: the option that takes it now, and what a note says."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first paragraph of the help, whole whatever `limit` is."""
        return _first_paragraph(self.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put today's names in place of former ones, and parse."""
        options = {name for each in self.params for name in each.opts}
        renamed = {
            old: new for old, new in RENAMED.items() if new in options and old not in options
        }
        told: dict[str, str] = {}
        args = list(_today(args, renamed, told))
        if self.json_file is not None:
            args = list(_flag_alone(args, *self.json_file, told))
        if not ctx.resilient_parsing:
            for note in told.values():
                typer.echo(f"note: {note}", err=True)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter:
            raise
        except Exception as error:
            _suggest(error, self._shown_options())
            raise

    def _shown_options(self) -> list[str]:
        shown = (each for each in self.params if not getattr(each, "hidden", False))
        return [option for each in shown for option in each.opts]


class Commands(TyperGroup):
    """A group of commands."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the group's own arguments; what is wrong with them is told inertly."""
        with _inert():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parse and run the command; what is wrong with its arguments is told inertly."""
        with _inert():
            return super().invoke(ctx)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first paragraph of the help, whole whatever `limit` is."""
        return _first_paragraph(self.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Say which command may be meant where there is none of a name."""
        unknown = bool(args) and args[0] not in self.commands and not ctx.resilient_parsing
        if unknown and (meant := self._meant(args[0])):
            from dataselect.wording import quoted

            ctx.fail(f"No such command {quoted(args[0])}. Did you mean {quoted(meant)}?")
        return super().resolve_command(ctx, args)

    def _meant(self, name: str) -> str:
        """A command of a group below, or what takes a YAML file; else ""."""
        for group, each in self.commands.items():
            if name in getattr(each, "commands", ()):
                return f"{group} {name}"
        return f"run {name}" if name.endswith((".yaml", ".yml")) and "run" in self.commands else ""


@contextmanager
def _inert() -> Iterator[None]:
    """Make errors about arguments inert: a shell puts names of files among them."""
    try:
        yield
    except Exception as error:
        # The library's own errors have a text of theirs, and show it themselves. A group that is
        # called without a command shows its help in place of a message: many lines, all ours.
        told = hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str)
        if told and type(error).__name__ != "NoArgsIsHelpError":
            from dataselect.wording import message

            error.message = message(error.message)  # type: ignore[attr-defined]
        raise


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n", maxsplit=1)[0].split())


def _today(args: list[str], renamed: Mapping[str, str], told: dict[str, str]) -> Iterator[str]:
    """The arguments with today's names; `told` gets a note for each former one."""
    for place, argument in enumerate(args):
        if argument == "--":
            yield from args[place:]
            return
        old, equals, value = argument.partition("=")
        if new := renamed.get(old):
            told[old] = f"{old} is called {new} here"
            yield f"{new}{equals}{value}"
        else:
            yield argument


def _flag_alone(args: list[str], option: str, note: str, told: dict[str, str]) -> Iterator[str]:
    """The arguments with `--json FILE` as `option FILE`; `--json` alone stays."""
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        named, equals, value = argument.partition("=")
        if named != "--json" or not (equals or (rest and not rest[0].startswith("-"))):
            yield argument
            continue
        file = value if equals else rest.pop(0)
        told[named] = note
        yield from (option, file)


def _suggest(error: Exception, options: list[str]) -> None:
    """Name the option that may be meant in the error for one that there is not."""
    name = getattr(error, "option_name", None)
    if name is None or not hasattr(error, "possibilities"):
        return
    from dataselect.wording import nearest, quoted

    meant = nearest(name, options)
    error.possibilities = None
    error.message = f"No such option {quoted(name)}" + (  # type: ignore[attr-defined]
        f"; {meant}" if meant else "; --help lists all"
    )
