"""Shared by all commands: one-line errors with exit codes, warnings, the option --store."""

import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataselect.errors import DataselectError

if TYPE_CHECKING:
    from rich.console import Console

    from dataselect.report.live import LiveWatch, QuietWatch

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        help="Folder that keeps everything computed, for resuming; or s3://, gs://, az://.",
    ),
]
OnOption = Annotated[
    str | None,
    typer.Option("--on", help="Where jobs run: local, slurm, ray, or another engine. [the plan's]"),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        help="Show the numbers elsewhere too: wandb, tensorboard, trackio, mlflow, or another "
        "tracker; repeat for several.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="Show no progress and no notes, only the result.")
]
DEFAULT_STORE = ".dataselect"


@contextmanager
def errors(resume: bool = False) -> Iterator[None]:
    """Turn user errors and Ctrl-C into one line on standard error and an exit code.

    `resume` adds the command that resumes the work to the line of an interruption.
    """
    try:
        yield
    except DataselectError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        hint = f"; to go on: {this_command()}" if resume else ""
        typer.echo(f"\ninterrupted{hint}", err=True)
        raise typer.Exit(130) from None


def watched(console: "Console", quiet: bool) -> "LiveWatch | QuietWatch":
    """The progress display of a command, to be used as a context manager."""
    from dataselect.report.live import LiveWatch, QuietWatch

    return QuietWatch() if quiet else LiveWatch(console)


def this_command() -> str:
    """The command line of this process, quoted for a shell."""
    return shlex.join(["dataselect", *sys.argv[1:]])


def print_json(document: dict[str, Any]) -> None:
    """Print a document as JSON, for other programs."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


class NoteHandler(logging.Handler):
    """Passes the package's warnings to the function `note`."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on the message, without level and logger name."""
        self._note(record.getMessage())


@contextmanager
def notes(note: Callable[[str], None]) -> Iterator[None]:
    """Pass the package's warnings to `note` inside the context."""
    handler = NoteHandler(note)
    logger = logging.getLogger("dataselect")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
