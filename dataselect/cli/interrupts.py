"""Signals that end a command: SIGTERM and SIGHUP do as Ctrl-C does, and none is lost.

Python raises KeyboardInterrupt wherever the main thread is. In a destructor, or in native code that
cannot raise, the exception is dropped, and what ran there is half done: SciPy then drew points from
a table that it had not filled, and a search went on with other mixtures. So an interruption that is
dropped ends the process at once, as a kill would, which all that is computed here outlives.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from dataselect.wording import in_plain_lines

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command."""
EXIT_CODE = 130
_SHOW_CURSOR = "\x1b[?25h"
_resumes = [False]
"""Whether the command that runs goes on when it is given again."""
_told = [False]
"""Whether the line of an interruption was printed; then no trace of its wreckage is."""


def this_command() -> str:
    """The command line of this process, quoted for a shell."""
    return shlex.join(["dataselect", *sys.argv[1:]])


def interrupted(resume: bool) -> str:
    """The last line of a command that a signal has ended."""
    return f"interrupted; to go on: {this_command()}" if resume else "interrupted"


@contextmanager
def resumed() -> Iterator[None]:
    """Within the context, the command that is given again goes on where it stopped."""
    _resumes[0] = True
    try:
        yield
    finally:
        _resumes[0] = False


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals that end a command, where it is ending: a second Ctrl-C takes no line away."""
    _told[0] = True
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    except ValueError:  # not the main thread, which alone is interrupted
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ignore_signals() -> None:
    """Let nothing disturb the end of the interpreter, whose traces tell nobody anything."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, and let no interruption be dropped.

    A signal that is ignored when the command starts stays so (`nohup`).
    """

    def interrupt(_: int, frame: FrameType | None) -> None:
        by_ctrl_c = signal.getsignal(signal.SIGINT)
        if callable(by_ctrl_c):
            by_ctrl_c(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt  # of a command in the background Ctrl-C is ignored

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
    # Native code prints an exception by the one before it drops it by the other.
    by_print, by_drop = sys.excepthook, sys.unraisablehook

    def printed(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            end_now()
        by_print(kind, error, trace)

    def dropped(about: Any) -> None:
        if issubclass(about.exc_type, KeyboardInterrupt):
            end_now()
        if not _told[0]:
            by_drop(about)

    sys.excepthook, sys.unraisablehook = printed, dropped


def end_now() -> None:
    """End the process without running anything further of it."""
    say_interrupted(_resumes[0])
    os._exit(EXIT_CODE)


def say_interrupted(resume: bool) -> None:
    """Print the last line of a command that a signal has ended, unless it was printed."""
    if _told[0]:
        return
    cursor = _SHOW_CURSOR if os.isatty(2) else ""
    line = in_plain_lines(interrupted(resume)).replace("\n", "\\n")
    with suppress(OSError):
        # Not through `sys.stderr`, in the middle of which the signal may have come.
        os.write(2, f"{cursor}\n{line}\n".encode(errors="backslashreplace"))
