"""The store: content-addressed artifacts, published whole and never overwritten.

    root/artifacts/<kind>/<key>/…   published; `artifact.json` holds the spec and the checksums
    root/work/<kind>-<key>/         unfinished work that can be resumed (`workspaces`)
    root/tmp/<kind>-<key>-…/        being written; readers ignore it
    root/claims/<kind>-<key>/       which process makes it now (`claims`)
    root/owners/<token>             signs of life of those processes (`owner`)
    root/damaged/<kind>-<key>.<n>/  moved here because a checksum did not match
    root/ledger.jsonl               resources spent
    root/hashes.jsonl               hashes of the user's files, by their state (`known_hashes`)
    root/remote/…                   what is known of an object store behind it (`sharing`)

Any number of processes, of several runs and machines, may use a store at once. Claims see to it
that a key is made once. They save work; that nothing wrong is ever read does not rest on them:

- an artifact becomes visible by a rename after fsync, so a process killed at any moment leaves
  nothing half-written, and of two processes that publish a key the first one stays;
- a process that takes over from one that may still live works in a folder of its own, with a
  copy of what the other had saved;
- before that it has removed what the other had not published, so the other's rename fails.

A store may stand in front of an object store that others use too: an artifact that is not here is
looked for there, and one that is published here is put there (`sharing`). Claims and unfinished
work stay here.

Not covered: eviction.
"""

import errno
import fcntl
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from dataselect.errors import DataselectError, IncompleteError, PassingError
from dataselect.store import ledger
from dataselect.store.artifact import Artifact, read, reveal, seal, set_aside, utc_now
from dataselect.store.claims import Claim, Claims, Request, Work, writable
from dataselect.store.files import needs_room, sync_tree
from dataselect.store.keys import content_key
from dataselect.store.known_hashes import known_hashes
from dataselect.store.owner import Lease, enter, leave
from dataselect.store.sharing import Sharing
from dataselect.store.workspaces import Workspaces

logger = logging.getLogger("dataselect")

# The names that this class gives. Whatever else lies under the root, which may be any folder of
# the user's, is left alone.
_UNPUBLISHED = re.compile(r".+-[0-9a-f]{32}-(?P<owner>[0-9a-f]{16})-\d+(\.revoked)?")
_UNPUBLISHED_BEFORE = re.compile(r".+-[0-9a-f]{32}-[0-9a-f]{8}")
"""By an older version, whose processes hold a lock on the folder."""

_FIRST_POLL_SECONDS = 0.1
_TELL_SECONDS = 30.0
"""Time after which whoever waits is told again for whom."""
_numbers = count(1)

_held: dict[tuple[Path, str, int], Claim] = {}
"""Claims of this process, by root, folder name of the key, and thread."""
os.register_at_fork(after_in_child=_held.clear)

OnWait = Callable[[str, str], object]
"""Is told what waits (a job, else the kind of artifact), and for whom."""


