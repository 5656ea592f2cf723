"""Files of text at URLs (`s3://`, `gs://`, `az://`, `hf://`): listed, identified, read in place.

A file is identified by the strongest checksum that its server gives without a download, and its
size: SHA-256 or blob id (`hf://`), MD5 (Google, Azure), ETag (S3), else the time of its last
change. So two uploads of the same bytes may count as two texts, but not two texts as one.

`hf://` is pinned to the commit that its branch is at when it is first looked at.

Not covered: `http://`, which has no listing; and a change while a file is read, which is found by
`fingerprint` afterwards.
"""

import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from dataselect.errors import InputError
from dataselect.redaction import redact
from dataselect.store.objects import file_system, is_url, reason

_BLOCK_BYTES = 8 << 20
_NOT_READ = ("http", "https", "file", "local", "github", "data")
_T = TypeVar("_T")


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL; it has those methods of a `Path` that readers of text use."""

    url: str
    bytes: int
    """Size."""
    version: tuple[tuple[str, str], ...]
    """What tells it from another content under this URL: names of checksums, and their values."""

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return PurePosixPath(self.url).name

    def __str__(self) -> str:
        return redact(self.url)

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """Its bytes, read as they are asked for. Errors of the server are OSErrors."""
        assert mode == "rb", "files at URLs are only read"
        system, path = file_system(self.url, str(self))
        stream = _Stream(_as_os_error(lambda: system.open(path, "rb", block_size=_BLOCK_BYTES)))
        size = buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE
        return cast(BinaryIO, io.BufferedReader(stream, size))


class _Stream(io.RawIOBase):
    """A file of fsspec, whose errors are of many classes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = _as_os_error(lambda: self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(_as_os_error(lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _as_os_error(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except Exception as error:
        raise OSError(None, reason(error)) from None


@dataclass(frozen=True)
class Listing:
    """What a server has under a URL."""

    url: str
    """The URL, of a commit if the server has some."""
    files: tuple[RemoteFile, ...]
    """All files that match it, or below it if it is a folder."""
    is_file: bool
    """Whether it names one file."""


_listings: dict[str, Listing] = {}


def forget_listing(url: str) -> None:
    """Ask the server again when this URL is listed next."""
    _listings.pop(url, None)


def listing(url: str, where: str) -> Listing:
    """The files of a URL: one file, all files below a folder, or those that match a pattern.

    Remembered until `forget_listing`, so that a run which has read its texts needs their server no
    more. Raises InputError, beginning with
    `where`, for a URL that is not read, a missing library, and a server that does not answer or has
    nothing there.
    """
    if url not in _listings:
        _listings[url] = _list(url, where)
    return _listings[url]


def join(url: str, path: str) -> str:
    """`path` below a URL, unless it is a URL itself."""
    return path if is_url(path) else f"{url.rstrip('/')}/{path}"


def require_read(url: str, where: str) -> None:
    """Raise InputError for a URL of a protocol that is not read."""
    scheme = url.partition("://")[0].lower()
    if scheme in _NOT_READ:
        fix = "download the files and name them in data_files"
        if scheme in ("file", "local"):
            fix = f"write the path without {scheme}://"
        raise InputError(where, f"{scheme}:// is not read ('{redact(url)}')", fix)


def _list(url: str, where: str) -> Listing:
    require_read(url, where)
    scheme = url.partition("://")[0].lower()
    system, path = file_system(url, where)
    try:
        if scheme == "hf":
            path = _pinned(system, path)
            url = f"hf://{path}"
        system.invalidate_cache()
        found: dict[str, Any]
        if re.search(r"[*?\[]", path):
            found = system.glob(path, detail=True)
            is_file = False
        else:
            about = system.info(path)
            is_file = about["type"] == "file"
            found = {about["name"]: about} if is_file else system.find(path, detail=True)
    except FileNotFoundError:
        raise InputError(where, f"there is nothing at '{redact(url)}'", "correct it") from None
    except Exception as error:
        raise InputError(
            where,
            f"'{redact(url)}' cannot be listed ({reason(error)})",
            "check the network, the address and the credentials in the environment",
        ) from None
    files = [
        _file(f"{scheme}://{name.lstrip('/')}", about, where)
        for name, about in sorted(found.items())
        # Services show folders that were made by hand as empty files with a name like one.
        if about["type"] == "file" and not name.endswith("/")
    ]
    if not files:
        raise InputError(where, f"no file matches '{redact(url)}'", "correct it")
    return Listing(url, tuple(files), is_file)


def _file(url: str, about: Mapping[str, Any], where: str) -> RemoteFile:
    size, version = about.get("size"), _version(about)
    if size is None or not version:
        raise InputError(
            where,
            f"its server tells neither checksum nor time of change of '{redact(url)}'",
            "download the files and name them in data_files",
        )
    return RemoteFile(url, int(size), tuple(sorted(version.items())))


def _version(about: Mapping[str, Any]) -> dict[str, str]:
    """The strongest of what a server tells about a file, in the words of its file system."""
    lfs, content = about.get("lfs") or {}, about.get("content_settings") or {}
    known = {
        "sha256": lfs.get("sha256"),
        "blob": about.get("blob_id"),
        "md5": about.get("md5Hash") or content.get("content_md5"),
        "crc32c": about.get("crc32c"),
        "etag": about.get("ETag") or about.get("etag"),
    }
    changed = ("LastModified", "last_modified", "updated", "mtime", "created")
    known["modified"] = next((about[name] for name in changed if about.get(name)), None)
    for name, value in known.items():
        if value:
            text = bytes(value).hex() if isinstance(value, bytes | bytearray) else str(value)
            return {name: text.strip('"')}
    return {}


def _pinned(system: Any, path: str) -> str:
    """A path on the Hub, at the commit that its branch is at now."""
    from huggingface_hub import HfApi

    resolved = system.resolve_path(path)
    if not hasattr(resolved, "repo_id"):
        return path
    facts = HfApi(endpoint=system.endpoint).repo_info(
        resolved.repo_id, repo_type=resolved.repo_type, revision=resolved.revision
    )
    kind = {"model": ""}.get(resolved.repo_type, f"{resolved.repo_type}s/")
    below = f"/{resolved.path_in_repo}" if resolved.path_in_repo else ""
    return f"{kind}{resolved.repo_id}@{facts.sha}{below}"


def common_folder(urls: list[str]) -> str:
    """The longest path, without protocol, that all the folders of these files begin with."""
    return os.path.commonpath(["/" + _path(url).rpartition("/")[0] for url in urls])


def name_below(url: str, folder: str) -> str:
    """The path of a file below a `common_folder`."""
    return os.path.relpath("/" + _path(url), folder)


def _path(url: str) -> str:
    return url.partition("://")[2]
