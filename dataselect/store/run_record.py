"""What a run says of itself in its store, for `dataselect status` on any machine that sees it.

    runs/<name>-<hash>/status.json   the state now, replaced at most every few seconds
    runs/<name>-<hash>/events.jsonl  what happened, one JSON a line, appended
    runs/<name>-<hash>/metrics.jsonl its numbers, likewise (`stages.metrics`)
    runs/<name>-<hash>/.lock         held by the process that writes
    REPORT/.run                      where that folder is, from the report's folder

A run is known by the folder of its report (without one, by what it runs), so a call that resumes it
goes on in the same record. Whether it lives is judged as for claims (`owner`): by its process where
that can be seen, else by its signs of life. Reading takes no lock and writes nothing.

Writing must not harm the run: what cannot be written is left out, with one warning.
"""

import fcntl
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataselect import strict_json
from dataselect.store.ledger import NO_LOCKS
from dataselect.store.owner import Lease, Owner, enter, last_sign, leave
from dataselect.store.sealed import sealed, sealed_line, unsealed, whole_lines, write_own
from dataselect.wording import slug

STATUS, EVENTS, METRICS, POINTER = "status.json", "events.jsonl", "metrics.jsonl", ".run"
_FOLDER = "runs"
_FRESH_SECONDS = 60.0
"""A sign of life that looks younger by this machine's clock is believed without watching."""
_WATCH_SECONDS = 15.0
"""Longest time that an owner elsewhere is watched for a sign of life: more than a heartbeat."""

logger = logging.getLogger("dataselect")

Life = Literal["running", "paused", "died", "silent"]
"""What is known of the process of a run without an end: "silent" where it cannot be seen and gave
no sign of life lately."""


class RunRecord:
    """The record of a run, written by its process; `close` it at the end."""

    def __init__(self, root: Path, name: str, identity: str, report: Path | None = None) -> None:
        self._owners, self._failed = root / "owners", False
        self._lock: int | None = None
        self._owner: Owner | None = None
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        self.folder = root / _FOLDER / f"{slug(name) or 'run'}-{digest}"
        with self._harmless():
            self._open()
            if report is not None:
                where = os.path.relpath(self.folder, report.resolve())
                write_own(report / POINTER, {"record": where})

    @property
    def id(self) -> str:
        """Its name among the runs of the store."""
        return self.folder.name

    def before(self) -> dict[str, Any] | None:
        """The last state that an earlier call wrote; None without one."""
        return _document(self.folder / STATUS)

    def write(self, document: Mapping[str, Any], *, durable: bool = False) -> None:
        """Replace the state; `durable` for what must survive a power cut."""
        with self._harmless():
            if self._owner is None or self._owner.known_lost:
                self._leave()
                self._owner = enter(self._owners, Lease())
            owner = self._owner
            facts = {"process": owner.process.record(), "owner": owner.token}
            content = {**document, **facts}
            if durable:
                write_own(self.folder / STATUS, content)
                return
            text = json.dumps(sealed(content), ensure_ascii=False, allow_nan=False)
            temporary = self.folder / f".tmp-{secrets.token_hex(4)}"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.folder / STATUS)

    def append(self, event: Mapping[str, Any], file: str = EVENTS) -> None:
        """Add a line to the events, or to another file."""
        with self._harmless():
            line = sealed_line(event, ascii_only=False)
            path = self.folder / file
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                # A kill or a full disk may have left half a line.
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    line = b"\n" + line
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Nothing more is written."""
        self._leave()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> None:
        """Take the record, or one beside it while another process writes it."""
        first = self.folder
        for number in range(2, 1000):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno in NO_LOCKS:
                    return
                self.folder = first.with_name(f"{first.name}-{number}")
                continue
            self._lock = descriptor
            return

    def _leave(self) -> None:
        if self._owner is not None:
            leave(self._owners, self._owner)
            self._owner = None

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """A context in which what cannot be written is left out, with one warning."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            if not self._failed:
                self._failed = True
                logger.warning("%s: the run's status cannot be written (%s)", self.folder, error)


