"""The jobs of a stage: each trains proxies and scores them, and writes both to the store.

A job has one training run, or several runs of one recipe that are trained together as one program.
Candidates with identical runs share a job. Runs whose scores are in the store need no job.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataselect.compute import Job, Outcome, Resources
from dataselect.compute.engines import LOCAL
from dataselect.config.compute import JobNeeds
from dataselect.cost import training_flops
from dataselect.errors import IncompleteError, PassingError
from dataselect.proxies.make import make_proxies
from dataselect.proxies.recipe import Recipe, population_size
from dataselect.proxy_sources import MadeProxy, ProxySource, TrainedHere
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.measured import failure_of, find, is_measured
from dataselect.stages.engine import check_job_device, job_resources, side_by_side
from dataselect.stages.experiment import Experiment
from dataselect.stages.job_runs import at_work, held, left_for_later, run_twice
from dataselect.stages.passing import is_passing, marked
from dataselect.stages.work import Made, Planned, PlannedJob, Scored
from dataselect.store import Store, content_key


@dataclass(frozen=True)
class Run:
    """One training run of a candidate: one seed, or one series of checkpoints."""

    candidate: str
    """The candidate's id."""
    name: str
    """For the ledger, the progress display and error messages, such as "stage1/web seed 1"."""
    source: ProxySource
    """Where the proxy comes from."""

    @property
    def key(self) -> str:
        """Hash of what determines the run; identical runs have the same key."""
        return content_key("job", self.source.spec)


def make_and_score(
    *,
    progress: Any,
    store: Store,
    sources: Mapping[str, ProxySource],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    device: str,
    patient: bool,
) -> bool:
    """The job: make and score the proxies of `sources` (by run name) in the `store`.

    Unless `patient`, nothing is done and False returned where other processes make them now. With
    several runs a failure of one is raised, as IncompleteError, after the others are done. What may
    pass when it is tried again is raised as PassingError.
    """
    check_job_device(device)
    with at_work(progress, store) as told:
        wanted = [(source.kind, source.spec) for source in sources.values()]
        if left_for_later(progress, held(told, wanted), patient):
            return False
        _train_together(told, sources, device, progress)
        failed: dict[str, Exception] = {}
        for name, source in sources.items():
            try:
                made = source.make(told, name, device, progress)
                for point in made.points:
                    measure(
                        told,
                        point.checkpoint,
                        evaluations,
                        measurements,
                        device=device,
                        name=name,
                        precision=source.precision,
                    )
            except Exception as error:
                if len(sources) == 1:
                    raise marked(error) from error
                failed[name] = error
    if failed:
        message = "; ".join(f"{name}: {error}" for name, error in failed.items())
        # One that passes is enough: the others are found in the store, or fail at once.
        kind = PassingError if any(map(is_passing, failed.values())) else IncompleteError
        raise kind(message) from next(iter(failed.values()))
    return True


def _train_together(
    store: Store, sources: Mapping[str, ProxySource], device: str, progress: Any
) -> None:
    """Train the proxies among `sources` that are trained here as one program, if it can be."""
    trained = {name: s for name, s in sources.items() if isinstance(s, TrainedHere)}
    if len(trained) < 2:
        return
    layout = next(iter(trained.values())).layout
    try:
        requests = {name: source.request for name, source in trained.items()}
        make_proxies(store, requests, device, progress, layout)
    except Exception as error:
        # One by one, each needs less memory, and only the run at fault fails again.
        logging.getLogger("dataselect").warning(
            "training %d proxies together failed (%s); now one by one", len(trained), error
        )


