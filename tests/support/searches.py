"""A search whose proxies are a law: workers of it in this process and in others.

`python -m searches FOLDER KILLED` is a worker; with KILLED it hangs in its third trial, for a
test to kill.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_swarms import METRICS, SOURCES, few_folds, losses

from dataselect.mixture.constraints import no_limits
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.study import SharedStudy, open_storage
from dataselect.mixture_search.trial import SearchSettings
from dataselect.mixture_search.trial_runner import Result
from dataselect.mixture_search.worker import Worker
from dataselect.stages.watch import SilentWatch

PRIOR = np.array([0.6, 0.2, 0.15, 0.05])
SETTINGS = SearchSettings(
    sources=SOURCES,
    benchmarks=METRICS,
    prior=PRIOR,
    limits=replace(no_limits(SOURCES), prior=PRIOR),
    trials=11,
    designed=8,
    replicates=2,
    together=2,
    objective=np.array([0.5, 0.5]),
    standardise=True,
    sampler="surrogate",
    seed=0,
    proxy_seed=0,
)

SHORT = replace(SETTINGS, trials=9)
"""One proposal after the design."""


def law(trial: Trial) -> tuple[float, ...]:
    """What a mixture's proxy scores: a law and the noise of its seed."""
    values = losses(np.array([trial.shares]))[0]
    values += 0.005 * np.random.default_rng([trial.seed, 1]).standard_normal(len(values))
    return tuple(values.tolist())


class Proxies:
    """Measures by the law and keeps what it was asked for."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[Trial] = []
        self.seconds = seconds

    def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
        self.asked += trials.values()
        time.sleep(self.seconds)
        return {name: Result(law(trial), 1.0) for name, trial in trials.items()}


class Notes(SilentWatch):
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def study(folder: Path, settings: SearchSettings = SETTINGS, **options: Any) -> SharedStudy:
    storage = open_storage(options.get("url"), "test", folder / "study.journal")
    clock = options.get("clock", time.time)
    workers = folder / options.get("workers", "workers")
    names = settings.sources, settings.benchmarks
    monotonic = options.get("monotonic", time.monotonic)
    return SharedStudy(storage, "study", *names, workers, clock, monotonic)


def worker(
    folder: Path,
    measure: Any,
    settings: SearchSettings = SETTINGS,
    at_once: int = 1,
    **options: Any,
) -> Worker:
    return Worker(
        study(folder, settings, **options),
        settings,
        measure,
        at_once,
        options.get("watch", SilentWatch()),
        sleep=lambda _: time.sleep(0.02),
    )


def main() -> None:
    folder, hangs = Path(sys.argv[1]), sys.argv[2:] == ["KILLED"]

    class Hanging(Proxies):
        def __call__(self, trials: Mapping[str, Trial]) -> dict[str, Result]:
            if hangs and len(self.asked) == 2:
                (folder / "hangs").touch()
                time.sleep(600)
            return super().__call__(trials)

    mine = worker(folder, Hanging(0.05))
    with mine.study.at_work(), few_folds():
        mine.search()


if __name__ == "__main__":
    main()
