"""`dataselect traces build` and `weigh` record their progress, so that `status` shows it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dataselect.cli.interrupts import this_command
from dataselect.report.tables.trace_build import ShownBuild
from dataselect.scoring.advance import observed
from dataselect.stages.recording import About, recorded
from dataselect.stages.trace_progress import WatchedBuild
from dataselect.stages.tracking import tracker_choice
from dataselect.stages.watch import SilentWatch, Watch
from dataselect.stages.watching import watches_of
from dataselect.store import open_store
from dataselect.traces.recording.batch import BatchWatch, Queue
from dataselect.traces.recording.build import Progress
from dataselect.traces.recording.spending import Estimate


class _Both:
    """Shows a recording, and tells a `Watch` of it."""

    def __init__(self, shown: ShownBuild, told: WatchedBuild) -> None:
        self._shown, self._told = shown, told

    def start(self, estimate: Estimate, progress: Progress) -> None:
        """Before the first request."""
        self._shown.start(estimate, progress)
        self._told.start(estimate, progress)

    def advance(self, progress: Progress) -> None:
        """After each question."""
        self._shown.advance(progress)
        self._told.advance(progress)

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        """After a poll of batches."""
        self._shown.looked(queue, next_look_seconds)
        self._told.looked(queue, next_look_seconds)


class _Notes(SilentWatch):
    """Shows the notes above the bar of questions."""

    def __init__(self, shown: ShownBuild) -> None:
        self._shown = shown

    def note(self, text: str) -> None:
        """Show it."""
        self._shown.note(text)


@contextmanager
def recorded_build(
    shown: ShownBuild,
    store: str,
    work: str,
    out: Path,
    dry_run: bool,
    track: Sequence[str] | None = None,
) -> Iterator[BatchWatch]:
    """What a recording tells, shown and recorded; a dry run asks nothing, so it is not recorded."""
    if dry_run:
        yield shown
        return
    with recorded_watch(_Notes(shown), store, work, out, track) as watch:
        yield _Both(shown, WatchedBuild(watch, work))


@contextmanager
def recorded_watch(
    watch: Watch, store: str, work: str, out: Path, track: Sequence[str] | None = None
) -> Iterator[Watch]:
    """A `Watch` that passes on to `watch`, to a record of this command in the store, and to the
    trackers of `--track`. Raises InputError where there is no such tracker."""
    trackers = tracker_choice(None, track)
    about = About(
        kind="traces",
        name=f"traces {out.name.split('.jsonl')[0]}",
        command=this_command(),
        manifest="",
        plan="",
        report=None,
        device="",
        subject=str(out.resolve()),
    )
    with recorded(open_store(store).root, about) as recorder:
        config = {"traces": str(out), "work": work}
        yield watches_of(recorder, [watch], config, trackers)[0]
        recorder.close("done")


@contextmanager
def items_shown(watch: Watch, work: str, items: int) -> Iterator[None]:
    """Within the context, a model that runs over `items` in this process tells how far it is."""
    began = time.monotonic()

    def observe(done: int, total: int) -> None:
        share, seconds = done / max(total, 1), max(time.monotonic() - began, 1e-9)
        rate = share * items / seconds
        left = (1 - share) * items / rate if rate else 0.0
        fields = {"items": round(share * items), "total_items": items}
        watch.progress(work, {**fields, "items_per_second": rate, "seconds_left": left})

    with observed(observe):
        yield
