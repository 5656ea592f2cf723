"""What the process of a tracker does: read a run's `metrics.jsonl` as it grows, and pass it on.

    python -m dataselect.trackers.follow NAME METRICS OFFSET FOLDER

Its standard input is held open by the run, which writes how it ended: where that ends without a
word, the run was killed. Its standard output says, as JSON lines, where the run is shown
(`{"shown": ...}`) and why the tracker is off (`{"failed": ...}`). What the library itself prints
goes to standard error, which the run keeps as a log.
"""

import contextlib
import json
import math
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from dataselect.redaction import redact
from dataselect.store.sealed import whole_lines
from dataselect.trackers.names import make_tracker
from dataselect.trackers.tracker import Status, TrackedRun, Tracker

LOOK_SECONDS = 1.0


class Lines:
    """The whole lines that a file gets from `offset` on."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path, self._offset, self._rest = path, offset, b""

    def new(self) -> Iterator[dict[str, Any]]:
        """The records since the last call, as they were written; what is no record is left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                read = file.read()
        except OSError:
            return
        self._offset += len(read)
        *whole, self._rest = (self._rest + read).split(b"\n")
        # A spoilt line is told by whoever reads the whole file; here it is one number less.
        for _, record in whole_lines(b"\n".join(whole), lambda *_: None):
            yield record


def named(record: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a record, by a name that says of which job they are."""
    job, metrics = record.get("job"), record.get("metrics") or {}
    return {
        f"{name}/{job}" if job else name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def tracked_run(record: Mapping[str, Any], folder: Path) -> TrackedRun:
    """What a tracker is told, from the record with which a call begins."""
    run = record["run"]
    return TrackedRun(
        id=run["id"],
        name=run["name"],
        kind=run["kind"],
        call=record["call"],
        folder=folder,
        config=run["config"],
    )


def follow(
    tracker: Tracker,
    lines: Lines,
    folder: Path,
    wait: Callable[[], Status | None],
    say: Callable[[Mapping[str, str]], None],
) -> None:
    """Pass on what `lines` gets until `wait`, which returns soon, gives the run's end."""
    begun, status = False, None
    while True:
        status = wait()
        for record in lines.new():
            if not begun:
                if record.get("kind") != "start":
                    continue
                begun = True
                shown = tracker.start(tracked_run(record, folder))
                if shown:
                    say({"shown": shown})
            elif numbers := named(record):
                step = record.get("step")
                tracker.log(numbers, step if isinstance(step, int) else None)
        if status is not None:
            if begun:
                tracker.finish(status)
            return


def main() -> None:
    """See the module."""
    name, metrics, offset, folder = sys.argv[1:]
    # Ctrl-C is for the run, which tells its end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: Mapping[str, str]) -> None:
        # Of a run that is gone nobody reads.
        with contextlib.suppress(OSError):
            print(json.dumps(message), file=out, flush=True)

    try:
        follow(make_tracker(name), Lines(Path(metrics), int(offset)), Path(folder), _end, say)
    except BaseException as error:
        text = " ".join(redact(f"{type(error).__name__}: {error}").split())
        say({"failed": text[:300]})
        # Libraries that failed may hang at exit, over what they could not send.
        os._exit(1)


def _end() -> Status | None:
    """How the run ended; None while it goes on, after a second at most."""
    ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    if not ready:
        return None
    word = sys.stdin.readline().strip()
    return cast("Status", word) if word in get_args(Status) else "killed"


if __name__ == "__main__":
    main()
