"""Claims on keys: of all processes that share a store, one at a time makes an artifact.

    claims/<kind>-<key>/<token>   the claim; its content says who, since when and on what
    claims/.new-<token>/<token>   a claim that is being prepared
    owners/<token>                the process behind it (`owner`)

Each change is one rename, which a shared file system does for exactly one of several processes:

- *take a free key*: a prepared folder is renamed to `claims/<kind>-<key>`, which fails where that
  holds a claim already, and succeeds where it is absent or empty;
- *take over from a dead owner*: its claim's file is renamed to the new claim's token. The old
  name is that of one claim alone, so nobody can take over from anyone else by being late;
- *release*: the claim's own file is removed, then the folder if that is empty.

Before it takes over, a process ends the old owner (`owners/<token>` is removed) and its unpublished
folders (`revoke`). So an owner that was only paused cannot publish afterwards: what it would rename
to its place is no longer there. `Store` says why even that would harm nothing.

Not covered: file systems whose rename of a folder is not atomic, such as mounted object stores.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.store.files import needs_room
from dataselect.store.owner import Lease, Owner, Sign, Watcher, enter, last_sign, leave
from dataselect.store.process import Process
from dataselect.store.sealed import set_aside

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_ABSENT = (errno.ENOENT, errno.ESTALE)
_ROUNDS = 20
"""Times that a claim may change hands while it is looked at."""
_PREPARED = ".new-"
_numbers = count(1)


@dataclass(frozen=True)
class Work:
    """What a key is claimed for: told to those who wait, and the cost of it if it is lost."""

    name: str = ""
    """The job, such as "stage1/web"; empty: not known."""
    gpus: int = 0
    """GPUs that it uses."""
    saved: str = ""
    """File in the workspace that its progress is saved to; what came after it is lost with its
    owner. Empty: all is lost."""
    share: float = 1.0
    """Part of its owner's time that is spent on it."""


@dataclass(frozen=True)
class Holder:
    """A claim as others see it."""

    token: str
    """Name of the claim's file: its owner's token and a number."""
    signed: bool = False
    """Whether its content is its owner's. Else it is that of an earlier owner, from whom it was
    taken over a moment ago, or cannot be read."""
    process: Process | None = None
    """Its owner; None if that cannot be read."""
    work: Work = Work()
    """What it is claimed for."""
    workspace: int | None = None
    """Number of the workspace that its owner uses; None: the latest."""
    claimed_ns: int = 0
    """Time stamp of its file."""
    sign: Sign | None = None
    """The owner's last sign of life; None if it was ended."""

    @property
    def owner(self) -> str:
        """Token of its owner."""
        return owner_of(self.token)

    @property
    def has_ended(self) -> bool:
        """Whether its owner's process is seen to be gone."""
        return self.signed and self.process is not None and self.process.seen_from_here() == "gone"

    def __str__(self) -> str:
        who = "another process" if self.process is None else str(self.process)
        return f"{who} ({self.work.name})" if self.work.name else who


@dataclass(frozen=True)
class Lost:
    """A claim that was taken over from a dead owner."""

    holder: Holder
    """The claim."""
    certainly: bool
    """Whether its owner has ended; else it may wake up, and go on until it notices."""

    def seconds_since(self, saved_ns: int) -> float:
        """Seconds of work that are lost: from the claim, or from a later time stamp at which the
        work was saved, to the last sign of life; 0 if that is not known."""
        if self.holder.sign is None or not self.holder.signed:
            return 0.0
        begin = max(self.holder.claimed_ns, saved_ns)
        return max(0.0, (self.holder.sign.mtime_ns - begin) / 1e9)


