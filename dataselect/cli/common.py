"""Shared by all commands: one-line errors with exit codes, warnings, the option --store."""

import json
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataselect.cli.completion import engines, trackers
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
        hint = f"; to go on: {this_command()}" if resume else ""
        with undisturbed(), suppress(OSError):  # with SIGHUP the terminal has gone
            typer.echo(err=True)
            tell(f"interrupted{hint}", err=True)
        raise typer.Exit(130) from None


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals that end a command, where it is ending: a second Ctrl-C takes no line away."""
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    except ValueError:  # not the main thread, which alone is interrupted
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


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


def this_command() -> str:
    """The command line of this process, quoted for a shell."""
    return shlex.join(["dataselect", *sys.argv[1:]])


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
