"""What terminal tables share: rules, plain text and alignment of cells.

Ids and messages come from users' files, so every cell and sentence is shown as plain text on one
line. Tables fit 80 columns as long as names are short. `terminal` makes the console of every
command: whatever reaches it, nothing of it acts on the display.
"""

from collections.abc import Collection, Iterable, Mapping

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dataselect.wording import in_plain_lines, one_line


class InertConsole(Console):
    """A console that escapes what would act on a display, but for the styles of its own."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable, their texts made inert."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else in_plain_lines(text), style, control)


def terminal(*, stderr: bool = False, quiet: bool = False) -> Console:
    """The console for standard output, or for standard error."""
    return InertConsole(stderr=stderr, quiet=quiet)


def plain_table() -> Table:
    """A table without columns, with a rule under its head and no border."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)


def named_table(first: str, *others: str, left: Collection[str] = (), fold: bool = False) -> Table:
    """A table with a column of names, which wrap if long, and columns of numbers.

    Columns whose heading is in `left` hold text. Numbers never wrap, unless `fold` is set, for
    tables that may be wider than the terminal.
    """
    table = plain_table()
    table.add_column(first, overflow="fold")
    for each in others:
        justify: JustifyMethod = "left" if each in left else "right"
        if fold:
            table.add_column(each, justify=justify, overflow="fold")
        else:
            table.add_column(each, justify=justify, no_wrap=True)
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add a row of plain text."""
    table.add_row(*(Text(one_line(cell)) for cell in cells))


def say(console: Console, line: str) -> None:
    """Print a sentence as plain text."""
    console.print(Text(one_line(line)))


def value_text(each: Mapping[str, float | None]) -> str:
    """`value [low, high]` to four digits; without the interval if its ends are None."""
    value, low, high = each["value"], each["low"], each["high"]
    return f"{value:.4g}" if low is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"
