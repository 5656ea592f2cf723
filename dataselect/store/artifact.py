"""One artifact: a published folder, what it must contain, and whether it still does.

SHA-256 is kept because safetensors and memory maps notice a truncated file but not a flipped
bit. Small files are hashed when the artifact is found; large ones are then only measured (a run
in which all is cached must not read gigabytes) and hashed when first used in a process.
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

# Files whose hash agreed in this process: (path, sha256, bytes, mtime in ns).
_checked: set[tuple[Path, str, int, int]] = set()


@dataclass(frozen=True)
class FileRecord:
    """What a published file must be."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Artifact:
    """A published folder. `files` is keyed by slash-separated paths inside it."""

    kind: str
    key: str
    path: Path
    spec: dict[str, Any]
    files: dict[str, FileRecord]

    def file(self, name: str) -> Path:
        """The path of one file, whose SHA-256 is checked on its first use in this process.

        Raises KeyError when the artifact has no such file. A damaged artifact is moved aside
        and IncompleteError raised: the same command run again computes it anew.
        """
        path = self.path / name
        problem = _damage(path, self.files[name], whole=True)
        if problem:
            aside = set_aside(self.path, self.kind, self.key)
            raise IncompleteError(
                f"{path} {problem}; the damaged {self.kind} was moved to {aside}, "
                "run the same command again to compute it anew"
            )
        return path

    def verified(self) -> Path:
        """The folder, every file of it checked as by `file`: for readers that take a folder."""
        for name in self.files:
            self.file(name)
        return self.path

    def json(self, name: str) -> Any:
        """The parsed content of a JSON file, checked as by `file`."""
        return json.loads(self.file(name).read_bytes())


def seal(folder: Path, kind: str, key: str, spec: Mapping[str, Any]) -> None:
    """Write the record of everything in `folder`; ValueError for links, whose target may change."""
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
    """The artifact at `path`, small files hashed and large ones measured; or what is wrong."""
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
    """What is wrong with a file; its hash is compared only when `whole`."""
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
    """Move a damaged artifact out of the readers' sight, to be looked at; where it is now."""
    folder = path.parents[2] / "damaged"
    folder.mkdir(exist_ok=True)
    number = 1
    while (aside := folder / f"{kind}-{key}.{number}").exists():
        number += 1
    # Another process may have met the same damage and moved it already.
    with suppress(FileNotFoundError):
        path.rename(aside)
    return aside


def utc_now() -> str:
    """The time as records carry it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
