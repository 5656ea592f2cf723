"""A `Watch` that keeps a run's state and its events in the store (`store.run_record`).

The state is written by a thread of its own, at most every `WRITE_SECONDS`, so that a slow file
system costs the run nothing. Events are appended as they happen; of a job's progress at most one in
`PROGRESS_SECONDS`, and one for each percent.

Keys of `status.json` (schema 1; keys may be added, none is renamed):

    id, kind ("run", "mix", "score", "calibrate", "traces"), name, command, folder, manifest, plan,
    report, device
    call           number of this call, from 1; `began`, `first_began`, `updated`, `ended` are its
                   times by the clock of `process.host`, `seconds` what it took so far
    state          "running", "done", "incomplete" (some work failed), "failed", "interrupted";
                   a process that died leaves "running"
    problem | null why it failed
    parts[]        title, total | null, found, done, failed, running, waiting, seconds, state, and
                   jobs[]: name, state and what is known of it (of a part that is over, its failed
                   jobs alone)
    working | null what the driver itself does
    estimate       seconds_left | null, at_most
    rankings[]     of the stages that pruned
    traces_usd | null, notes[], process, owner
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dataselect.compute import Event
from dataselect.errors import DataselectError
from dataselect.stages.progress import Fields, Part, Progress, Work
from dataselect.stages.work import Fact, Made, Outlook, Planned, Scored, StageRanking
from dataselect.store.run_record import RunRecord

WRITE_SECONDS = 3.0
PROGRESS_SECONDS = 30.0
SCHEMA = 1
_MOST_NOTES = 50
_MORE = (
    *("items", "total_items", "items_per_second"),
    *("usd", "expected_usd", "max_usd", "left_out", "graded", "correct", "requests", "failed"),
)
"""Progress of work that trains nothing."""

End = Literal["done", "incomplete", "failed", "interrupted"]
"""How a call ended, where it could say so."""


@dataclass(frozen=True)
class About:
    """What a run is, for whoever looks on."""

    kind: str
    """"run", "mix", "score", "calibrate" or "traces"."""
    name: str
    """Its name."""
    command: str
    """The command that resumes it."""
    manifest: str
    """The manifest's file."""
    plan: str
    """The plan's name."""
    report: Path | None
    """Folder of its report; None without one."""
    device: str
    """Where models run; "" where none does."""
    subject: str = ""
    """What is worked on, where no manifest and plan say it: equal for calls that resume it."""

    @property
    def identity(self) -> str:
        """Equal for calls that resume one another."""
        if self.report is not None:
            return str(self.report.resolve())
        return f"{self.kind} {self.subject or f'{Path(self.manifest).resolve()} {self.plan}'}"


