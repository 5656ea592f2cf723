"""The runs of a store as they are now: read only, from any machine that sees it.

What a run says of itself (`recording`) is put beside what can be seen of it: whether its process
lives, what the ledger says it has spent, and whether the jobs of a driver that died are still held
by living processes. No store is made, no lock is taken, nothing is written.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dataselect.cost import Spent, spent
from dataselect.errors import InputError
from dataselect.store import Lease, Store
from dataselect.store.run_record import KnownRun, Vital, run_of_report, runs, vital
from dataselect.wording import message, nearest, quoted

UNENDED = "running"
"""What a record says until its process writes an end."""
ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a record raises that says other things than a run writes."""
ODD_FIX = "run its command again, which writes it anew, or remove its folder in the store"
_HOURS = timedelta(hours=6)
"""A list of runs waits for no process that has been silent for so long by this machine's clock."""


@dataclass(frozen=True)
class RunStatus:
    """A run as it is now."""

    run: KnownRun
    """Its record."""
    state: str
    """"running", "paused", "died", "silent" (its process cannot be seen and gave no sign of life
    lately), "done", "incomplete", "failed", "interrupted", or "unreadable" (`odd`)."""
    seen: datetime | None = None
    """Its last sign of life, by the clock of the store's file system; None where it has ended."""
    here: bool = False
    """Whether its process is on this machine."""
    spent: Spent = field(default_factory=Spent)
    """By the ledger, for all its artifacts, whoever made them."""
    held: Mapping[str, str] = field(default_factory=dict)
    """By job of a run that has died: the living process that still works on it."""
    odd: str = ""
    """What its record has that a run does not write; "" for nothing."""

    @property
    def document(self) -> Mapping[str, Any]:
        """What the run wrote of itself."""
        return self.run.document

    @property
    def may_be_resumed(self) -> bool:
        """Whether the same command has something left to do."""
        return self.state in ("died", "silent", "incomplete", "failed", "interrupted")

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values: what the run wrote, with the state as it is."""
        if self.odd:
            return {"state": self.state, "problem": self.odd, "record": str(self.run.folder)}
        return {
            **self.document,
            "state": self.state,
            "seen": None if self.seen is None else self.seen.isoformat(timespec="seconds"),
            "spent": asdict(self.spent),
            "held": dict(self.held),
            "record": str(self.run.folder),
        }


def list_runs(root: Path, sleep: Callable[[float], object] = time.sleep) -> list[RunStatus]:
    """All runs of a store, the one written last first; without what they spent.

    Those that look silent are watched together for a heartbeat, unless they have been for hours.
    One whose record is odd hides no other. Raises InputError where there is no store.
    """
    found = [_listed(run) for run in _runs(root)]
    long_ago = datetime.now(UTC) - _HOURS
    watched = [
        n
        for n, each in enumerate(found)
        if each.state == "silent" and each.seen is not None and each.seen > long_ago
    ]
    if watched:
        sleep(Lease().heartbeat_seconds + 1)
    for n in watched:
        now = _listed(found[n].run.again())
        if now.seen != found[n].seen:
            found[n] = replace(now, state=UNENDED if now.state == "silent" else now.state)
    return found


def unreadable(run: KnownRun, error: Exception) -> RunStatus:
    """A run whose record raised this."""
    return RunStatus(run, "unreadable", odd=message(f"{type(error).__name__}: {error}", 200))


def _listed(run: KnownRun) -> RunStatus:
    try:
        return status_of(run, patience=0.0, costs=False)
    except ODD as error:
        return unreadable(run, error)


def find_run(root: Path, name: str) -> KnownRun:
    """The run with this name, id, report folder, or beginning of an id that no other has.

    Of several runs of one name it is the one that was written last. Raises InputError.
    """
    folder = Path(name)
    if folder.is_dir() and (found := run_of_report(folder)) is not None:
        return found
    known = _runs(root)
    resolved = str(folder.resolve())
    tests: tuple[Callable[[KnownRun], bool], ...] = (
        lambda run: run.id == name,
        lambda run: run.document.get("name") == name,
        lambda run: run.document.get("report") == resolved,
    )
    for fits in tests:
        if same := [run for run in known if fits(run)]:
            return same[0]
    begin = [run for run in known if run.id.startswith(name)]
    if len(begin) == 1:
        return begin[0]
    ids = [run.id for run in known]
    if begin:
        listed = ", ".join(run.id for run in begin[:4])
        raise InputError(quoted(name), f"{len(begin)} runs begin so", f"name one of: {listed}")
    if not known:
        problem = f"no run is recorded in the store {root}"
        raise InputError(quoted(name), problem, "name the run's store with --store")
    names = [*ids, *dict.fromkeys(str(run.document.get("name")) for run in known)]
    fix = nearest(name, names) or f"name one of: {', '.join(ids[:6])}"
    raise InputError(quoted(name), f"there is no such run in the store {root}", fix)


def status_of(
    run: KnownRun,
    patience: float | None = None,
    costs: bool = True,
    look: Callable[..., Vital] = vital,
) -> RunStatus:
    """A run as it is now. `patience`: seconds to watch a process that cannot be seen, at most."""
    seen: Vital | None = None
    if run.document.get("state") == UNENDED:
        seen = look(run) if patience is None else look(run, patience)
        # It may have ended between the two looks.
        run = run.again()
    document = run.document
    state = str(document.get("state"))
    last = None
    if state == UNENDED and seen is not None:
        state = seen.life
        # What it wrote is a sign of life as well, by the same clock.
        last = datetime.fromtimestamp(max(seen.seen_ns or 0, run.written_ns) / 1e9, UTC)
    total = _spent(run) if costs else Spent()
    held = _held(run) if costs and state in ("died", "silent") else {}
    here = seen is not None and seen.here
    return RunStatus(run, state, last, here, total, held)


def running_jobs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The jobs that were running when the state was written."""
    jobs = [job for part in document.get("parts", ()) for job in part.get("jobs", ())]
    return [job for job in jobs if job.get("state") == "running"]


def failed_jobs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The jobs that failed, in all parts."""
    jobs = [job for part in document.get("parts", ()) for job in part.get("jobs", ())]
    return [job for job in jobs if job.get("state") == "failed"]


def _runs(root: Path) -> list[KnownRun]:
    if not root.is_dir():
        raise InputError(root, "there is no store here", "name the run's store with --store")
    return runs(root)


def _spent(run: KnownRun) -> Spent:
    """What the ledger has for the artifacts of all calls of a run."""
    keys: set[str] = set()
    for event in run.events():
        fields = event.get("fields")
        if not isinstance(fields, dict):
            continue
        names: Sequence[str] = ()
        if event.get("kind") == "planned":
            names = [key for job in fields.get("jobs", ()) for key in job.get("keys", ())]
            keys.update(_key(name) for name in fields.get("found_keys", ()))
        elif event.get("kind") == "made":
            names = fields.get("keys", ())
        keys.update(_key(name) for name in names)
    return spent(each for each in Store(run.root).ledger() if each.get("key") in keys)


def _held(run: KnownRun) -> dict[str, str]:
    """By job that ran when the driver died, the living process that works on it now."""
    store, held = Store(run.root), {}
    for job in running_jobs(run.document):
        for name in job.get("keys") or ():
            holder = store.holder_of(name)
            if holder is not None:
                held[str(job.get("name"))] = holder
    return held


def _key(name: str) -> str:
    return name.rpartition("-")[2]