def is_scored(
    store: Store,
    made: MadeProxy,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> bool:
    """Whether every checkpoint of a proxy has all its measurements in the store."""
    return all(is_measured(store, p.checkpoint, evaluations, measurements) for p in made.points)


def proxy_failure(
    store: Store,
    made: MadeProxy,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> str | None:
    """Why a scored proxy cannot be ranked, naming the checkpoint; None if it can."""
    for point in made.points:
        why = failure_of(store, point.checkpoint, evaluations, measurements)
        if why is not None:
            return f"{point.label}: {why}"
    return None


def run_jobs(
    experiment: Experiment,
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    needs: JobNeeds | None = None,
) -> dict[str, Outcome]:
    """Make and score the proxies that the store lacks; outcomes by `Run.key`.

    Identical runs are made once. Jobs that failed for a passing reason (`passing`) are tried once
    more at the end. `needs`: what their stage asks a cluster for.
    """
    store, watch = experiment.store, experiment.watch
    missing: dict[str, Run] = {}
    found: dict[str, Run] = {}
    for run in runs:
        made = run.source.find(store)
        if made is None or not is_scored(store, made, evaluations, measurements):
            missing.setdefault(run.key, run)
        else:
            found.setdefault(run.key, run)
    compute, engine = experiment.plan.compute, experiment.runtime.compute
    at_once = side_by_side(engine, job_resources(compute, needs, engine=engine))
    groups = _groups(list(missing.values()), experiment, at_once)
    shared = (evaluations, measurements, experiment.runtime.device)
    jobs = [
        _job(store, group, *shared, job_resources(compute, needs, _processes(group), engine))
        for group in groups
    ]
    members = {job.name: group for job, group in zip(jobs, groups, strict=True)}

    def keys(group: Sequence[Run]) -> tuple[str, ...]:
        return _artifacts(store, group, evaluations, measurements)

    watch.tell(
        Planned(
            tuple(_planned(store, name, group) for name, group in members.items()),
            len(found),
            keys(list(found.values())),
        )
    )

    def tell_made(job: str) -> None:
        watch.tell(Made(job, keys(members[job])))
        for run in members[job]:
            scored = _scored(store, run, evaluations, measurements)
            if scored is not None:
                watch.tell(scored)

    def settle(outcome: Outcome, meanwhile: Sequence[Mapping[str, Any]]) -> None:
        group = members[outcome.job]
        for run in group:
            key = content_key(run.source.kind, run.source.spec)
            noted = [each for each in meanwhile if "lost" in each and each.get("key") == key]
            _note_lost_workers(store, run.source, outcome, len(group), noted)

    outcomes = run_twice(experiment.runtime, jobs, tell_made, settle)
    return {run.key: outcomes[name] for name, group in members.items() for run in group}


def _planned(store: Store, name: str, group: Sequence[Run]) -> PlannedJob:
    """What is known of a job's work before it begins."""
    flops: float | None = 0.0
    tokens: int | None = 0
    for run in group:
        source = run.source
        if source.find(store) is not None:
            continue  # its scores alone are missing
        if not isinstance(source, TrainedHere):
            flops = tokens = None
            break
        recipe = source.request.recipe
        flops = (flops or 0.0) + training_flops(recipe.parameters, recipe.tokens)
        tokens = (tokens or 0) + recipe.tokens
    return PlannedJob(name, len(group), flops, tokens, tuple(_proxy_name(run) for run in group))


def _proxy_name(run: Run) -> str:
    """Folder name of the artifact of a run's proxy."""
    return f"{run.source.kind}-{content_key(run.source.kind, run.source.spec)}"


def _artifacts(
    store: Store,
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> tuple[str, ...]:
    """Folder names of the proxies of runs, and of all their measurements that can be there."""
    names = []
    for run in runs:
        names.append(_proxy_name(run))
        made = run.source.find(store)
        for point in () if made is None else made.points:
            for evaluation in evaluations:
                for measurement in evaluation.of(measurements):
                    keys = evaluation.keys(point.checkpoint, measurement)
                    names += [f"{measurement}-{key}" for key in keys]
    return tuple(names)


def _scored(
    store: Store,
    run: Run,
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
) -> Scored | None:
    """The scores of a run that has just been made, for whoever watches; None without any."""
    made = run.source.find(store)
    if made is None or not made.points:
        return None
    means: dict[str, list[float]] = {}
    for point in made.points:
        for evaluation in evaluations:
            for measurement in evaluation.of(measurements):
                measured = find(store, point.checkpoint, evaluation, measurement)
                if measured is None:
                    return None
                for metric, mean in measured.means().items():
                    means.setdefault(f"{evaluation.benchmark.id}/{metric}", []).append(mean)
    averaged = {name: math.fsum(values) / len(values) for name, values in means.items()}
    return Scored(run.name, made.points[-1].tokens, averaged)


def _job(
    store: Store,
    group: Sequence[Run],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    device: str,
    resources: Resources,
) -> Job:
    arguments = {
        "store": store,
        "sources": {run.name: run.source for run in group},
        "evaluations": evaluations,
        "measurements": measurements,
        "device": device,
        "patient": False,
    }
    first, *others = [run.name for run in group]
    title = f"{first} and {len(others)} more" if others else first
    return Job(title, make_and_score, arguments, resources)


def _processes(group: Sequence[Run]) -> int:
    """The most processes that a proxy of the group is trained by."""
    return max(
        run.source.layout.processes if isinstance(run.source, TrainedHere) else 1 for run in group
    )


def _groups(runs: Sequence[Run], experiment: Experiment, at_once: int) -> list[list[Run]]:
    """Runs grouped into jobs: runs of one recipe are trained together, all others alone.

    On this machine an automatic population leaves work for all the jobs that run `at_once`, so
    that each GPU has some.
    """
    compute, device = experiment.plan.compute, experiment.runtime.device
    trained = [run for run in runs if isinstance(run.source, TrainedHere)]
    most = len(runs)
    if compute.on == LOCAL and compute.population == "auto":
        most = math.ceil(len(trained) / at_once)
    groups: list[list[Run]] = []
    open_groups: dict[Recipe, list[Run]] = {}
    for run in runs:
        if not isinstance(run.source, TrainedHere):
            groups.append([run])
            continue
        recipe = run.source.request.recipe
        group = open_groups.setdefault(recipe, [])
        group.append(run)
        if len(group) == 1:
            groups.append(group)
        alone = run.source.layout.processes > 1
        fitting = population_size(compute.population, recipe.parameters, device)
        if alone or len(group) >= min(fitting, most):
            del open_groups[recipe]
    return groups


def _note_lost_workers(
    store: Store,
    source: ProxySource,
    outcome: Outcome,
    sharing: int,
    noted: Sequence[Mapping[str, Any]],
) -> None:
    """Record in the ledger the attempts whose worker died, since a dead worker records nothing.

    The time is split evenly among the runs of the job. `noted` are the records of those who took
    over from a dead worker meanwhile.
    """
    died = outcome.error_type == "WorkerDied"
    lost = (outcome.attempts if died else outcome.attempts - 1) - len(noted)
    if died:
        # Counted here, so it is not counted again when the next run takes over.
        store.forget_claim(source.kind, source.spec)
    if lost <= 0:
        return
    wall_noted = sum(each["wall_seconds"] for each in noted)
    facts = {
        "name": outcome.job,
        "status": "failed",
        # Where the job succeeded, its last attempt has recorded the time of the earlier ones.
        "wall_seconds": max(0.0, outcome.wall_seconds / sharing - wall_noted) if died else 0.0,
        "cpu_seconds": outcome.cpu_seconds / sharing if died else 0.0,
        "attempts": lost,
    }
    store.note(source.kind, source.spec, facts)