class LostClaimError(IncompleteError):
    """This process was taken for dead, and another one goes on with its work."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name}: another process has taken it over, because this one gave no sign of life; "
            "run the same command again to use what that one makes"
        )

    def __reduce__(self) -> tuple[type["LostClaimError"], tuple[str]]:
        return LostClaimError, (self.name,)


class Store:
    """Artifacts, workspaces and the ledger under one root folder, made on the first write.

    `on_wait` is told while a key is waited for. `lease`: how long an owner of a key may be silent.
    `sharing`: the object store behind it.
    """

    sendable = True
    """A job on another machine may be told it (`compute.wire`)."""

    def __init__(
        self,
        root: Path,
        on_wait: OnWait | None = None,
        lease: Lease | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        # Absolute: jobs get paths from here and may have another working folder.
        self.root = Path(root).absolute()
        self.sharing = sharing
        self._on_wait, self._lease = on_wait, lease or Lease()

    def __reduce__(self) -> tuple[type["Store"], tuple[Path, None, Lease, Sharing | None]]:
        # Whoever is told here is not there where a copy goes.
        return Store, (self.root, None, self._lease, self.sharing)

    def told_to(self, on_wait: OnWait) -> "Store":
        """The same store, with another one that is told while a key is waited for."""
        return Store(self.root, on_wait, self._lease, self.sharing)

    @property
    def damaged(self) -> Path:
        """The folder for what is not as it was written; made when it is needed."""
        return self.root / "damaged"

    @property
    def _claims(self) -> Claims:
        return Claims(self.root, self._lease, self._revoke)

    @property
    def _workspaces(self) -> Workspaces:
        return Workspaces(self.root / "work")

    def find(self, kind: str, spec: Mapping[str, Any]) -> Artifact | None:
        """The artifact of this spec; None when absent, or damaged (it is then moved aside)."""
        return self._find(kind, content_key(kind, spec), fresh=False)

    def find_by_key(self, kind: str, key: str) -> Artifact | None:
        """As `find`, for readers of a record that has the artifact's key and not its spec."""
        return self._find(kind, key, fresh=False)

    def _find(self, kind: str, key: str, *, fresh: bool) -> Artifact | None:
        """As `find`; `fresh`: what was not in the object store a while ago is looked for again."""
        found = self._find_here(kind, key)
        if self.sharing is None:
            return found
        if found is None:
            return self.sharing.find(kind, key, fresh=fresh)
        self.sharing.used(kind, key)
        return found

    def _find_here(self, kind: str, key: str) -> Artifact | None:
        path = self._path(f"{kind}-{key}")
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
    def claim(
        self, kind: str, spec: Mapping[str, Any], work: Work | None = None, *, wait: bool = True
    ) -> Iterator[Artifact | Claim | None]:
        """The right to make this artifact, for the context; or the artifact, once it is there.

        While another process has the claim this waits, and takes over when that one is dead; its
        attempt is then counted in the ledger. Without `wait` the result is None instead. A thread
        that has the claim gets it again. Raises InputError where the store cannot be written.
        """
        name = _name(kind, spec)
        place = (self.root, name, threading.get_ident())
        if place in _held:
            yield _held[place]
            return
        request = self._claims.request(name, work or Work())
        try:
            found = self._find_or_claim(kind, spec, request, wait)
            if isinstance(found, Claim):
                _held[place] = found
                try:
                    yield found
                finally:
                    _held.pop(place, None)
                    found.release()
            else:
                yield found
        finally:
            request.close()

    def get_or_claim(
        self,
        kind: str,
        spec: Mapping[str, Any],
        make: Callable[[Claim], object],
        work: Work | None = None,
    ) -> Artifact:
        """The artifact of this spec; where there is none, `make` publishes it under a claim.

        If the claim is taken over meanwhile, whatever `make` raises is dropped, and the artifact of
        the one who took over is waited for. Raises what `make` raises, and IncompleteError if the
        artifact was damaged between its publication and its first reading.
        """
        artifact = self.find(kind, spec)
        # Whoever has claimed the key around this call waits for the one who took over.
        nested = self._claim_here(_name(kind, spec)) is not None
        while artifact is None:
            with self.claim(kind, spec, work) as held:
                if not isinstance(held, Claim):
                    artifact = held
                    continue
                try:
                    make(held)
                except Exception:
                    if nested or held.is_held():
                        raise
                    logger.info("%s was taken over by another process", _name(kind, spec))
                    continue
                artifact = self.find(kind, spec)
            if artifact is None:
                raise IncompleteError(
                    f"{self._path(_name(kind, spec))}: damaged as soon as it was written; check the"
                    " disk, and run the same command again"
                )
        return artifact

    def get_or_build(
        self,
        kind: str,
        spec: Mapping[str, Any],
        build: Callable[[Path], object],
        work: Work | None = None,
        *,
        whole: bool = False,
    ) -> Artifact:
        """As `get_or_claim`, where `build` fills the folder that is published.

        `whole`: all files are checked now, also large ones, and a damaged artifact is built again.
        """

        def make(_: Claim) -> None:
            with self.publish(kind, spec) as folder:
                build(folder)

        artifact = self.get_or_claim(kind, spec, make, work)
        if whole:
            try:
                artifact.verified()
            except PassingError as error:
                logger.warning("%s", error)
                artifact = self.get_or_claim(kind, spec, make, work)
                artifact.verified()
        return artifact

    @contextmanager
    def publish(self, kind: str, spec: Mapping[str, Any]) -> Iterator[Path]:
        """A folder to fill: on a clean exit it becomes the artifact, on an exception it is deleted.

        Files may be moved in from the workspace (same file system), which is removed once the
        artifact is published. If another process published the same spec first, its artifact stays.
        Raises LostClaimError if this thread's claim on the spec was taken over. Without a claim
        anybody may publish.
        """
        name, key = _name(kind, spec), content_key(kind, spec)
        claim = self._claim_here(name)
        with writable(self.root):
            owner = enter(self._claims.owners, self._lease)
            folder = self.root / "tmp" / f"{name}-{owner.token}-{next(_numbers)}"
            folder.mkdir(parents=True)
        try:
            with needs_room(self.root):
                yield folder
                seal(folder, kind, key, spec)
                sync_tree(folder)
                _require(claim, name)
                # What another host put into the object store meanwhile stays: all have the same.
                if self._find_here(kind, key) is None and (
                    self.sharing is None or self.sharing.fetch(kind, key) is None
                ):
                    if self.sharing is not None:
                        self.sharing.will_publish(kind, key)
                    reveal(folder, self._path(name))
        except OSError as error:
            # Whoever takes over removes the folder, and then nothing here can be written or moved.
            if error.errno == errno.ENOENT and not folder.exists():
                raise LostClaimError(name) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            leave(self._claims.owners, owner)
        self._workspaces.remove(name)
        if self.sharing is not None and (artifact := self._find_here(kind, key)) is not None:
            self.sharing.upload(artifact)

    def workspace(self, kind: str, spec: Mapping[str, Any]) -> Path:
        """A private folder for unfinished work; survives crashes, until `publish` succeeds.

        It is private to the claim of this thread; without one, to whoever calls. Raises
        LostClaimError as `publish` does.
        """
        name = _name(kind, spec)
        claim = self._claim_here(name)
        _require(claim, name)
        with writable(self.root):
            return self._workspaces.open(name, None if claim is None else claim.workspace)

    def note(self, kind: str, spec: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Append to the ledger the resources spent on this spec, whether it succeeded or not.

        `facts`: name, status ("done" or "failed"), wall_seconds, cpu_seconds, flops, attempts.
        """
        head = {"time": utc_now(), "kind": kind, "key": content_key(kind, spec)}
        path = self.root / "ledger.jsonl"
        try:
            with writable(path):
                self.root.mkdir(parents=True, exist_ok=True)
                ledger.append(path, {**head, **facts})
        except DataselectError as error:
            if facts.get("status") != "failed":
                raise
            # Why the work failed must be told, and may be the same full disk.
            logger.warning("%s, so a failed attempt is left out of the cost", error)

    def ledger(self) -> list[dict[str, Any]]:
        """Every record that `note` wrote, oldest first, without incomplete lines."""
        return ledger.read(self.root / "ledger.jsonl")

    def hashes(self, paths: Iterable[Path]) -> dict[Path, str]:
        """SHA-256 of the user's files; files that did not change are not read again."""
        return known_hashes(paths, self.root / "hashes.jsonl")

    def holder(self, kind: str, spec: Mapping[str, Any]) -> str | None:
        """Which other process makes this artifact now, for people; None if none is known to."""
        return self.holder_of(_name(kind, spec))

    def holder_of(self, name: str) -> str | None:
        """As `holder`, by the name of the artifact's folders, "KIND-KEY"."""
        holder = self._claims.holder(name)
        if holder is None or self._claims.has_ended(holder.owner):
            return None
        return str(holder)

    def forget_claim(self, kind: str, spec: Mapping[str, Any]) -> None:
        """Remove the claim of a process that has ended, whose attempt is counted elsewhere."""
        self._claims.forget(_name(kind, spec))

    def clean(self) -> None:
        """Remove half-written folders of dead processes and workspaces of published artifacts.

        Whatever belongs to a process that may be alive is kept, so any process may call it.
        """
        if not self.root.exists():
            return
        claims = self._claims
        with writable(self.root):
            owner = enter(claims.owners, self._lease)
            try:
                claims.clean(lambda name: self._path(name).exists(), owner.now_ns)
            finally:
                leave(claims.owners, owner)
        for folder in _folders(self.root / "tmp"):
            made_here = _UNPUBLISHED.fullmatch(folder.name)
            # Not of one that may wake and publish it.
            if made_here and claims.has_ended(made_here["owner"]):
                shutil.rmtree(folder, ignore_errors=True)
            elif _UNPUBLISHED_BEFORE.fullmatch(folder.name):
                _remove_unless_alive(folder)
        self._workspaces.clean(lambda name: self._path(name).exists())

    def _find_or_claim(
        self, kind: str, spec: Mapping[str, Any], request: Request, wait: bool
    ) -> Artifact | Claim | None:
        told, told_at, pause = "", 0.0, min(_FIRST_POLL_SECONDS, self._lease.poll_seconds)
        while True:
            if (artifact := self.find(kind, spec)) is not None:
                return artifact
            answer = request.attempt()
            if isinstance(answer, Claim):
                break
            if not wait:
                return None
            if told != str(answer) or time.monotonic() - told_at > _TELL_SECONDS:
                told, told_at = str(answer), time.monotonic()
                if self._on_wait is not None:
                    self._on_wait(request.work.name or kind, told)
            time.sleep(pause)
            pause = min(1.5 * pause, self._lease.poll_seconds)
        if told or answer.lost is not None:
            self._look_anew(kind)
        # Whoever had the claim before may have published the artifact since the look above, and
        # another host since it was last looked for.
        if (artifact := self._find(kind, content_key(kind, spec), fresh=True)) is not None:
            answer.release()
            return artifact
        try:
            self._go_on(kind, spec, answer)
        except BaseException:
            answer.release()
            raise
        return answer

    def _look_anew(self, kind: str) -> None:
        """Make the file system look for artifacts of a kind: NFS remembers what was absent."""
        folder = self.root / "artifacts" / kind
        mark = folder / f".look-{os.getpid()}-{next(_numbers)}"
        # A change in a folder, made here, ends what this machine remembers of it.
        with suppress(OSError):
            mark.touch()
            mark.unlink()

    def _go_on(self, kind: str, spec: Mapping[str, Any], claim: Claim) -> None:
        """Settle what was taken over: the workspace, and the cost of the lost attempt."""
        lost, name = claim.lost, _name(kind, spec)
        if lost is None:
            return
        work, saved_ns = lost.holder.work, 0
        if work.saved:
            folder = self._workspaces.path(name, lost.holder.workspace)
            with suppress(OSError):
                saved_ns = (folder / work.saved).stat().st_mtime_ns
        if not lost.certainly:
            claim.workspace = self._workspaces.latest(name) + 1
        claim.sign()
        if claim.workspace is not None:
            # Now, so that the next owner, if this one fails at once, cannot get the one before.
            self._workspaces.open(name, claim.workspace)
        seconds = lost.seconds_since(saved_ns) * work.share
        facts = {
            "name": work.name or claim.work.name,
            "status": "failed",
            "wall_seconds": seconds,
            "gpu_seconds": seconds * work.gpus,
            "attempts": 1,
            "lost": str(lost.holder.process or "unknown"),
        }
        self.note(kind, spec, facts)

    def _claim_here(self, name: str) -> Claim | None:
        """The claim of this thread on the key with this folder name."""
        return _held.get((self.root, name, threading.get_ident()))

    def _revoke(self, name: str, owner: str) -> None:
        """Make it impossible for an owner to publish the key with this folder name."""
        for folder in (self.root / "tmp").glob(f"{name}-{owner}-*"):
            revoked = folder.with_suffix(".revoked")
            with suppress(OSError):
                # At once, where removing takes a while.
                folder.rename(revoked)
            shutil.rmtree(revoked, ignore_errors=True)

    def _path(self, name: str) -> Path:
        kind, _, key = name.rpartition("-")
        return self.root / "artifacts" / kind / key


def _name(kind: str, spec: Mapping[str, Any]) -> str:
    """The name of the folders of a key."""
    return f"{kind}-{content_key(kind, spec)}"


def _require(claim: Claim | None, name: str) -> None:
    if claim is not None and not claim.is_held():
        raise LostClaimError(name)


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
