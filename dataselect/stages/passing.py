"""Failures that may be gone when the same work is tried again.

A worker that died, a lost node, too little memory, a full disk, a server that did not answer: these
say nothing of the candidate. They are tried once more when everything else of the stage is done,
before the next stage spends on the candidate that is next in line. A loss that is no number, data
that cannot be read or a bug would come again, and is not.

Errors reach the driver as text (`Outcome`), so a job that fails says by the class of its error
which of the two it is. Where only the engine saw the end, `error_type` is "WorkerDied".
"""

import errno

from dataselect.compute import Outcome
from dataselect.errors import DataselectError, PassingError
from dataselect.store import LostClaimError

_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ENOSPC", "EDQUOT", "ENOMEM", "EAGAIN", "EBUSY", "EMFILE", "ENFILE", "EINTR"),
        *("ESTALE", "EREMOTEIO", "ETIMEDOUT", "EPIPE", "ENOTCONN", "ENOLINK"),
        *("ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "ENETDOWN", "ENETUNREACH"),
        *("EHOSTDOWN", "EHOSTUNREACH"),
    )
    if hasattr(errno, name)  # not every system has them all
)
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory")
"""What torch's RuntimeError says where memory is short."""
_LOST = "WorkerDied"
_TYPES = (_LOST, PassingError.__name__)


def is_passing(error: BaseException | None) -> bool:
    """Whether the error, or one that it was raised from, may be gone the next time."""
    while error is not None:
        if isinstance(error, PassingError | LostClaimError | MemoryError):
            return True
        # Many libraries raise an OSError without a number for files whose content is wrong.
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if _is_about_memory(error):
            return True
        error = error.__cause__
    return False


def marked(error: Exception) -> Exception:
    """The error, as a PassingError if it is passing; its text is what the user would see of it."""
    if not is_passing(error) or isinstance(error, PassingError):
        return error
    text = str(error)
    if not isinstance(error, DataselectError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    passing = PassingError(text)
    passing.__cause__ = error
    return passing


def may_pass(outcome: Outcome) -> bool:
    """Whether the job failed for a reason that may be gone the next time."""
    return outcome.error_type in _TYPES


def needs_room(outcome: Outcome) -> bool:
    """Whether the job may have lacked memory that others beside it took."""
    return "memory" in (outcome.error or "").lower()


def _is_about_memory(error: BaseException) -> bool:
    # torch's own class is a RuntimeError, which is not imported here for its name alone.
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )
