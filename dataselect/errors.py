"""The errors that a user can meet, one class per exit code.

Every message is one line: the place (file, and line and column or key), the problem, and the fix.
`assert` and ordinary exceptions are for bugs of dataselect itself. Messages quote files, servers
and libraries, so every one is made inert and bounded (`wording.message`) before anybody can show
it, and loses the secrets of the environment and of addresses (`redaction`).
"""

from dataselect.redaction import without_secrets
from dataselect.wording import message


class DataselectError(Exception):
    """Anything the user can act on; the command prints the message without a traceback."""

    exit_code = 1

    def __init__(self, text: object = "") -> None:
        super().__init__(message(without_secrets(str(text))))


class InputError(DataselectError):
    """Bad input: a manifest, a plan, a data file or an option."""

    exit_code = 2

    def __init__(self, where: object, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = str(where), problem, fix
        super().__init__(f"{where}: {problem}; {fix}")

    @classmethod
    def of_line(cls, line: str) -> "InputError":
        """The error with this message, which may come from another machine as text alone."""
        where, _, rest = line.partition(": ")
        problem, _, fix = rest.rpartition("; ")
        error = cls(where, problem, fix)
        # The message as it was, also where the places of its parts are guessed wrongly.
        error.args = (message(line),)
        return error

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        # Raised inside worker processes and shown by the parent, so it must be picklable.
        return InputError, (self.where, self.problem, self.fix)


class IncompleteError(DataselectError):
    """Some work failed; nothing computed is lost, and the same command resumes there."""

    exit_code = 3


class PassingError(IncompleteError):
    """Work failed for a reason that may be gone when it is tried again: too little memory, a full
    or slow disk, a connection, a process that was killed."""


class LockedError(DataselectError):
    """Another run holds the report folder, or one of an older version the store."""

    exit_code = 4