class Claim:
    """A key that this process holds, or held until another process took it over."""

    def __init__(self, slot: Path, token: str, owner: Owner, work: Work) -> None:
        self.slot, self.token, self.owner, self.work = slot, token, owner, work
        self.lost: Lost | None = None
        """From whom it was taken over."""
        self.workspace: int | None = None
        """Number of its workspace; None: the latest."""

    def is_held(self) -> bool:
        """Whether it is still this process's; asks the file system."""
        return self.owner.touch()

    @property
    def known_lost(self) -> bool:
        """Whether it is known to be taken over; quick, and late by up to a heartbeat."""
        return self.owner.known_lost

    def sign(self) -> None:
        """Write what others are told into a claim that was taken over."""
        prepared = self.slot.with_name(f"{_PREPARED}{self.token}")
        _prepare(prepared / self.token, self.owner, self.work, self.workspace)
        with suppress(FileNotFoundError):  # taken over again
            (self.slot / self.token).stat()
            os.replace(prepared / self.token, self.slot / self.token)
        shutil.rmtree(prepared, ignore_errors=True)

    def release(self) -> None:
        """Give the key up; a claim that another process has taken over is left to it."""
        with suppress(OSError):
            (self.slot / self.token).unlink()
        with suppress(OSError):
            self.slot.rmdir()


class Claims:
    """The claims in the store at `root`.

    `revoke` gets the folder name of a key and the token of an owner, and makes it impossible for
    that owner to publish the key.
    """

    def __init__(self, root: Path, lease: Lease, revoke: Callable[[str, str], None]) -> None:
        self.root, self.lease, self.revoke = root, lease, revoke
        self.folder, self.owners = root / "claims", root / "owners"

    def request(self, name: str, work: Work) -> "Request":
        """A request for the key with this folder name, to be tried until it is granted."""
        return Request(self, name, work)

    def holder(self, name: str) -> Holder | None:
        """Who holds the key with this folder name; None if nobody does."""
        return _holder(self.folder / name, self.owners)

    def forget(self, name: str) -> None:
        """Remove the claim on a key if its owner has ended."""
        holder = self.holder(name)
        if holder is not None and holder.has_ended:
            with suppress(OSError):
                (self.folder / name / holder.token).unlink()
            with suppress(OSError):
                (self.folder / name).rmdir()

    def has_ended(self, owner: str) -> bool:
        """Whether the owner with this token was ended, or its process is seen to be gone."""
        sign = last_sign(self.owners / owner)
        if sign is None:
            return True
        return sign.process is not None and sign.process.seen_from_here() == "gone"

    def clean(self, is_published: Callable[[str], bool], now_ns: int) -> None:
        """Remove what dead processes left, except claims on what is not published yet.

        Those stay for whoever takes them over, and tell what was lost. `now_ns` as for a `Watcher`.
        """
        needed, prepared = set(), []
        for slot in sorted(self.folder.glob("*")):
            if slot.name.startswith(_PREPARED):
                prepared.append(slot)
            elif is_published(slot.name):
                self.forget(slot.name)
            elif (holder := self.holder(slot.name)) is not None:
                needed.add(holder.owner)
        for path in sorted(self.owners.glob("*")):
            if path.name not in needed and Watcher().is_dead(path, last_sign(path), now_ns):
                path.unlink(missing_ok=True)
        for slot in prepared:
            if self.has_ended(owner_of(slot.name.removeprefix(_PREPARED))):
                shutil.rmtree(slot, ignore_errors=True)


