"""The process of one attempt at a job that came by a folder; started by `supervisor`.

It reads the call, runs it, and leaves progress and outcome in the attempt's folder. It ends with
its supervisor, which holds its standard input open.
"""

import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataselect.compute import wire
from dataselect.compute.attempt import Attempt, attempt
from dataselect.compute.job_folder import ALIVE, JobFolder, write_record
from dataselect.compute.jobs import plain_fields


def main(folder: str, digest: str, attempt_folder: str, beat: float) -> None:
    """Run the job in `folder`, whose job.json has this SHA-256.

    `beat`: seconds between two signs of life.
    """
    # Ctrl-C reaches a whole group of processes; the driver decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    job, out = JobFolder(Path(folder)), Path(attempt_folder)
    threading.Thread(target=_beat, args=(out / ALIVE, beat), daemon=True).start()
    with (out / "progress.jsonl").open("a", encoding="utf-8") as file:
        lock, is_open = threading.Lock(), [True]

        def progress(fields: Mapping[str, Any]) -> None:
            line = json.dumps(plain_fields(fields)) + "\n"
            with lock:
                if is_open[0]:
                    file.write(line)
                    file.flush()

        def work() -> Any:
            # The driver's modules, beside those that are installed here.
            sys.path.extend(each for each in job.read(digest)["path"] if each not in sys.path)
            call = job.call(digest)
            return call.job.function(progress=progress, **call.job.arguments)

        ended = attempt(work)
        with lock:
            is_open[0] = False
    write_record(out / "outcome.json", {"outcome": _text(ended)})


def _text(ended: Attempt) -> str:
    try:
        return wire.encode(ended)
    except wire.WireError as error:
        problem = f"what it returned cannot be sent back: {error}"
        return wire.encode(replace(ended, result=None, error=problem, error_type="WireError"))


def _beat(path: Path, seconds: float) -> None:
    """Touch a file every few seconds, for the supervisor: this process lives."""
    while True:
        with suppress(OSError):
            path.touch()
        time.sleep(seconds)


def _end_with_stdin() -> None:
    # Not through `sys.stdin`, whose lock an exit at another place would wait for.
    while os.read(0, 1024):
        pass
    os._exit(1)
