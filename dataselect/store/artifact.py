"""One artifact: a published folder, the record of its files, and the check against that record.

SHA-256 is recorded because safetensors and memory maps notice a truncated file but not a flipped
bit. When an artifact is found, small files are hashed and of large ones only the size is checked (a
run in which everything is cached must not read gigabytes); those are hashed when a process first
uses them.
"""

import errno
import json
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from dataselect import strict_json
from dataselect._version import __version__
from dataselect.errors import IncompleteError, PassingError
from dataselect.store.files import sha256_of, sync, writing
from dataselect.store.keys import content_key

RECORD = "artifact.json"
"""The file with the record of all others."""
SMALL_BYTES = 1 << 20
"""Files up to this size are hashed when an artifact is found."""

# Files whose hash matched in this process: (path, sha256, bytes, mtime in ns).
_checked: set[tuple[Path, str, int, int]] = set()


@dataclass(frozen=True)
class FileRecord:
    """The recorded content of a published file."""

    sha256: str
    """Hexadecimal digest."""
    bytes: int
    """Size."""


class Elsewhere(Protocol):
    """Where the files of an artifact are that are not here."""

    def whole(self, artifact: "Artifact") -> Path:
        """The folder with all its files, fetched now. Raises IncompleteError if that fails."""


@dataclass(frozen=True)
class Artifact:
    """A published folder."""

    kind: str
    """What it holds, such as "tokens"; also the name of a folder in the store."""
    key: str
    """`content_key` of kind and spec."""
    place: Path
    """The folder; without its large files if they are `elsewhere`."""
    spec: dict[str, Any]
    """Everything that determines the content."""
    files: dict[str, FileRecord]
    """By slash-separated path inside the folder."""
    elsewhere: Elsewhere | None = None
    """Fetches it when a large file is needed; None if it is whole."""

    @property
    def path(self) -> Path:
        """The folder with all of its files. Raises IncompleteError where they cannot be fetched."""
        return self.place if self.elsewhere is None else self.elsewhere.whole(self)

    def file(self, name: str) -> Path:
        """The path of one file; its SHA-256 is checked on first use in this process.

        Raises KeyError when the artifact has no such file, and PassingError when it is damaged; the
        artifact is then moved aside, so that the next attempt, or the same command, computes it
        again.
        """
        entry = self.files[name]
        folder = self.place if entry.bytes <= SMALL_BYTES else self.path
        path = folder / name
        problem = _damage(path, entry, whole=True)
        if problem:
            raise PassingError(_moved(folder, path, problem, self.kind, self.key))
        return path

    def verified(self) -> Path:
        """The folder, after a check of every file as in `file`; for readers that take a folder."""
        whole = replace(self, place=self.path, elsewhere=None)
        for name in self.files:
            whole.file(name)
        return whole.place

    def json(self, name: str) -> Any:
        """The parsed content of a JSON file, checked as in `file`."""
        return strict_json.loads(self.file(name).read_bytes())


def published_file(path: Path) -> Path:
    """A file of an artifact that is known by its path alone, checked as by `Artifact.file`.

    Raises IncompleteError when it is damaged. A file outside of artifacts is returned as it is.
    """
    folder = path.parent
    try:
        record = strict_json.loads((folder / RECORD).read_bytes())
        kind, key, entry = record["kind"], record["key"], record["files"][path.name]
        recorded = FileRecord(str(entry["sha256"]), int(entry["bytes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return path
    problem = _damage(path, recorded, whole=True)
    if problem:
        # Not passing: whoever knows the path alone cannot compute it again.
        raise IncompleteError(_moved(folder, path, problem, kind, key))
    return path


def _moved(folder: Path, path: Path, problem: str, kind: str, key: str) -> str:
    """Set the artifact in `folder` aside, which has this damaged file; a line that says so."""
    aside = set_aside(folder, kind, key)
    return (
        f"{path} {problem}; the damaged {kind} was moved to {aside}, "
        "run the same command again to compute it again"
    )


def seal(folder: Path, kind: str, key: str, spec: Mapping[str, Any]) -> None:
    """Write the record of all files in `folder`.

    Raises ValueError for links, whose targets may change.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or name == RECORD:
            raise ValueError(f"an artifact cannot hold a link or its own record: {name}")
        if path.is_file():
            files[name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    record = {
        "kind": kind,
        "key": key,
        "spec": dict(spec),
        "files": files,
        "created": utc_now(),
        "dataselect": __version__,
    }
    (folder / RECORD).write_text(
        json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8"
    )


def read(path: Path, kind: str, key: str, elsewhere: Elsewhere | None = None) -> Artifact | str:
    """The artifact at `path`, or the problem; hashes small files and checks sizes of large ones.

    Only the small ones need be there if the others are `elsewhere`.
    """
    try:
        record = strict_json.loads((path / RECORD).read_bytes())
        spec: dict[str, Any] = record["spec"]
        files = {
            str(name): FileRecord(str(entry["sha256"]), int(entry["bytes"]))
            for name, entry in record["files"].items()
        }
        if content_key(kind, spec) != key:
            return f"{RECORD} belongs to another key"
    except (FileNotFoundError, NotADirectoryError):
        return f"{RECORD} is missing"
    except IsADirectoryError:
        return f"{RECORD} is a folder"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{RECORD} cannot be read"
    for name, entry in files.items():
        small = entry.bytes <= SMALL_BYTES
        if not small and elsewhere is not None:
            continue
        problem = _damage(path / name, entry, whole=small)
        if problem:
            return f"{name} {problem}"
    return Artifact(kind, key, path, spec, files, elsewhere)


def reveal(folder: Path, path: Path) -> None:
    """Make a folder, which is on disk, the artifact at `path`, unless there is one already."""
    with writing(path.parent, "remove what is there, or choose another folder with --store"):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return  # another process was faster, and the same spec gives the same content
    for parent in path.parents[:3]:
        sync(parent)


def _damage(path: Path, record: FileRecord, whole: bool) -> str | None:
    """The problem with a file, None without one; the hash is compared only when `whole`."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder"
    if status.st_size != record.bytes:
        return f"has {status.st_size} bytes instead of {record.bytes}"
    state = (path, record.sha256, status.st_size, status.st_mtime_ns)
    if whole and state not in _checked:
        try:
            digest = sha256_of(path)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return "cannot be read from the disk"
        if digest != record.sha256:
            return "does not agree with its SHA-256"
        _checked.add(state)
    return None


def set_aside(path: Path, kind: str, key: str) -> Path:
    """Move a damaged artifact to the folder `damaged`, for inspection; its new path."""
    folder = path.parents[2] / "damaged"
    with writing(folder, "remove what is there"):
        folder.mkdir(exist_ok=True)
    number = 1
    while (aside := folder / f"{kind}-{key}.{number}").exists():
        number += 1
    # Another process may have found the same damage and moved it already.
    with suppress(FileNotFoundError):
        path.rename(aside)
    return aside


def utc_now() -> str:
    """The current time for records: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
