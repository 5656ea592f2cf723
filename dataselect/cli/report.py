"""The command `report`: the pages of a report again, from its report.json."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import errors, tell
from dataselect.cli.completion import reports


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            autocompletion=reports,
            help="Folder of a report, such as reports/NAME.",
        ),
    ],
) -> None:
    """Write a report's pages again from its report.json."""
    with errors():
        from dataselect.report.selection.files import rewrite

        for path in rewrite(folder):
            tell(path)
