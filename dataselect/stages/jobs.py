"""The work of a stage: jobs that leave proxies and their scores in the store.

A job has one training run, or several that are trained here with one recipe as one program.
Candidates whose runs are determined by the same things share a job. What is in the store already
makes none.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.compute import Job, Outcome
from dataselect.errors import IncompleteError
from dataselect.proxies.make import make_proxies
from dataselect.proxies.recipe import Recipe, population_size
from dataselect.proxy_sources import MadeProxy, ProxySource, TrainedHere
from dataselect.scoring.evaluate import Evaluation, Measurement, is_measured, measure
from dataselect.stages.experiment import Experiment
from dataselect.store import Store, content_key


@dataclass(frozen=True)
class Run:
    """One training run of a candidate; `name` is for the ledger and whoever looks on."""

    candidate: str
    name: str
    source: ProxySource

    @property
    def key(self) -> str:
        """Equal for runs that are one and the same."""
        return content_key("job", self.source.spec)


def make_and_score(
    *,
    progress: Any,
    root: Path,
    sources: Mapping[str, ProxySource],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    device: str,
) -> None:
    """The job: leaves the proxies and their scores in the store at `root`.

    What fails for one is raised after the others are done.
    """
    store = Store(root)
    trained = {name: s for name, s in sources.items() if isinstance(s, TrainedHere)}
    if len(trained) > 1:
        layout = next(iter(trained.values())).layout
        try:
            requests = {name: source.request for name, source in trained.items()}
            make_proxies(store, requests, device, progress, layout)
        except Exception as error:
            # Alone each needs less memory, and only the culprit fails again.
            logging.getLogger("dataselect").warning(
                "training %d proxies together failed (%s); now one by one", len(trained), error
            )
    failed: dict[str, Exception] = {}
    for name, source in sources.items():
        try:
            made = source.make(store, name, device, progress)
            for point in made.points:
                measure(
                    store,
                    point.checkpoint,
                    evaluations,
                    measurements,
                    device=device,
                    name=name,
                    precision=source.precision,
                )
        except Exception as error:
            if len(sources) == 1:
                raise
            failed[name] = error
    if failed:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise IncompleteError(told) from next(iter(failed.values()))


def is_scored(
    store: Store,
    made: MadeProxy,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> bool:
    """Whether every checkpoint of a proxy has been measured."""
    return all(is_measured(store, p.checkpoint, evaluations, measurements) for p in made.points)


def run_jobs(
    experiment: Experiment,
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> dict[str, Outcome]:
    """Do what is missing, once for runs that are the same; outcomes by the key of the run."""
    store = experiment.store
    missing: dict[str, Run] = {}
    for run in runs:
        made = run.source.find(store)
        if made is None or not is_scored(store, made, evaluations, measurements):
            missing.setdefault(run.key, run)
    groups = _groups(list(missing.values()), experiment)
    jobs = []
    for group in groups:
        arguments = {
            "root": store.root,
            "sources": {run.name: run.source for run in group},
            "evaluations": evaluations,
            "measurements": measurements,
            "device": experiment.runtime.device,
        }
        first, *others = [run.name for run in group]
        title = f"{first} and {len(others)} more" if others else first
        jobs.append(Job(title, make_and_score, arguments))
    if not jobs:
        return {}
    outcomes = {}
    for group, outcome in zip(
        groups, experiment.runtime.compute.run(jobs, experiment.watch.event), strict=True
    ):
        for run in group:
            outcomes[run.key] = outcome
            _note_lost_workers(store, run.source, outcome, len(group))
    return outcomes


def _groups(runs: Sequence[Run], experiment: Experiment) -> list[list[Run]]:
    """Runs that are trained as one program, which have one recipe; all others by themselves."""
    wanted, device = experiment.plan.compute.population, experiment.runtime.device
    groups: list[list[Run]] = []
    filling: dict[Recipe, list[Run]] = {}
    for run in runs:
        if not isinstance(run.source, TrainedHere):
            groups.append([run])
            continue
        recipe = run.source.request.recipe
        group = filling.setdefault(recipe, [])
        group.append(run)
        if len(group) == 1:
            groups.append(group)
        alone = run.source.layout.processes > 1
        if alone or len(group) >= population_size(wanted, recipe.parameters, device):
            del filling[recipe]
    return groups


def _note_lost_workers(store: Store, source: ProxySource, outcome: Outcome, sharing: int) -> None:
    """Put attempts whose worker died into the ledger, which the dead could not do themselves.

    The time is shared out evenly among the runs of the job.
    """
    died = outcome.error_type == "WorkerDied"
    lost = outcome.attempts if died else outcome.attempts - 1
    if lost == 0:
        return
    facts = {
        "name": outcome.job,
        "status": "failed",
        # Of a job that came through, the last attempt knows what the earlier ones took.
        "wall_seconds": outcome.wall_seconds / sharing if died else 0.0,
        "cpu_seconds": outcome.cpu_seconds / sharing if died else 0.0,
        "attempts": lost,
    }
    store.note(source.kind, source.spec, facts)
