"""What Stage 1 and Stage 2 have in common: a proxy for each candidate, trained and scored.

The result is a table of items x candidates for every benchmark and metric, on the same items
for all: an item that one candidate could not be scored on is left out for every candidate, since
paired comparisons are all that a ranking rests on. A candidate whose training fails or diverges
is left out itself, and the others go on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dataselect.benchmarks.items import Exclusion
from dataselect.compute import Compute, Event, Job, Outcome
from dataselect.corpus.prepare import Stream, Tokenizer, shares
from dataselect.errors import IncompleteError
from dataselect.manifest import Manifest
from dataselect.plan import Plan, Stage
from dataselect.proxies.make import KIND, Proxy, ProxyRequest, find_proxy, make_proxies, make_proxy
from dataselect.proxies.recipe import Recipe, population_size
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluate import (
    METRICS,
    Evaluation,
    Measurement,
    find,
    is_measured,
    measure,
)
from dataselect.store import Store, content_key

if TYPE_CHECKING:
    import pandas as pd

StageName = Literal["stage1", "stage2"]
Status = Literal["scored", "diverged", "failed"]


class Watch(Protocol):
    """Whoever looks on; shows what happens and decides nothing."""

    def step(self, title: str) -> None:
        """A new part of the run begins."""

    def progress(self, work: str, fields: Mapping[str, float]) -> None:
        """How far a piece of work in this process is."""

    def event(self, event: Event) -> None:
        """Something happened to a job."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Experiment:
    """All that both stages work with."""

    manifest: Manifest
    plan: Plan
    store: Store
    compute: Compute
    device: str
    tokenizer: Tokenizer
    streams: Mapping[str, Stream]
    evaluations: Mapping[str, Evaluation]
    recipes: Mapping[StageName, Recipe]
    watch: Watch

    def request(self, stage: StageName, candidate: str) -> ProxyRequest:
        """The proxy that a stage trains for a candidate."""
        recipe = self.recipes[stage]
        drawn = shares(self.manifest, candidate, self.streams, recipe.tokens)
        return ProxyRequest(recipe, self.tokenizer.folder, self.tokenizer.hash, drawn)


@dataclass(frozen=True)
class StageScores:
    """What a stage measured.

    `tables`: for each benchmark and metric, items x candidates, lower is better (`accuracy`,
    where it was measured: higher). `flops`: training and scoring of the proxies that were kept.
    """

    stage: StageName
    recipe: Recipe
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    status: Mapping[str, Status]
    reasons: Mapping[str, str]
    exclusions: Mapping[str, tuple[Exclusion, ...]]
    notes: tuple[str, ...]
    flops: float
    keys: tuple[str, ...] = field(repr=False)
    """Keys of all artifacts behind it, those that never came to be included, for the ledger."""

    @property
    def scored(self) -> list[str]:
        """Candidates that have scores, in the manifest's order."""
        return [name for name, status in self.status.items() if status == "scored"]

    def table(self, metric: str) -> dict[str, "pd.DataFrame"]:
        """Items x candidates of one metric, by benchmark."""
        return {name: metrics[metric] for name, metrics in self.tables.items()}


def train_and_score(
    *,
    progress: Any,
    root: Path,
    requests: Mapping[str, ProxyRequest],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    device: str,
) -> None:
    """The job: leaves proxies, trained as one population, and their scores in the store at `root`.

    What fails for one candidate is raised after the others are done.
    """
    store = Store(root)
    if len(requests) > 1:
        try:
            make_proxies(store, requests, device, progress)
        except Exception as error:
            # Alone each needs less memory, and only the culprit fails again.
            logging.getLogger("dataselect").warning(
                "training %d proxies together failed (%s); now one by one", len(requests), error
            )
    failed: dict[str, Exception] = {}
    for name, request in requests.items():
        try:
            proxy = make_proxy(store, request, name, device, progress)
            if not proxy.diverged:
                checkpoint = TrainedCheckpoint(proxy, request.recipe.steps)
                measure(store, checkpoint, evaluations, measurements, device=device, name=name)
        except Exception as error:
            if len(requests) == 1:
                raise
            failed[name] = error
    if failed:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise IncompleteError(told) from next(iter(failed.values()))


def _measurements(chosen: Stage) -> tuple[Measurement, ...]:
    return ("scores", "graded") if chosen.accuracy else ("scores",)


