"""Objects under a URL such as `s3://bucket/team`, through fsspec: read, written, never listed.

Whoever calls must tell three things apart that file systems report in their own ways: an object
that is not there (`AbsentError`), a server that does not answer or refuses (`UnreachableError`),
and a URL that cannot work (InputError, before anything is spent). Every request ends: it runs in
a thread of its own and is given up after a time that depends on its size. After a failure nothing
is asked for a while, so that a run without network is not slowed down by each of its requests.

Credentials come from the environment, as the libraries of each service read them; a URL that
carries some is refused. Not covered: which libraries may lie about a write that they confirm;
`remote` compares hashes.
"""

import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from dataselect.errors import InputError
from dataselect.redaction import redact

_LIBRARIES = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
}
"""By protocol, the library that fsspec needs and the extra that installs it."""
_NOT_A_STORE = ("http", "https", "hf", "github", "data")
_ACCOUNT_IN_PLACE_OF_USER = ("abfs", "abfss", "az")
"""Their URLs may be `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/…`."""

_ANSWER_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 100e3
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 900.0

_T = TypeVar("_T")


class AbsentError(Exception):
    """There is no such object, or no such bucket."""


class UnreachableError(Exception):
    """The server did not answer, or refused; the text says why, without secrets."""


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a path is an address such as `s3://bucket/team`."""
    return re.match(r"[A-Za-z][\w+.-]*://", os.fspath(place)) is not None


def file_system(url: str, where: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises InputError, beginning with `where`, for credentials in the URL, an unknown protocol and a
    missing library. Nothing is asked of the server.
    """
    scheme, _, rest = url.partition("://")
    place = rest.partition("/")[0]
    user, at, _ = place.rpartition("@")
    if at and (":" in user or scheme not in (*_ACCOUNT_IN_PLACE_OF_USER, "hf")):
        raise InputError(
            where,
            f"'{redact(url)}' has a user or password in it",
            "take it out: credentials are read from the environment, as its library documents",
        )
    if scheme != "hf" and re.search(r"[?#]", rest) and not re.search(r"[*\[]", rest):
        raise InputError(
            where,
            f"'{redact(url)}' has a query behind it, which may be a secret",
            "take it out: credentials and endpoints are read from the environment",
        )
    if "::" in url:
        raise InputError(where, "a chain of file systems is not read", "write one address")
    if scheme in _LIBRARIES and not place:
        raise InputError(where, f"'{redact(url)}' names no bucket", f"write {scheme}://BUCKET/PATH")
    from fsspec.core import url_to_fs

    # Only a local file system has folders that must be there before a file.
    options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
    try:
        found: tuple[Any, str] = url_to_fs(url, **options)
    except ImportError as error:
        library, extra = _LIBRARIES.get(scheme, ("", ""))
        if not library:
            fix = f"install what fsspec needs for it ({error.name or error})"
        else:
            fix = f"install it with: pip install 'dataselect[{extra}]'"
        problem = f"{scheme}:// needs {library or 'another library'}"
        raise InputError(where, problem, fix) from None
    except Exception as error:
        if "Protocol not known" in str(error):
            problem = f"'{scheme}' is no protocol of fsspec"
            raise InputError(where, problem, "write s3://, gs:// or az://") from None
        # Each library has its own errors for what the environment lacks.
        raise InputError(
            where, f"'{redact(url)}' cannot be opened ({reason(error)})", _ENVIRONMENT
        ) from None
    return found


_ENVIRONMENT = "check the address and the environment that its library reads"