class Request:
    """One process's request for one key; close it after the claim that it gave."""

    def __init__(self, claims: Claims, name: str, work: Work) -> None:
        self.work = work
        """What the key is for."""
        self._claims, self._name = claims, name
        self._slot = claims.folder / name
        self._watcher = Watcher()
        self._owner: Owner | None = None
        self._token, self._prepared = "", False

    def attempt(self) -> Claim | Holder:
        """The claim, if the key is free or its owner is dead; else who holds it.

        Raises InputError where the store cannot be written.
        """
        holder = Holder("")
        with writable(self._claims.root):
            owner = self._living_owner()
            for _ in range(_ROUNDS):
                if self._take(owner):
                    return Claim(self._slot, self._token, owner, self.work)
                found = self._claims.holder(self._name)
                if found is None:
                    continue
                holder = found
                path = self._claims.owners / holder.owner
                if not self._watcher.is_dead(path, holder.sign, owner.now_ns):
                    return holder
                if (claim := self._take_over(holder, owner)) is not None:
                    return claim
        return holder

    def close(self) -> None:
        """Leave nothing of the request behind."""
        if self._prepared:
            shutil.rmtree(self._prepared_folder, ignore_errors=True)
            self._prepared = False
        if self._owner is not None:
            leave(self._claims.owners, self._owner)
            self._owner = None

    @property
    def _prepared_folder(self) -> Path:
        return self._claims.folder / f"{_PREPARED}{self._token}"

    def _living_owner(self) -> Owner:
        """This process; under a new token if it was declared dead while it waited."""
        if self._owner is not None and not self._owner.touch():
            self.close()
        if self._owner is None:
            self._owner = enter(self._claims.owners, self._claims.lease)
            self._token = f"{self._owner.token}.{next(_numbers)}"
        return self._owner

    def _take(self, owner: Owner) -> bool:
        """Whether the key was free, and is this process's now."""
        if not self._prepared:
            self._prepared = True
            _prepare(self._prepared_folder / self._token, owner, self.work, None)
        try:
            os.rename(self._prepared_folder, self._slot)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            # A server may have done what its client, without an answer, asks for again.
            if error.errno not in _ABSENT or not (self._slot / self._token).exists():
                raise
        self._prepared = False
        return True

    def _take_over(self, holder: Holder, owner: Owner) -> Claim | None:
        """The claim of a dead owner; None if another process was faster."""
        claim = Claim(self._slot, self._token, owner, self.work)
        claim.lost = Lost(holder, holder.has_ended)
        claim.workspace = holder.workspace
        with suppress(FileNotFoundError):
            (self._claims.owners / holder.owner).unlink()
        self._claims.revoke(self._name, holder.owner)
        mine = self._slot / self._token
        try:
            os.rename(self._slot / holder.token, mine)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            if not mine.exists():
                return None
        return claim


def owner_of(token: str) -> str:
    """The token of the owner of a claim."""
    return token.partition(".")[0]


@contextmanager
def writable(root: Path) -> Iterator[None]:
    """Raise InputError where the store cannot be written; PassingError where its disk is full."""
    try:
        with needs_room(root):
            yield
    except OSError as error:
        raise InputError(
            root,
            f"the store cannot be written ({error.strerror or error})",
            "choose another folder with --store",
        ) from error


def _prepare(path: Path, owner: Owner, work: Work, workspace: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "token": path.name,
        "process": owner.process.record(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        "work": asdict(work),
        "workspace": workspace,
    }
    path.write_text(json.dumps(record), encoding="utf-8")


def _holder(slot: Path, owners: Path) -> Holder | None:
    try:
        # Names with a dot are those of files that NFS keeps while they are open.
        tokens = [name for name in os.listdir(slot) if not name.startswith(".")]
        if not tokens:
            return None
        token = tokens[0]
        with (slot / token).open("rb") as file:
            text, claimed_ns = file.read(), os.fstat(file.fileno()).st_mtime_ns
    except IsADirectoryError:
        set_aside(slot / token, "is a folder", "nobody has the key", owners.parent / "damaged")
        return None
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    sign = last_sign(owners / owner_of(token))
    try:
        record: dict[str, Any] = strict_json.loads(text)
        return Holder(
            token,
            record["token"] == token,
            Process.read(record["process"]),
            Work(**record["work"]),
            record["workspace"],
            claimed_ns,
            sign,
        )
    except (ValueError, KeyError, TypeError):
        return Holder(token, claimed_ns=claimed_ns, sign=sign)