def run_stage(
    experiment: Experiment, stage: StageName, chosen: Stage, candidates: Sequence[str]
) -> StageScores:
    """Train and score a proxy for each candidate. Raises IncompleteError when none came through."""
    evaluations = [
        experiment.evaluations[benchmark.id] for benchmark in experiment.plan.benchmarks_of(chosen)
    ]
    requests = {name: experiment.request(stage, name) for name in candidates}
    outcomes = _run_jobs(experiment, stage, chosen, requests, evaluations)

    store, step = experiment.store, experiment.recipes[stage].steps
    wanted = _measurements(chosen)
    proxies: dict[str, Proxy] = {}
    status: dict[str, Status] = {}
    reasons: dict[str, str] = {}
    for name, request in requests.items():
        proxy = find_proxy(store, request)
        if proxy is not None and proxy.diverged:
            status[name] = "diverged"
            reasons[name] = f"the loss was no number after {proxy.facts['steps']:,} steps"
        elif proxy is None or not is_measured(
            store, TrainedCheckpoint(proxy, step), evaluations, wanted
        ):
            status[name] = "failed"
            outcome = outcomes.get(content_key("job", request.spec))
            reasons[name] = (outcome.error if outcome else None) or "its scores are missing"
        else:
            status[name], proxies[name] = "scored", proxy
    if not proxies:
        first = next(iter(reasons.items()))
        raise IncompleteError(
            f"no candidate came through {stage} ({first[0]}: {first[1]}); mend this and run again"
        )
    # Failed and diverged training was paid for as well.
    keys = [content_key(KIND, request.spec) for request in requests.values()]
    return _collect(experiment, stage, chosen, evaluations, proxies, status, reasons, keys)


def _run_jobs(
    experiment: Experiment,
    stage: StageName,
    chosen: Stage,
    requests: Mapping[str, ProxyRequest],
    evaluations: Sequence[Evaluation],
) -> dict[str, Outcome]:
    """Run what is missing, once for candidates that share a proxy; outcomes by request key."""
    store, step = experiment.store, experiment.recipes[stage].steps
    wanted = _measurements(chosen)
    missing: dict[str, tuple[str, ProxyRequest]] = {}
    for name, request in requests.items():
        proxy = find_proxy(store, request)
        if proxy is not None and (
            proxy.diverged
            or is_measured(store, TrainedCheckpoint(proxy, step), evaluations, wanted)
        ):
            continue
        missing.setdefault(content_key("job", request.spec), (f"{stage}/{name}", request))
    if not missing:
        return {}
    size = population_size(
        experiment.plan.compute.population, experiment.recipes[stage].parameters, experiment.device
    )
    waiting = list(missing.items())
    populations = [waiting[first : first + size] for first in range(0, len(waiting), size)]
    jobs = []
    for population in populations:
        named = dict(each for _, each in population)
        first, *others = named
        arguments = {
            "root": store.root,
            "requests": named,
            "evaluations": evaluations,
            "measurements": wanted,
            "device": experiment.device,
        }
        title = f"{first} and {len(others)} more" if others else first
        jobs.append(Job(title, train_and_score, arguments))
    ended = experiment.compute.run(jobs, experiment.watch.event)
    outcomes = {}
    for population, outcome in zip(populations, ended, strict=True):
        for key, (_, request) in population:
            outcomes[key] = outcome
            _note_lost_workers(store, request.spec, outcome, len(population))
    return outcomes


def _note_lost_workers(
    store: Store, spec: Mapping[str, Any], outcome: Outcome, sharing: int
) -> None:
    """Put attempts whose worker died into the ledger, which the dead could not do themselves.

    The time is shared out evenly among the candidates of the job.
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
    store.note(KIND, spec, facts)


def _collect(
    experiment: Experiment,
    stage: StageName,
    chosen: Stage,
    evaluations: Sequence[Evaluation],
    proxies: Mapping[str, Proxy],
    status: Mapping[str, Status],
    reasons: Mapping[str, str],
    keys: list[str],
) -> StageScores:
    import pandas as pd

    store, recipe = experiment.store, experiment.recipes[stage]
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    exclusions: dict[str, tuple[Exclusion, ...]] = {}
    notes: dict[str, None] = {}
    flops = sum(float(proxy.facts["flops"]) for proxy in proxies.values())
    for evaluation in evaluations:
        name = evaluation.benchmark.id
        measured = {}
        answers = {}
        for candidate, proxy in proxies.items():
            checkpoint = TrainedCheckpoint(proxy, recipe.steps)
            found = find(store, checkpoint, evaluation, "scores")
            assert found is not None, "only scored candidates are collected"
            measured[candidate] = found
            flops += found.flops
            keys += evaluation.keys(checkpoint, "scores") + evaluation.keys(checkpoint, "graded")
            notes |= dict.fromkeys(f"{name}: {note}" for note in found.notes)
            if chosen.accuracy:
                graded = find(store, checkpoint, evaluation, "graded")
                assert graded is not None, "only scored candidates are collected"
                answers[candidate] = graded.table.set_index("item")["correct"].astype(float)
        tables[name] = {
            metric: pd.concat(
                {c: m.table.set_index("item")[metric] for c, m in measured.items()},
                axis=1,
                join="inner",
            )
            for metric in METRICS
        }
        if answers:
            tables[name]["accuracy"] = pd.DataFrame(answers)
        left_out = [*evaluation.left_out, *(e for m in measured.values() for e in m.exclusions)]
        exclusions[name] = tuple(dict.fromkeys(left_out))
    return StageScores(
        stage, recipe, tables, status, reasons, exclusions, tuple(notes), flops, tuple(keys)
    )
