"""One artifact: a published folder, the record of its files, and the check against that record.

SHA-256 is recorded because safetensors and memory maps notice a truncated file but not a flipped
bit. When an artifact is found, small files are hashed and of large ones only the size is checked (a
run in which everything is cached must not read gigabytes); those are hashed when a process first
uses them.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dataselect._version import __version__
from dataselect.errors import IncompleteError
from dataselect.store.files import sha256_of
from dataselect.store.keys import content_key

_RECORD = "artifact.json"
_SMALL_BYTES = 1 << 20

# Files whose hash matched in this process: (path, sha256, bytes, mtime in ns).
_checked: set[tuple[Path, str, int, int]] = set()


@dataclass(frozen=True)
class FileRecord:
    """The recorded content of a published file."""

    sha256: str
    """Hexadecimal digest."""
    bytes: int
    """Size."""


@dataclass(frozen=True)
class Artifact:
    """A published folder."""

    kind: str
    """What it holds, such as "tokens"; also the name of a folder in the store."""
    key: str
    """`content_key` of kind and spec."""
    path: Path
    """The folder."""
    spec: dict[str, Any]
    """Everything that determines the content."""
    files: dict[str, FileRecord]
    """By slash-separated path inside the folder."""

    def file(self, name: str) -> Path:
        """The path of one file; its SHA-256 is checked on first use in this process.

        Raises KeyError when the artifact has no such file, and IncompleteError when it is damaged;
        the artifact is then moved aside, so that the same command computes it again.
        """
        path = self.path / name
        problem = _damage(path, self.files[name], whole=True)
        if problem:
            aside = set_aside(self.path, self.kind, self.key)
            raise IncompleteError(
                f"{path} {problem}; the damaged {self.kind} was moved to {aside}, "
                "run the same command again to compute it again"
            )
        return path

    def verified(self) -> Path:
        """The folder, after a check of every file as in `file`; for readers that take a folder."""
        for name in self.files:
            self.file(name)
        return self.path

    def json(self, name: str) -> Any:
        """The parsed content of a JSON file, checked as in `file`."""
        return json.loads(self.file(name).read_bytes())


def seal(folder: Path, kind: str, key: str, spec: Mapping[str, Any]) -> None:
    """Write the record of all files in `folder`.

    Raises ValueError for links, whose targets may change.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or name == _RECORD:
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
    (folder / _RECORD).write_text(
        json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8"
    )


def read(path: Path, kind: str, key: str) -> Artifact | str:
    """The artifact at `path`, or the problem; hashes small files and checks sizes of large ones."""
    try:
        record = json.loads((path / _RECORD).read_bytes())
        spec: dict[str, Any] = record["spec"]
        files = {
            str(name): FileRecord(str(entry["sha256"]), int(entry["bytes"]))
            for name, entry in record["files"].items()
        }
        if content_key(kind, spec) != key:
            return f"{_RECORD} belongs to another key"
    except (FileNotFoundError, NotADirectoryError):
        return f"{_RECORD} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{_RECORD} cannot be read"
    for name, entry in files.items():
        problem = _damage(path / name, entry, whole=entry.bytes <= _SMALL_BYTES)
        if problem:
            return f"{name} {problem}"
    return Artifact(kind, key, path, spec, files)


def _damage(path: Path, record: FileRecord, whole: bool) -> str | None:
    """The problem with a file, None without one; the hash is compared only when `whole`."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if status.st_size != record.bytes:
        return f"has {status.st_size} bytes instead of {record.bytes}"
    state = (path, record.sha256, status.st_size, status.st_mtime_ns)
    if whole and state not in _checked:
        if sha256_of(path) != record.sha256:
            return "does not agree with its SHA-256"
        _checked.add(state)
    return None


def set_aside(path: Path, kind: str, key: str) -> Path:
    """Move a damaged artifact to the folder `damaged`, for inspection; its new path."""
    folder = path.parents[2] / "damaged"
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
