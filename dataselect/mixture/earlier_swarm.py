"""A swarm that was trained before, whose runs are taken into a new one.

It is a folder of `mix swarm`, or a `ratios.csv` from anywhere. Of the latter neither seeds nor
texts are known, so nobody notices there if a name stands for another text now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.mixture.swarm import read_epochs, read_runs
from dataselect.mixture.swarm_file import SWARM_FILE, RecordedSource, SwarmRecord, read_record
from dataselect.wording import quoted

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Earlier:
    """Runs that are trained already."""

    path: Path
    """The folder or file that they are from."""
    sources: tuple[str, ...]
    """Names of their sources."""
    runs: tuple[str, ...]
    """Names of the runs."""
    shares: Array
    """Shares of the tokens, (runs, sources)."""
    rates: Array | None
    """Epochs at a share of 1, (runs, sources); None where not known."""
    record: SwarmRecord | None
    """What is known of it besides; None for a table alone."""

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Of the runs' training; None where not known."""
        known = {} if self.record is None else {r.run: r.seed for r in self.record.runs}
        return tuple(known.get(run) for run in self.runs)

    @property
    def middle(self) -> Array:
        """The mixture that they were designed around, (sources,); their mean if it is not known."""
        if self.record is None:
            mean: Array = self.shares.mean(axis=0)
            return mean
        return np.array([self.record.prior.get(name, 0.0) for name in self.sources])


def read_earlier(path: Path) -> Earlier:
    """The runs in a swarm's folder or a table of ratios. Raises InputError."""
    folder = path.is_dir()
    ratios = path / "ratios.csv" if folder else path
    sources, found = read_runs(ratios)
    if not found.names:
        raise InputError(ratios, "it has no run", "give a swarm that was trained")
    epochs = path / "epochs.csv"
    rates = None
    if folder and epochs.exists():
        rates = read_epochs(epochs, sources, found.names, found.shares)
    record = read_record(path) if folder else None
    # Reading scales rows to the sum 1, which must not change the last digit of a row that we wrote.
    found = replace(found, shares=np.round(found.shares, 12))
    if record is not None and {each.run for each in record.runs} != set(found.names):
        raise InputError(
            ratios, f"its runs are not those of {SWARM_FILE} beside it", "get the folder again"
        )
    return Earlier(path, sources, found.names, found.shares, rates, record)


def check_same_texts(
    earlier: Earlier, sources: Mapping[str, RecordedSource], texts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise InputError where a name stands for another text, or mixture, than in earlier runs."""
    record = earlier.record
    if record is None:
        return
    for name, now in sources.items():
        before = record.sources.get(name)
        if before is None:
            continue
        if before.parts != now.parts:
            _refuse(earlier, name, "is another mixture of texts than")
        if before.text is not None and now.text is not None and before.text != now.text:
            changed = _changed(before.text, now.text)
            _refuse(earlier, name, f"has another {changed} than")
    for name, text in texts.items():
        if name in record.texts and record.texts[name] != text:
            _refuse(earlier, name, f"has another {_changed(record.texts[name], text)} than")


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return next(quoted(key) for key in (*now, *before) if before.get(key) != now.get(key))


def _refuse(earlier: Earlier, name: str, problem: str) -> None:
    raise InputError(
        "--reuse",
        f"{quoted(name)} {problem} in {earlier.path}",
        "give it another name, since earlier runs say nothing of another text; if only its place "
        f"is another, write that into {earlier.path / SWARM_FILE}",
    )


def repeatable(earlier: Earlier, sources: Sequence[str]) -> int | None:
    """The earlier run nearest to the middle of its swarm that has these sources alone, by place.

    None where every run has some of another source.
    """
    gone = [name not in sources for name in earlier.sources]
    usable = np.flatnonzero(~(earlier.shares[:, gone] > 0).any(axis=1))
    if not len(usable):
        return None
    away = np.abs(earlier.shares[usable] - earlier.middle).sum(axis=1)
    return int(usable[away.argmin()])
