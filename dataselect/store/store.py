"""The store: content-addressed artifacts, published whole and never overwritten.

    root/artifacts/<kind>/<key>/…   published; `artifact.json` holds the spec and the checksums
    root/work/<kind>-<key>/         unfinished work that can be resumed (training state)
    root/tmp/<kind>-<key>-…/        being written; readers ignore it
    root/damaged/<kind>-<key>.<n>/  moved here because a checksum did not match
    root/ledger.jsonl               resources spent
    root/hashes.jsonl               hashes of the user's files, by their state (`known_hashes`)

An artifact becomes visible by a rename after fsync, so a process killed at any moment leaves
nothing half-written.

Not covered: eviction, remote stores, and excluding a second run (`dataselect.store.lock`).
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataselect.errors import IncompleteError
from dataselect.store import ledger
from dataselect.store.artifact import Artifact, read, seal, set_aside, utc_now
from dataselect.store.files import sync, sync_tree
from dataselect.store.keys import content_key
from dataselect.store.known_hashes import known_hashes

logger = logging.getLogger("dataselect")

# The names that this class gives. Whatever else lies under the root, which may be any folder of
# the user's, is left alone.
_WORKSPACE = re.compile(r"(?P<kind>.+)-(?P<key>[0-9a-f]{32})")
_UNPUBLISHED = re.compile(r".+-[0-9a-f]{32}-[0-9a-f]{8}")


class Store:
    """Artifacts, workspaces and the ledger under one root folder, made on the first write."""

    def __init__(self, root: Path) -> None:
        # Absolute: jobs get paths from here and may have another working folder.
        self.root = Path(root).absolute()

    def find(self, kind: str, spec: Mapping[str, Any]) -> Artifact | None:
        """The artifact of this spec; None when absent, or damaged (it is then moved aside)."""
        key = content_key(kind, spec)
        path = self._path(kind, key)
        if not path.exists():
            return None
        artifact_or_problem = read(path, kind, key)
        if isinstance(artifact_or_problem, Artifact):
            return artifact_or_problem
        aside = set_aside(path, kind, key)
        logger.warning(
            "%s: %s; moved to %s, it is computed again", path, artifact_or_problem, aside
        )
        return None

    @contextmanager
    def publish(self, kind: str, spec: Mapping[str, Any]) -> Iterator[Path]:
        """A folder to fill: on a clean exit it becomes the artifact, on an exception it is deleted.

        Files may be moved in from the workspace (same file system), which is removed once the
        artifact is published. If another process published the same spec first, its artifact stays.
        """
        key = content_key(kind, spec)
        folder = self.root / "tmp" / f"{kind}-{key}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            # Held while this process lives, so that `clean` knows which folders have no owner.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
            seal(folder, kind, key, spec)
            sync_tree(folder)
            if self.find(kind, spec) is None:
                self._reveal(folder, self._path(kind, key))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
        shutil.rmtree(self._workspace(kind, key), ignore_errors=True)

    def get_or_build(
        self, kind: str, spec: Mapping[str, Any], build: Callable[[Path], object]
    ) -> Artifact:
        """The artifact of this spec; where there is none, `build` fills the folder for it.

        Raises what `build` raises, and IncompleteError if the artifact was damaged between its
        publication and its first reading.
        """
        artifact = self.find(kind, spec)
        if artifact is None:
            with self.publish(kind, spec) as folder:
                build(folder)
            artifact = self.find(kind, spec)
        if artifact is None:
            key = content_key(kind, spec)
            raise IncompleteError(
                f"{self._path(kind, key)}: damaged as soon as it was written; check the disk, and "
                "run the same command again"
            )
        return artifact

    def workspace(self, kind: str, spec: Mapping[str, Any]) -> Path:
        """A private folder for unfinished work; survives crashes, until `publish` succeeds."""
        folder = self._workspace(kind, content_key(kind, spec))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def note(self, kind: str, spec: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Append to the ledger the resources spent on this spec, whether it succeeded or not.

        `facts`: name, status ("done" or "failed"), wall_seconds, cpu_seconds, flops, attempts.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        head = {"time": utc_now(), "kind": kind, "key": content_key(kind, spec)}
        ledger.append(self.root / "ledger.jsonl", {**head, **facts})

    def ledger(self) -> list[dict[str, Any]]:
        """Every record that `note` wrote, oldest first, without incomplete lines."""
        return ledger.read(self.root / "ledger.jsonl")

    def hashes(self, paths: Iterable[Path]) -> dict[Path, str]:
        """SHA-256 of the user's files; files that did not change are not read again."""
        return known_hashes(paths, self.root / "hashes.jsonl")

    def clean(self) -> None:
        """Remove half-written folders of dead processes and workspaces of published artifacts.

        Call it with the store's lock held. Folders whose writer is alive are kept.
        """
        for folder in _folders(self.root / "tmp"):
            if _UNPUBLISHED.fullmatch(folder.name):
                _remove_unless_alive(folder)
        for folder in _folders(self.root / "work"):
            made_here = _WORKSPACE.fullmatch(folder.name)
            if made_here and self._path(made_here["kind"], made_here["key"]).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _path(self, kind: str, key: str) -> Path:
        return self.root / "artifacts" / kind / key

    def _workspace(self, kind: str, key: str) -> Path:
        return self.root / "work" / f"{kind}-{key}"

    def _reveal(self, folder: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return  # another process was faster, and the same spec gives the same content
        for parent in (path.parent, path.parent.parent, self.root):
            sync(parent)


def _remove_unless_alive(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _folders(parent: Path) -> list[Path]:
    return [path for path in sorted(parent.glob("*")) if path.is_dir()]
