"""Artifacts in an object store, which has no rename: visible by a manifest that is written last.

    PREFIX/dataselect-store.json                     the version of this layout
    PREFIX/artifacts/<kind>/<key>/manifest.json      what the artifact is
    PREFIX/artifacts/<kind>/<key>/<upload>/<file>    its files; each upload has a name of its own

A kill leaves files that no manifest names: nothing reads them. Of several uploads of one key the
first manifest stays. A reader checks every file against the manifest's SHA-256, then against
`artifact.json`, whose spec must give the key: a wrong object of any kind is found before it is
used. Nothing is ever removed, and nothing listed; only a manifest whose files were found damaged is
replaced.

Not covered: whoever may write the bucket is trusted, as with a shared folder.
"""

import hashlib
import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataselect import strict_json
from dataselect._version import __version__
from dataselect.errors import InputError
from dataselect.store.artifact import RECORD, Artifact, FileRecord, utc_now
from dataselect.store.files import sha256_of
from dataselect.store.objects import AbsentError, Objects, UnreachableError

FORMAT = 1
_MARK = "dataselect-store.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 8
"""Transfers of files of one artifact at once."""
_UPLOAD = re.compile(r"[0-9a-f]{32}")


class DamagedError(Exception):
    """What the object store holds is not what was put there."""

    def __init__(self, manifest: str, problem: str) -> None:
        self.manifest = manifest
        """SHA-256 of the manifest."""
        super().__init__(problem)


@dataclass(frozen=True)
class Manifest:
    """A visible artifact."""

    kind: str
    key: str
    upload: str
    """Name of the folder of its files."""
    files: dict[str, FileRecord]
    """By slash-separated path; `artifact.json` is one of them."""
    sha256: str
    """Of the manifest itself."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry in self.files.values())


class Remote:
    """The artifacts under a URL."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.name = objects.name
        """The URL for people."""

    def require_usable(self, where: str) -> None:
        """Make the mark of this layout where it is absent.

        Raises InputError where there is no such bucket and for a layout of a newer version, and
        UnreachableError otherwise.
        """
        try:
            mark = strict_json.loads(self._objects.read(_MARK))
            version = mark["format"]
        except AbsentError:
            text = json.dumps({"format": FORMAT, "dataselect": __version__})
            try:
                self._objects.create(_MARK, text.encode())
            except AbsentError as error:
                raise InputError(
                    where, f"{self.name} is not there ({error})", "make the bucket, or correct it"
                ) from None
            return
        except (ValueError, KeyError, TypeError):
            version = None
        if version != FORMAT:
            raise InputError(
                where,
                f"{self.name}/{_MARK} is not of format {FORMAT}",
                "use the version of dataselect that made it, or another prefix",
            )

    def look(self, kind: str, key: str) -> Manifest | None:
        """The visible artifact of this key. Raises UnreachableError and DamagedError."""
        try:
            text = self._objects.read(f"{_folder(kind, key)}/manifest.json")
        except AbsentError:
            return None
        return _parsed(text, kind, key)

    def fetch(self, manifest: Manifest, folder: Path, only: set[str] | None = None) -> None:
        """Copy its files (those in `only`) to a local folder, which may hold some already.

        Every file is as in the manifest when this returns. Raises UnreachableError and
        DamagedError.
        """
        names = [name for name in manifest.files if only is None or name in only]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: self._fetch_file(manifest, name, folder / name), names))

    def _fetch_file(self, manifest: Manifest, name: str, path: Path) -> None:
        place = f"{_folder(manifest.kind, manifest.key)}/{manifest.upload}/{name}"
        entry = manifest.files[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Twice, because a transfer may be at fault: a connection that ended early looks like the
        # end of the object.
        for _ in range(2):
            if _is_whole(path, entry):
                return
            try:
                self._objects.get(place, path, entry.bytes)
            except AbsentError:
                raise DamagedError(manifest.sha256, f"{self.name}/{place} is gone") from None
        if _is_whole(path, entry):
            return
        size = path.stat().st_size
        path.unlink()
        problem = "does not agree with its SHA-256"
        if size != entry.bytes:
            problem = f"has {size} bytes instead of {entry.bytes}"
        raise DamagedError(manifest.sha256, f"{self.name}/{place} {problem}")

    def upload(self, artifact: Artifact, replace: str | None = None) -> bool:
        """Make a local artifact visible; False where another one of the key is, which stays.

        `replace`: SHA-256 of a manifest that is replaced, because its files are damaged. Raises
        UnreachableError, and IncompleteError where the local files are damaged.
        """
        present: str | None = None
        try:
            found = self.look(artifact.kind, artifact.key)
            present = None if found is None else found.sha256
        except DamagedError as error:
            present = replace = error.manifest
        if present is not None and present != replace:
            return False
        folder = artifact.verified()
        place, upload = _folder(artifact.kind, artifact.key), secrets.token_hex(16)
        record = folder / RECORD
        files = {
            **artifact.files,
            RECORD: FileRecord(sha256_of(record), record.stat().st_size),
        }
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(
                    pool.map(
                        lambda name: self._objects.put(folder / name, f"{place}/{upload}/{name}"),
                        files,
                    )
                )
            content = {
                "format": FORMAT,
                "kind": artifact.kind,
                "key": artifact.key,
                "upload": upload,
                "files": {n: {"sha256": e.sha256, "bytes": e.bytes} for n, e in files.items()},
                "created": utc_now(),
                "dataselect": __version__,
            }
            text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode()
            if present is None:
                return self._objects.create(f"{place}/manifest.json", text)
            self._objects.write(f"{place}/manifest.json", text)
        except AbsentError as error:
            raise UnreachableError(f"it is not there any more: {error}") from None
        return True


def _folder(kind: str, key: str) -> str:
    return f"artifacts/{kind}/{key}"


def _is_whole(path: Path, entry: FileRecord) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256
    return False


def _parsed(text: bytes, kind: str, key: str) -> Manifest:
    sha256 = hashlib.sha256(text).hexdigest()
    try:
        content: dict[str, Any] = strict_json.loads(text)
        if (content["kind"], content["key"]) != (kind, key):
            raise ValueError("it belongs to another key")
        upload = str(content["upload"])
        files = {
            str(name): FileRecord(str(entry["sha256"]), int(entry["bytes"]))
            for name, entry in content["files"].items()
        }
        if RECORD not in files or not _UPLOAD.fullmatch(upload):
            raise ValueError("it is not complete")
        for name, entry in files.items():
            # The name becomes a path here.
            plain = PurePosixPath(name)
            unsafe = plain.is_absolute() or ".." in plain.parts or plain.as_posix() != name
            if unsafe or "\\" in name or "\0" in name or not _SHA256.fullmatch(entry.sha256):
                raise ValueError("it names no file of an artifact")
            if entry.bytes < 0:
                raise ValueError("it has a negative size")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"the manifest of {kind} {key} cannot be read ({type(error).__name__}: {error})"
        raise DamagedError(sha256, " ".join(problem.split())) from None
    return Manifest(kind, key, upload, files, sha256)
