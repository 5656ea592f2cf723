"""What follows from mutations: found, unchanged, changed as it may, or wrong."""

import shutil
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutations import Files, Mutation

from dataselect.errors import DataselectError

FOUND, UNCHANGED, CHANGED, WRONG = "found", "unchanged", "changed legitimately", "WRONG"
OUTCOMES = (FOUND, UNCHANGED, CHANGED, WRONG)
SECONDS = 20
"""Within this a mutation is to be found or scored; the intact folder takes a tenth of a second."""

Judged = tuple[str, str]
"""An outcome, and what was seen."""


class TooSlowError(Exception):
    """Nothing came within the time."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TooSlowError in what runs longer; only in the main thread, as tests are."""

    def ring(*_: Any) -> None:
        raise TooSlowError(f"nothing after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(
    read: Callable[[], Any],
    differing: Callable[[Any], list[str]],
    may_change: bool | Collection[str],
    named: Callable[[Any], bool] = lambda _: False,
) -> Judged:
    """The outcome of a mutation.

    `read` gives the numbers or raises; `differing` names those that are not the intact ones;
    `may_change` says whether all of them, some or none may differ; `named` whether the result says
    by itself what was left out.
    """
    try:
        with within(SECONDS):
            result = read()
    except DataselectError as error:
        line = str(error)
        one = "\n" not in line and "Traceback" not in line
        return (FOUND, line) if one and error.exit_code in (2, 3) else (WRONG, repr(error))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return WRONG, f"{type(error).__name__}: {error}"[:300]
    changes = differing(result)
    if not changes:
        return UNCHANGED, ""
    if named(result):
        return FOUND, "said in the result"
    if may_change is True or (not isinstance(may_change, bool) and set(changes) <= set(may_change)):
        return CHANGED, ", ".join(changes)
    return WRONG, "another number: " + ", ".join(changes)


def write_files(folder: Path, files: Files) -> Path:
    """The folder with these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def read_files(folder: Path) -> Files:
    """A folder's files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@dataclass
class Tally:
    """Counts by area, kind and outcome, and the wrong ones in full."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(area, kind, outcome)."""
    wrong: list[str] = field(default_factory=list)
    """Subject, mutation and what was seen, a line each."""

    def add(self, subject: str, mutation: Mutation, judged: Judged) -> None:
        outcome, seen = judged
        self.counts[mutation.area, mutation.kind, outcome] += 1
        if outcome == WRONG:
            self.wrong.append(f"{subject}: {mutation}: {seen}")

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def by_outcome(self) -> dict[str, int]:
        found = dict.fromkeys(OUTCOMES, 0)
        for (_, _, outcome), count in self.counts.items():
            found[outcome] += count
        return found

    def table(self) -> dict[str, dict[str, dict[str, int]]]:
        """area -> kind -> outcome -> count, in order of names."""
        made: dict[str, dict[str, dict[str, int]]] = {}
        for (area, kind, outcome), count in sorted(self.counts.items()):
            made.setdefault(area, {}).setdefault(kind, {})[outcome] = count
        return made
