"""What all commands share: errors as one line and an exit code, warnings, the store's option."""

import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dataselect.errors import DataselectError
from dataselect.report.output import write_out as write_out  # noqa: PLC0414  # commands find it here

StoreOption = Annotated[
    Path, typer.Option("--store", help="Folder that keeps everything computed, for resuming.")
]
DEFAULT_STORE = Path(".dataselect")


@contextmanager
def errors(resume: bool = False) -> Iterator[None]:
    """Turn what a user can act on into one line on standard error and an exit code."""
    try:
        yield
    except DataselectError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        going_on = f"; to go on: {this_command()}" if resume else ""
        typer.echo(f"\ninterrupted{going_on}", err=True)
        raise typer.Exit(130) from None


def this_command() -> str:
    """The command line, to be given again."""
    return shlex.join(["dataselect", *sys.argv[1:]])


def print_json(document: dict[str, Any]) -> None:
    """Print everything found, for other programs."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


class NoteHandler(logging.Handler):
    """Hands the package's warnings to whoever shows them."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Show the message alone."""
        self._note(record.getMessage())


@contextmanager
def notes(note: Callable[[str], None]) -> Iterator[None]:
    """Show the package's warnings by `note` in the meantime."""
    handler = NoteHandler(note)
    logger = logging.getLogger("dataselect")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
