"""The doctor's findings in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataselect.checkup.finding import Finding

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
_CHECK_WIDTH = 16


class FindingsTable:
    """Prints each finding as it is made: a heading for each part, a row for each check."""

    def __init__(self, console: Console) -> None:
        self._console, self._part = console, ""

    def show(self, finding: Finding) -> None:
        """Print one finding, with its fix below it."""
        if finding.part != self._part:
            self._part = finding.part
            self._console.print(Text(finding.part, style="bold"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=len("problem"), no_wrap=True)
        table.add_column(width=_CHECK_WIDTH, overflow="fold")
        table.add_column(overflow="fold", ratio=1)
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(state, Text(finding.check), Text(finding.found))
        if finding.fix:
            table.add_row("", "", Text(f"→ {finding.fix}", style="italic"))
        self._console.print(table, highlight=False)