class Recorder:
    """See the module; `close` it, or use `recorded`."""

    def __init__(
        self,
        root: Path,
        about: About,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = WRITE_SECONDS,
    ) -> None:
        self.record = RunRecord(root, about.name, about.identity, about.report)
        self.about, self._progress = about, Progress(clock)
        before = self.record.before() or {}
        self._call = _whole(before.get("call")) + 1
        self._began = _now()
        self._first = str(before.get("first_began") or self._began)
        digest = hashlib.sha256(f"{self.record.id} {self._first}".encode())
        self.run_id = digest.hexdigest()[:12]
        """Equal for the calls that resume this run, and for no other."""
        self._state, self._problem = "running", ""
        self._sampled: dict[str, tuple[float, float]] = {}
        self._usd: float | None = None
        self._at_end: list[tuple[Callable[[End], object], Callable[[], object]]] = []
        self._lock, self._over = threading.Lock(), threading.Event()
        self._seconds = seconds
        self._event("began", fields={"command": about.command, "folder": str(Path.cwd())})
        self.record.write(self.document(), durable=True)
        self._thread = threading.Thread(target=self._keep_writing, name="status", daemon=True)
        self._thread.start()

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        with self._lock:
            self._progress.step(title)
        self._event("part")

    def progress(self, work: str, fields: Fields) -> None:
        """A piece of work in this process has come this far."""
        with self._lock:
            self._progress.progress(work, fields)
            here = self._progress.here
        if here is not None and self._is_due(here):
            self._event("working", job=work, fields=fields)

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        with self._lock:
            self._progress.event(event)
            work = self._progress.parts[-1].jobs[event.job]
        if event.kind != "progress" or self._is_due(work):
            self._event(event.kind, job=event.job, fields=event.fields)

    def note(self, text: str) -> None:
        """A remark or warning for the user."""
        with self._lock:
            self._progress.note(text)
        self._event("note", fields={"text": text})

    def tell(self, fact: Fact) -> None:
        """Something is known of the work, or a stage has its ranking."""
        with self._lock:
            self._progress.tell(fact)
        if isinstance(fact, Planned):
            self._event("planned", fields=asdict(fact))
        elif isinstance(fact, Made):
            self._event("made", job=fact.job, fields={"keys": list(fact.keys)})
        elif isinstance(fact, StageRanking):
            self._event("ranking", fields=asdict(fact))
        elif isinstance(fact, Scored):
            self._event("scored", job=fact.name, fields=asdict(fact))
        elif isinstance(fact, Outlook):
            self._usd = fact.traces_usd
            self._event("outlook", fields=asdict(fact))

    @property
    def call(self) -> int:
        """Number of this call, from 1."""
        return self._call

    def on_close(self, before: Callable[[End], object], after: Callable[[], object]) -> None:
        """Call one, with how the call ends, before the end is recorded, and the other after it."""
        self._at_end.append((before, after))

    def close(self, state: End, problem: str = "") -> None:
        """The call has ended; the first end counts."""
        if self._over.is_set():
            return
        for before, _ in self._at_end:
            before(state)
        self._over.set()
        self._thread.join()
        with self._lock:
            self._progress.close()
            self._state, self._problem = state, problem
        self._event("ended", fields={"state": state, **({"problem": problem} if problem else {})})
        self.record.write(self.document(), durable=True)
        self.record.close()
        for _, after in self._at_end:
            after()

    def document(self) -> dict[str, Any]:
        """The state now, as JSON values."""
        with self._lock:
            progress, now = self._progress, self._progress.clock()
            about, over = self.about, self._state != "running"
            left = 0.0 if self._state == "done" else progress.seconds_left()
            return {
                "schema": SCHEMA,
                "id": self.record.id,
                "kind": about.kind,
                "name": about.name,
                "command": about.command,
                "folder": str(Path.cwd()),
                "manifest": about.manifest,
                "plan": about.plan,
                "report": None if about.report is None else str(about.report.resolve()),
                "device": about.device,
                "call": self._call,
                "first_began": self._first,
                "began": self._began,
                "updated": _now(),
                "ended": _now() if over else None,
                "seconds": round(now - progress.begun, 1),
                "state": self._state,
                "problem": self._problem or None,
                "parts": [_part(each, now, progress) for each in progress.parts],
                "working": None if progress.here is None else _work(progress.here, now, progress),
                "estimate": {"seconds_left": left, "at_most": progress.at_most},
                "rankings": [_finite(asdict(each)) for each in progress.rankings],
                "traces_usd": self._usd,
                "notes": progress.notes[-_MOST_NOTES:],
            }

    def _keep_writing(self) -> None:
        while not self._over.wait(self._seconds):
            self.record.write(self.document())

    def _event(
        self, kind: str, *, job: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        part = self._progress.part
        self.record.append(
            {
                "time": _now(),
                "call": self._call,
                "stage": None if part is None else part.title,
                "job": job,
                "kind": kind,
                "fields": _finite(fields or {}),
            }
        )

    def _is_due(self, work: Work) -> bool:
        """Whether the progress of this work is an event: it is new, or has come some way."""
        now, share = self._progress.clock(), work.share or 0.0
        at, before = self._sampled.get(work.name, (float("-inf"), -1.0))
        if share < before or (now - at >= PROGRESS_SECONDS and share - before >= 0.01):
            self._sampled[work.name] = now, share
            return True
        return False


@contextmanager
def recorded(root: Path, about: About) -> Iterator[Recorder]:
    """A recorder for the context; whatever ends the context is recorded as the run's end.

    Closed by the caller where it ends well, with what became of it.
    """
    recorder = Recorder(root, about)
    try:
        yield recorder
    except KeyboardInterrupt:
        recorder.close("interrupted")
        raise
    except BaseException as error:
        text = str(error) if isinstance(error, DataselectError) else repr(error)
        recorder.close("failed", text)
        raise


def _part(part: Part, now: float, progress: Progress) -> dict[str, Any]:
    works = list(part.jobs.values())
    running = part is progress.part and part.ended is None
    shown = works if running else [work for work in works if work.state == "failed"]
    return {
        "title": part.title,
        "state": "running" if running else "done",
        "total": part.total,
        "found": part.found,
        "done": part.done,
        "failed": part.runs("failed"),
        "running": part.runs("running"),
        "waiting": part.runs("waiting"),
        "seconds": round((now if part.ended is None else part.ended) - part.begun, 1),
        "jobs": [_work(work, now, progress) for work in shown],
    }


def _work(work: Work, now: float, progress: Progress) -> dict[str, Any]:
    made: dict[str, Any] = {"name": work.name, "state": work.state}
    if work.plan is not None and work.plan.runs > 1:
        made["runs"] = work.plan.runs
    if work.state == "running":
        made |= {"seconds": round(now - work.begun, 1), "attempt": work.attempts}
        made |= {"share": work.share, "waits_for": work.waits_for}
        for key in ("loss", "tokens_per_second", "seconds_left"):
            made[key] = work.number(key)
        more = {key: work.number(key) for key in _MORE}
        made |= {key: value for key, value in more.items() if value is not None}
        peers = progress.peers_loss(work)
        if peers is not None:
            made["peers_loss"] = peers
        made["keys"] = [] if work.plan is None else list(work.plan.keys)
    elif work.state in ("done", "failed"):
        made["seconds"] = None if work.seconds is None else round(work.seconds, 1)
        if work.error:
            made["error"] = work.error
    return made


def _finite(value: Any) -> Any:
    """JSON values; numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