@dataclass(frozen=True)
class KnownRun:
    """A run as its record tells."""

    folder: Path
    """Its record."""
    document: Mapping[str, Any]
    """The state that its process wrote last."""
    written_ns: int
    """Time stamp of that, by the file system's clock."""

    @property
    def id(self) -> str:
        """Its name among the runs of the store."""
        return self.folder.name

    @property
    def root(self) -> Path:
        """The store."""
        return self.folder.parent.parent

    def again(self) -> "KnownRun":
        """As it is now."""
        return read_run(self.folder) or self

    def events(self) -> list[dict[str, Any]]:
        """What happened in all calls, oldest first; incomplete and spoilt lines are left out."""
        try:
            lines = whole_lines((self.folder / EVENTS).read_bytes(), lambda *_: None)
            return [event for _, event in lines]
        except OSError:
            return []


def runs(root: Path) -> list[KnownRun]:
    """The runs that are recorded in the store at `root`, the one written last first."""
    found = (read_run(folder) for folder in (root / _FOLDER).glob("*") if folder.is_dir())
    return sorted((each for each in found if each), key=lambda each: -each.written_ns)


def read_run(folder: Path) -> KnownRun | None:
    """The run with this record; None if there is none that can be read."""
    document = _document(folder / STATUS)
    if document is None:
        return None
    with suppress(OSError):
        return KnownRun(folder, document, (folder / STATUS).stat().st_mtime_ns)
    return None


def run_of_report(report: Path) -> KnownRun | None:
    """The run whose report is in this folder; None if that is not known."""
    pointer = _document(report / POINTER)
    if pointer is None or not isinstance(pointer.get("record"), str):
        return None
    return read_run(Path(os.path.normpath(report.resolve() / pointer["record"])))


@dataclass(frozen=True)
class Vital:
    """Whether the process of a run lives."""

    life: Life
    """What is known."""
    seen_ns: int | None
    """Time stamp of its last sign of life, by the file system's clock; None if none is left."""
    here: bool
    """Whether its process can be seen from this machine, whose clock is then its own."""


def vital(
    run: KnownRun,
    patience: float = _WATCH_SECONDS,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Vital:
    """Whether the process of a run that has no end yet still lives.

    The clocks of two machines are not compared where that could deceive: a process that cannot be
    seen, and whose last sign of life looks old by this machine's clock, is watched for up to
    `patience` seconds, in which it would give another.
    """
    path = run.root / "owners" / str(run.document.get("owner"))
    sign = last_sign(path)
    if sign is None:
        # Somebody has seen that it is dead, or it has just ended.
        return Vital("died", None, here=False)
    sight = "elsewhere" if sign.process is None else sign.process.seen_from_here()
    if sight == "gone":
        return Vital("died", sign.mtime_ns, here=True)
    if sight != "elsewhere":
        return Vital("paused" if sight == "stopped" else "running", sign.mtime_ns, here=True)
    age = clock() - sign.mtime_ns / 1e9
    waited = 0.0
    while abs(age) > _FRESH_SECONDS and waited < patience:
        sleep(1.0)
        waited += 1.0
        now = last_sign(path)
        if now is None:
            return Vital("died", None, here=False)
        if now.mtime_ns != sign.mtime_ns:
            return Vital("running", now.mtime_ns, here=False)
    return Vital("running" if abs(age) <= _FRESH_SECONDS else "silent", sign.mtime_ns, here=False)


def _document(path: Path) -> dict[str, Any] | None:
    # Reading moves nothing: whoever looks may not write here. The next state replaces a spoilt one.
    try:
        found = unsealed(strict_json.loads(path.read_bytes()))
        json.dumps(found, allow_nan=False)  # what cannot be JSON again was not written so
        return found
    except (OSError, ValueError):
        return None