class Objects:
    """The objects below one URL.

    `where` begins the errors of a URL that cannot work.
    """

    def __init__(self, url: str, where: str = "--store") -> None:
        scheme = url.partition("://")[0].lower()
        self.url = scheme + "://" + url.partition("://")[2].rstrip("/")
        self.name = redact(self.url)
        """The URL for people."""
        if scheme in _NOT_A_STORE:
            raise InputError(
                where, f"{scheme}:// cannot be a store", "use a folder, s3://, gs:// or az://"
            )
        self._where = where
        self._opened: tuple[int, Any, str] | None = None
        self._closed_until, self._pause, self._problem = 0.0, _FIRST_PAUSE, ""
        self._system()

    def __reduce__(self) -> tuple[type["Objects"], tuple[str, str]]:
        return Objects, (self.url, self._where)

    def read(self, name: str) -> bytes:
        """The content of a small object."""

        def work() -> bytes:
            system, root = self._system()
            return bytes(system.cat_file(f"{root}/{name}"))

        return self._ask(work)

    def get(self, name: str, path: Path, size: int) -> None:
        """Copy an object of about `size` bytes to a local file in an existing folder."""
        begun: list[Path] = []

        def work() -> Path:
            system, root = self._system()
            # A name of its own, since a request that was given up may write on.
            part = path.with_name(f".part-{secrets.token_hex(8)}")
            begun.append(part)
            system.get_file(f"{root}/{name}", str(part))
            return part

        try:
            self._ask(work, size).replace(path)
        finally:
            for part in begun:
                part.unlink(missing_ok=True)

    def put(self, path: Path, name: str) -> None:
        """Copy a local file to an object, replacing it."""

        def work() -> None:
            system, root = self._system()
            system.put_file(str(path), f"{root}/{name}")

        self._ask(work, path.stat().st_size)

    def write(self, name: str, data: bytes) -> None:
        """Write a small object, replacing it."""

        def work() -> None:
            system, root = self._system()
            system.pipe_file(f"{root}/{name}", data)

        self._ask(work, len(data))

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object unless there is one; False if there is.

        Where the server cannot do both at once, the last of two that write at once stays.
        """

        def work() -> bool:
            system, root = self._system()
            try:
                system.pipe_file(f"{root}/{name}", data, mode="create")
            except FileExistsError:
                return False
            except (FileNotFoundError, PermissionError):
                raise
            except Exception:
                # Of services that do not know the condition; others fail again.
                if system.exists(f"{root}/{name}"):
                    return False
                system.pipe_file(f"{root}/{name}", data)
            return True

        return self._ask(work, len(data))

    def try_again(self) -> None:
        """Ask again at once, whatever failed before."""
        self._closed_until = 0.0

    def _system(self) -> tuple[Any, str]:
        # Connections and threads of a file system do not survive a fork.
        if self._opened is None or self._opened[0] != os.getpid():
            system, root = file_system(self.url, self._where)
            self._opened = os.getpid(), system, root.rstrip("/")
        return self._opened[1:]

    def _ask(self, work: Callable[[], _T], size: int = 0) -> _T:
        if time.monotonic() < self._closed_until:
            raise UnreachableError(self._problem)
        seconds = _ANSWER_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
        # Once: the libraries have tried again already where that may help.
        try:
            answer = _within(work, seconds)
        except FileNotFoundError as error:
            self._pause = _FIRST_PAUSE
            raise AbsentError(reason(error)) from None
        except Exception as error:
            self._problem = reason(error)
            self._closed_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            raise UnreachableError(self._problem) from None
        self._pause = _FIRST_PAUSE
        return answer


def reason(error: BaseException) -> str:
    """One line on an error of any library, without secrets."""
    text = redact(" ".join(str(error).split()))[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _within(work: Callable[[], _T], seconds: float) -> _T:
    """What `work` returns or raises; TimeoutError after so many seconds.

    What was given up goes on in its thread. A read does no harm; a late write is of an object that
    nothing names, or whole.
    """
    answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((True, work()))
        except BaseException as error:
            answers.put((False, error))

    # A daemon, so that a request without an answer does not keep the process from ending.
    threading.Thread(target=run, name="object store", daemon=True).start()
    try:
        worked, answer = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer in {seconds:.0f} seconds") from None
    if not worked:
        raise answer
    return answer  # type: ignore[no-any-return]
