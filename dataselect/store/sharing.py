"""The local side of an object store: what of it is here, and what of here it lacks.

    remote/<url>/found/<kind>/<key>/    an artifact there, of which only the small files are here
    remote/<url>/incoming/<kind>-<key>/ being fetched; what is whole is not fetched again
    remote/<url>/pending/<kind>-<key>   made or used here, and perhaps not there yet
    remote/<url>/there/<kind>-<key>     known to be there
    remote/<url>/refused/<kind>-<key>   found damaged there: SHA-256 of the manifest
    remote/<url>/locks/                 of fetches

The large files of an artifact are fetched when they are first used: whoever finds every score
there needs no checkpoint. Whatever fails on the way leaves the run as it would be without the
object store, and one note: it computes what it cannot fetch, and what it cannot put there stays
`pending` for the end of the run and for the next one.

Claims are local. Two hosts with folders of their own may make one artifact at the same time;
whoever is later takes the one that is there. Where the later one had no network
then, each keeps its own.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from dataselect.errors import IncompleteError, InputError
from dataselect.store.artifact import RECORD, SMALL_BYTES, Artifact, read, reveal
from dataselect.store.files import sync_tree
from dataselect.store.ledger import NO_LOCKS
from dataselect.store.objects import Objects, UnreachableError
from dataselect.store.remote import DamagedError, Manifest, Remote

logger = logging.getLogger("dataselect")

_WHOLE_BYTES = 8 << 20
"""Artifacts up to this size are fetched whole when they are found."""
_ABSENT_SECONDS = 60.0
"""An artifact that was not there is looked for again after this time."""
_UPLOADS_AT_ONCE = 4
_numbers = count(1)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Left:
    """What is not in the object store yet."""

    artifacts: int
    """Number of them."""
    why: str
    """What failed last; "" for nothing."""


class Sharing:
    """The object store at `url` as seen from the store at `root`.

    `tells`: whether this process notes problems for the user. Workers leave that to the process
    that started them, which meets the same.
    """

    sendable = True
    """As a store is."""

    def __init__(self, root: Path, url: str, tells: bool = True) -> None:
        self._objects = Objects(url)
        self._remote = Remote(self._objects)
        self._root, self._tells = root, tells
        self.name = self._remote.name
        """The URL for people."""
        mark = hashlib.sha256(self._objects.url.encode()).hexdigest()[:16]
        self._folder = root / "remote" / mark
        self._absent: dict[str, float] = {}
        self._there: set[str] = set()
        self._noted: set[str] = set()
        self._why = ""

    def __reduce__(self) -> tuple[type["Sharing"], tuple[Path, str, bool]]:
        return Sharing, (self._root, self._objects.url, False)

    def begin(self) -> None:
        """Look whether the object store can be used, and put there what earlier runs left.

        Raises InputError where there is no such bucket, and where it refuses this user.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "url").write_text(self.name + "\n", encoding="utf-8")
        for left in (self._folder / "incoming").glob("*"):
            kind, _, key = left.name.rpartition("-")
            if (self._root / "artifacts" / kind / key).exists():
                shutil.rmtree(left, ignore_errors=True)
        try:
            self._remote.require_usable("--store")
        except UnreachableError as error:
            if str(error).startswith(("PermissionError", "NoCredentials")):
                raise InputError(
                    "--store",
                    f"{self.name} refuses this user ({error})",
                    "give credentials as its library documents; reading, writing and listing are"
                    " needed (without listing, what is absent is refused too)",
                ) from None
            self._note_unreachable(error)
            return
        self._upload_pending()

    def finish(self) -> None:
        """Put there what is left, and say what cannot be."""
        self._objects.try_again()
        left = self._upload_pending()
        if left.artifacts:
            self._note(
                f"{left.artifacts} artifacts are not in {self.name} yet ({left.why}); the next "
                "command with this store puts them there"
            )

    def find(self, kind: str, key: str, *, fresh: bool = False) -> Artifact | None:
        """The artifact there; None where it is absent, damaged, or cannot be asked for.

        That it was absent is remembered for a while, unless `fresh`.
        """
        name = f"{kind}-{key}"
        place = self._folder / "found" / kind / key
        if place.exists():
            found = read(place, kind, key, self)
            if isinstance(found, Artifact):
                return found
            shutil.rmtree(place, ignore_errors=True)
        if not fresh and time.monotonic() - self._absent.get(name, -_ABSENT_SECONDS) < (
            _ABSENT_SECONDS
        ):
            return None

        def find() -> Artifact | None:
            manifest = self._look(kind, key)
            if manifest is None:
                self._absent[name] = time.monotonic()
                return None
            if manifest.bytes <= _WHOLE_BYTES:
                return self._fetch(manifest)
            return self._fetch_small(manifest, place)

        return self._leniently(name, find)

    def fetch(self, kind: str, key: str) -> Artifact | None:
        """As `find`, fresh, with all files fetched."""

        def fetch() -> Artifact | None:
            manifest = self._look(kind, key)
            return None if manifest is None else self._fetch(manifest)

        return self._leniently(f"{kind}-{key}", fetch)

    def whole(self, artifact: Artifact) -> Path:
        """Fetch all files of an artifact that `find` gave."""
        kind, key = artifact.kind, artifact.key
        path = self._root / "artifacts" / kind / key
        again = "run the same command again"
        if not path.exists():
            what = f"{self.name}: {kind} {key}"
            try:
                manifest = self._look(kind, key)
                if manifest is None:
                    self._forget(kind, key)
                    raise IncompleteError(f"{what} is gone; {again} to compute it")
                self._fetch(manifest)
            except UnreachableError as error:
                raise IncompleteError(
                    f"{what} cannot be fetched now ({error}); {again} when it can be reached, or "
                    "with another --store to compute it"
                ) from None
            except DamagedError as error:
                self._refuse(f"{kind}-{key}", error)
                self._forget(kind, key)
                raise IncompleteError(f"{error}; {again} to compute it again") from None
        found = read(path, kind, key)
        self._forget(kind, key)
        if not isinstance(found, Artifact) or found.files != artifact.files:
            raise IncompleteError(f"{path}: it was replaced in {self.name} meanwhile; {again}")
        return path

    def used(self, kind: str, key: str) -> None:
        """Note that a local artifact is used, which belongs there too."""
        name = f"{kind}-{key}"
        if name not in self._there:
            if not (self._folder / "there" / name).exists():
                self._mark("pending", name)
            self._there.add(name)

    def will_publish(self, kind: str, key: str) -> None:
        """Note, before an artifact appears here, that it belongs there."""
        self._mark("pending", f"{kind}-{key}")

    def upload(self, artifact: Artifact) -> None:
        """Put an artifact there, or leave it for later."""
        self._leniently(f"{artifact.kind}-{artifact.key}", lambda: self._upload(artifact))

    def _look(self, kind: str, key: str) -> Manifest | None:
        manifest = self._remote.look(kind, key)
        if manifest is not None and self._refused(f"{kind}-{key}") == manifest.sha256:
            return None
        return manifest

    def _fetch(self, manifest: Manifest) -> Artifact:
        kind, key = manifest.kind, manifest.key
        path = self._root / "artifacts" / kind / key
        with self._incoming(manifest) as folder:
            if not path.exists():
                self._remote.fetch(manifest, folder)
                self._require_agreement(manifest, read(folder, kind, key))
                sync_tree(folder)
                reveal(folder, path)
        found = read(path, kind, key)
        if not isinstance(found, Artifact):
            raise IncompleteError(f"{path}: {found} as soon as it was written; check the disk")
        return found

    def _fetch_small(self, manifest: Manifest, place: Path) -> Artifact:
        small = {n for n, entry in manifest.files.items() if entry.bytes <= SMALL_BYTES}
        with self._incoming(manifest) as folder:
            if not place.exists():
                self._remote.fetch(manifest, folder, small | {RECORD})
                fetched = read(folder, manifest.kind, manifest.key, self)
                self._require_agreement(manifest, fetched)
                place.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(place)
        found = read(place, manifest.kind, manifest.key, self)
        if not isinstance(found, Artifact):
            raise IncompleteError(f"{place}: {found} as soon as it was written; check the disk")
        return found

    def _require_agreement(self, manifest: Manifest, fetched: Artifact | str) -> None:
        """Raise DamagedError unless the artifact's own record says the same as its manifest."""
        files = {n: entry for n, entry in manifest.files.items() if n != RECORD}
        if isinstance(fetched, Artifact) and fetched.files == files:
            self._known(f"{manifest.kind}-{manifest.key}")
            return
        problem = fetched if isinstance(fetched, str) else "its manifest differs from its record"
        where = f"{self.name}: {manifest.kind} {manifest.key}"
        raise DamagedError(manifest.sha256, f"{where}: {problem}")

    @contextmanager
    def _incoming(self, manifest: Manifest) -> Iterator[Path]:
        """A folder for what is fetched of an artifact, for one process at a time."""
        name = f"{manifest.kind}-{manifest.key}"
        locks = self._folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(locks / manifest.key[:2], os.O_RDWR | os.O_CREAT, 0o666)
        try:
            folder = self._folder / "incoming" / name
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                folder = folder.with_name(f"{name}.{os.getpid()}.{next(_numbers)}")
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            # Kept where the fetch failed: what is whole in it is not fetched again.
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)

    def _upload(self, artifact: Artifact) -> bool:
        name = f"{artifact.kind}-{artifact.key}"
        began = time.monotonic()
        if self._remote.upload(artifact, self._refused(name)):
            seconds = time.monotonic() - began
            logger.info("%s was put into %s in %.1f s", name, self.name, seconds)
        self._known(name)
        return True

    def _upload_pending(self) -> Left:
        """Put there what is pending; what is left then."""

        def upload(name: str) -> bool:
            kind, _, key = name.rpartition("-")
            found = read(self._root / "artifacts" / kind / key, kind, key)
            if not isinstance(found, Artifact):
                # Never published, or damaged since.
                (self._folder / "pending" / name).unlink(missing_ok=True)
                return True
            return self._leniently(name, lambda: self._upload(found)) is not None

        names = sorted(path.name for path in (self._folder / "pending").glob("*"))
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            done = list(pool.map(upload, names))
        return Left(done.count(False), self._why)

    def _known(self, name: str) -> None:
        self._mark("there", name)
        self._there.add(name)
        for folder in ("pending", "refused"):
            (self._folder / folder / name).unlink(missing_ok=True)

    def _mark(self, folder: str, name: str, content: str = "") -> None:
        path = self._folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def _refused(self, name: str) -> str | None:
        with suppress(FileNotFoundError):
            return (self._folder / "refused" / name).read_text(encoding="utf-8")
        return None

    def _refuse(self, name: str, error: DamagedError) -> None:
        self._mark("refused", name, error.manifest)
        self._note(f"{error}; it is not used: computed here, and then replaced there")

    def _forget(self, kind: str, key: str) -> None:
        shutil.rmtree(self._folder / "found" / kind / key, ignore_errors=True)

    def _leniently(self, name: str, work: Callable[[], _T]) -> _T | None:
        """What `work` returns; None, and a note, without the object store or with damage there."""
        try:
            return work()
        except UnreachableError as error:
            self._note_unreachable(error)
        except DamagedError as error:
            if self._refused(name) != error.manifest:
                self._refuse(name, error)
        except IncompleteError as error:
            self._why = str(error)
            self._note(str(error))
        return None

    def _note_unreachable(self, error: UnreachableError) -> None:
        self._why = str(error)
        self._note(
            f"{self.name} cannot be reached or used ({error}); this goes on with the folder "
            f"{self._root} alone, and puts there later what is made meanwhile",
            once="unreachable",
        )

    def _note(self, text: str, once: str = "") -> None:
        if (once or text) in self._noted:
            return
        self._noted.add(once or text)
        (logger.warning if self._tells else logger.info)("%s", text)
