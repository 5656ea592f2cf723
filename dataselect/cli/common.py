"""Shared by all commands: one-line errors with exit codes, warnings, the option --store."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataselect.cli.completion import engines, trackers
from dataselect.cli.interrupts import (
    EXIT_CODE,
    interrupted,
    resumed,
    undisturbed,
)
from dataselect.errors import DataselectError, IncompleteError, InputError
from dataselect.redaction import without_secrets
from dataselect.wording import in_plain_lines, message

if TYPE_CHECKING:
    from rich.console import Console

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Folder that keeps everything computed, for resuming; or s3://, gs://, az://.",
    ),
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ENGINE",
        autocompletion=engines,
        help="Where jobs run: local, slurm, ray, or another engine. [the plan's]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print neither progress nor notes, only results.")
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="TRACKER",
        autocompletion=trackers,
        help="Show the numbers elsewhere too: wandb, tensorboard, trackio, mlflow, or another "
        "tracker; repeat for several.",
    ),
]
DEFAULT_STORE = ".dataselect"


def progress_console(quiet: bool, as_json: bool) -> "Console":
    """Where a run shows its progress: standard output, which JSON has for itself."""
    from dataselect.report.console import terminal

    return terminal(stderr=as_json, quiet=quiet)


def tell(text: object, *, err: bool = False, dim: bool = False) -> None:
    """Print one line, as `terminal` does for all else: nothing in it acts on the display.

    Names of files, runs and models are foreign text, so commands print by this and not by typer.
    """
    line = in_plain_lines(str(text)).replace("\n", "\\n")
    typer.secho(line, dim=dim or None, err=err)


@contextmanager
def errors(resume: bool = False) -> Iterator[None]:
    """Turn user errors and Ctrl-C into one line on standard error and an exit code.

    SIGTERM and SIGHUP are as Ctrl-C (`main`). `resume` adds the command that resumes the work to
    the line of an interruption.
    """
    try:
        with resumed() if resume else nullcontext():
            yield
    except DataselectError as error:
        tell(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        line, code = _about_files(error)
        if line is None:
            raise
        tell(f"error: {line}", err=True)
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        with undisturbed(), suppress(OSError):  # with SIGHUP the terminal has gone
            typer.echo(err=True)
            tell(interrupted(resume), err=True)
        raise typer.Exit(EXIT_CODE) from None


def _about_files(error: OSError) -> tuple[str | None, int]:
    """One line on a file or disk that the system refuses, and the exit code; None for the rest."""
    from dataselect.store.files import full_disk, is_full

    where = error.filename2 or error.filename
    if is_full(error):
        return full_disk(where or "the disk that is written to"), IncompleteError.exit_code
    if where is None or error.strerror is None:
        return None, 1
    line = f"{where}: cannot be used ({error.strerror}); remove what is there, or allow its use"
    return message(line), InputError.exit_code


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document as JSON; what would act on a display is escaped as JSON does."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


class NoteHandler(logging.Handler):
    """Passes the package's warnings to the function `note`."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on the message in one line of bounded length, without level and logger name."""
        self._note(message(without_secrets(record.getMessage())))


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
