"""A run's numbers as `metrics.jsonl`, from which its trackers read them (`dataselect.trackers`).

The file is in the run's record, one JSON a line, appended by every call of the run. Its keys
(docs/watching.md has them for users; keys may be added, none is renamed):

    time       of the run's machine, UTC
    call       number of the call, from 1
    kind       "start" (with `run`: id, name, kind, config), "training", "scores", "ranking",
               "cost", "progress" (of work that trains nothing) or "end" (with `status`)
    stage      title of the part, such as "Stage 1: screen"; null before the first
    job        what the numbers are of: a job, a training run, or null for the whole run
    attempt    times that the job was started in this call, of "training" and "progress" of a job
    step       tokens trained on; null where that is not what the numbers belong to
    metrics    numbers by name, all finite

A resumed run appends: its training may repeat steps that an earlier call has told, with another
`call`; one that was tried again in the same call has another `attempt`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dataselect.compute import Event
from dataselect.stages.progress import Fields, Progress, Work
from dataselect.stages.recording import End, Recorder
from dataselect.stages.watch import SilentWatch
from dataselect.stages.work import Fact, Scored, StageRanking
from dataselect.store.run_record import METRICS
from dataselect.trackers.sidecar import END_SECONDS, Sidecar

LEAST_SECONDS, MOST_SECONDS = 1.0, 30.0
"""Of a training there is a line for each percent, at most one a second; one in 30 at least."""
_OF_TRAINING = ("loss", "tokens_per_second")
_OF_PREPARATION = ("tokens", "tokens_per_second")
_OF_SCORING = ("rbridge", "accuracy", "trace_nll", "answer_nll")
_OF_PROGRESS = ("items", "usd", "left_out", "graded", "correct", "requests", "failed")


class MetricsLog(SilentWatch):
    """A `Watch` that writes the numbers of a recorded run, and starts its trackers.

    `config` is what was run, without secrets; `note` shows what trackers say. It ends with the
    recorder.
    """

    def __init__(
        self,
        recorder: Recorder,
        config: Mapping[str, Any],
        trackers: Sequence[str],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record, self._call = recorder.record, recorder.call
        self._progress = Progress(clock)
        self._due: dict[str, tuple[float, float]] = {}
        self._title: str | None = None
        path = recorder.record.folder / METRICS
        try:
            offset = path.stat().st_size
        except OSError:
            offset = 0
        folder = recorder.record.folder
        self._sidecars = [Sidecar(each, path, offset, folder, note) for each in trackers]
        about = recorder.about
        facts = {"id": recorder.run_id, "name": about.name, "kind": about.kind}
        self._write("start", None, None, {}, {"run": {**facts, "config": config}})
        recorder.on_close(self._end, self._wait)

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        self._progress.step(title)
        self._title = title
        self._poll()

    def progress(self, work: str, fields: Fields) -> None:
        """A piece of work in this process has come this far."""
        self._progress.progress(work, fields)
        here = self._progress.here
        if here is not None and "items" in fields and self._is_due(here):
            self._write("progress", work, None, _some(fields, _OF_PROGRESS))
        self._poll()

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        self._progress.event(event)
        work = self._progress.parts[-1].jobs[event.job]
        if event.kind == "progress" and work.number("tokens") is not None and self._is_due(work):
            attempt = {"attempt": work.attempts}
            if work.kind:
                numbers = _some(event.fields, _OF_PREPARATION)
                self._write("progress", event.job, None, numbers, attempt)
            else:
                step = round(work.before + (work.number("tokens") or 0.0))
                numbers = _some(event.fields, _OF_TRAINING)
                self._write("training", event.job, step, numbers, attempt)
        elif event.kind == "done" and (numbers := _some(event.fields, _OF_SCORING)):
            benchmark = event.fields.get("benchmark")
            of = {f"{benchmark}/{name}": value for name, value in numbers.items()}
            self._write("scores", str(event.fields.get("model")), None, of)
        self._poll()

    def tell(self, fact: Fact) -> None:
        """Scores or a ranking are known."""
        self._progress.tell(fact)
        if isinstance(fact, Scored):
            self._write("scores", fact.name, fact.tokens, fact.means)
        elif isinstance(fact, StageRanking):
            for row in fact.rows:
                numbers = {"rank": row.rank, "score": row.score, "p_top_k": row.p_top_k}
                named = {f"{fact.stage}/{name}": value for name, value in numbers.items()}
                self._write("ranking", row.id, None, named)
        self._poll()

    def ranked(self, rows: Mapping[str, Mapping[str, float]]) -> None:
        """The ranking with which the run ends: numbers by candidate."""
        for name, numbers in rows.items():
            self._write("ranking", name, None, numbers)

    def cost(self, numbers: Mapping[str, float]) -> None:
        """What the run has spent."""
        self._write("cost", None, None, {f"cost/{name}": each for name, each in numbers.items()})

    def _end(self, status: End) -> None:
        """The run ends."""
        self._write("end", None, None, {}, {"status": status})
        for each in self._sidecars:
            each.end(status)

    def _wait(self) -> None:
        """Trackers get a while for what they still have to send."""
        until = time.monotonic() + END_SECONDS
        for each in self._sidecars:
            each.close(max(0.0, until - time.monotonic()))

    def _write(
        self,
        kind: str,
        job: str | None,
        step: int | None,
        metrics: Mapping[str, float],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        finite = {name: each for name, each in metrics.items() if math.isfinite(each)}
        if metrics and not finite:
            return
        self._record.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "call": self._call,
                "kind": kind,
                "stage": self._title,
                "job": job,
                "step": step,
                "metrics": finite,
                **(more or {}),
            },
            METRICS,
        )

    def _poll(self) -> None:
        for each in self._sidecars:
            each.poll()

    def _is_due(self, work: Work) -> bool:
        now, share = self._progress.clock(), work.share or 0.0
        at, before = self._due.get(work.name, (-math.inf, -1.0))
        seconds = now - at
        further = share < before or share - before >= 0.01 or share == 1.0 > before
        if (further and seconds >= LEAST_SECONDS) or seconds >= MOST_SECONDS or share == 1.0:
            if share == before == 1.0:
                return False
            self._due[work.name] = now, share
            return True
        return False


class LossAlarm(SilentWatch):
    """A `Watch` that says once of a training that its loss rises."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._progress = note, Progress()
        self._said: set[tuple[str, int]] = set()

    def step(self, title: str) -> None:
        """Losses are those of one part."""
        self._progress.step(title)

    def event(self, event: Event) -> None:
        """Look at the loss of a training."""
        self._progress.event(event)
        part = self._progress.parts[-1]
        work = part.jobs[event.job]
        lowest = part.losses.risen(work.name)
        if event.kind != "progress" or lowest is None or (work.name, work.attempts) in self._said:
            return
        self._said.add((work.name, work.attempts))
        share = 100 * (work.share or 0.0)
        self._note(
            f"{work.name}: its loss has risen to {work.number('loss') or math.nan:.2f} from"
            f" {lowest:.2f}, at {share:.0f}% of its tokens; it may diverge (a lower learning rate"
            " helps)"
        )


def _some(fields: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    found = {name: fields.get(name) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}
