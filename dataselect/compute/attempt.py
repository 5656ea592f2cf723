"""One attempt at a job in this process: its result or failure, and the time it took."""

import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dataselect import wording
from dataselect.errors import DataselectError, InputError
from dataselect.redaction import without_secrets

_LINE_LIMIT = 500
_DETAILS_LIMIT = 8000


@dataclass(frozen=True)
class Attempt:
    """The result of one attempt. An error is kept as text: exceptions may not be picklable."""

    result: Any
    """What the job returned; None after a failure."""
    error: str | None
    """One line; None on success."""
    error_type: str | None
    """Class name of the exception; None on success."""
    details: str | None
    """End of the traceback; None on success."""
    wall_seconds: float
    cpu_seconds: float
    """CPU time of the process and of its children that ended."""


def attempt(work: Callable[[], Any]) -> Attempt:
    """Call `work` and record any exception; KeyboardInterrupt and the like propagate."""
    wall, cpu = time.perf_counter(), cpu_clock()
    result = error = error_type = details = None
    try:
        result = work()
    except (Exception, SystemExit) as raised:
        error, error_type, details = _one_line(raised), type(raised).__name__, _trace(raised)
    return Attempt(
        result, error, error_type, details, time.perf_counter() - wall, cpu_clock() - cpu
    )


def cpu_clock() -> float:
    """CPU seconds of this process so far: all threads, and children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _one_line(raised: BaseException) -> str:
    try:
        message = str(raised)
    except Exception:
        message = "(its message cannot be shown)"
    if not isinstance(raised, DataselectError):
        message = f"{type(raised).__name__}: {message}" if message else type(raised).__name__
    if isinstance(raised, InputError):
        # Whole: the driver raises it again, to the letter.
        return " ".join(message.split())
    return wording.message(without_secrets(message), _LINE_LIMIT)


def _trace(raised: BaseException) -> str:
    # The end of a traceback names the line that failed.
    return without_secrets("".join(traceback.format_exception(raised)))[-_DETAILS_LIMIT:]
