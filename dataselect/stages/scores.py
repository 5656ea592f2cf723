"""What a stage measured: tables of items x candidates, and the runs behind each figure.

A candidate's score on an item is the mean over its runs: seeds, and late checkpoints of each. All
candidates are compared on the same items: one that any run could not be scored on is left out for
every candidate, since paired comparisons are all that a ranking rests on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from dataselect.benchmarks.items import Exclusion
from dataselect.config.plan import Stage
from dataselect.proxies.recipe import Recipe
from dataselect.proxy_sources import MadeProxy, Point
from dataselect.proxy_sources.source import Origin
from dataselect.scoring.evaluate import METRICS, Evaluation, Measured, Measurement, find
from dataselect.stages.experiment import Experiment
from dataselect.stages.jobs import Run
from dataselect.stages.proxy_origins import StageName
from dataselect.store import Store

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["scored", "diverged", "failed"]
"""What became of a run, or of a candidate in a stage."""
RUN_INDEX = ("candidate", "seed", "step")


@dataclass(frozen=True)
class ScoredCheckpoint:
    """A checkpoint that was scored."""

    label: str
    """What people call it."""
    tokens: int | None
    """How many it was trained on; None where nobody said."""
    identity: Mapping[str, Any]
    """What its key in the store is made of."""


@dataclass(frozen=True)
class ProxyFacts:
    """What a candidate's proxy is."""

    origin: Origin
    """Trained here, by a command, or given as checkpoints."""
    parameters: int
    """Of one proxy, embeddings included."""
    tokens: int | None
    """Of each run; None where they differ or nobody said."""
    tokenizer: str
    """Hash of its tokenizer."""
    seeds: tuple[int, ...]
    """Of the runs that were kept."""
    checkpoints: tuple[ScoredCheckpoint, ...]
    """Those scored, of all runs."""


@dataclass(frozen=True)
class KeptRun:
    """A training run that has all its scores, and the proxy that it left."""

    run: Run
    proxy: MadeProxy


@dataclass(frozen=True)
class CandidateRun:
    """What happened to one candidate in one stage."""

    id: str
    """The candidate's."""
    status: Status
    """Scored where at least one of its runs has all its scores."""
    keys: tuple[str, ...]
    """Of its runs' artifacts, those that never came to be included."""
    notes: tuple[str, ...] = ()
    """On runs that are left out of its mean."""
    reason: str = ""
    """Why it has no scores; empty where it has."""
    kept: tuple[KeptRun, ...] = field(default=(), repr=False)
    """The runs behind its scores."""
    proxy: ProxyFacts | None = None
    """What its proxy is; None where it has no scores."""


@dataclass(frozen=True)
class StageScores:
    """What a stage measured."""

    stage: StageName
    recipe: Recipe | None
    """The training run; None where no proxy was trained here."""
    candidates: Mapping[str, CandidateRun]
    """What happened to each candidate, by id, in the manifest's order."""
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    """By benchmark and metric, items x candidates in nats per token, lower is better (`accuracy`,
    where it was measured: 0..1, higher is better)."""
    runs: Mapping[str, "pd.DataFrame"]
    """By benchmark, means over the same items: a row for (candidate, seed, step), a column for
    each metric."""
    exclusions: Mapping[str, tuple[Exclusion, ...]]
    """By benchmark, the items that no candidate is compared on."""
    notes: tuple[str, ...]
    """What people should know of the stage."""
    flops: float
    """Training and scoring of the proxies that were kept."""
    flops_elsewhere: float
    """The part of `flops` that went into checkpoints that were given."""
    keys: tuple[str, ...] = field(repr=False)
    """Of all artifacts behind it, those that never came to be included, for the ledger."""

    @property
    def status(self) -> dict[str, Status]:
        """What became of each candidate."""
        return {name: each.status for name, each in self.candidates.items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Why candidates have no scores, by those that have none."""
        return {n: each.reason for n, each in self.candidates.items() if each.status != "scored"}

    @property
    def proxies(self) -> dict[str, ProxyFacts]:
        """The proxy of each candidate that has scores."""
        return {name: c.proxy for name, c in self.candidates.items() if c.proxy is not None}

    @property
    def scored(self) -> list[str]:
        """Candidates that have scores, in the manifest's order."""
        return [name for name, each in self.candidates.items() if each.status == "scored"]

    @property
    def parameters(self) -> int | None:
        """Of every proxy of the stage; None where they differ."""
        return _shared([proxy.parameters for proxy in self.proxies.values()])

    @property
    def tokens(self) -> int | None:
        """That every proxy was trained on; None where they differ or nobody said."""
        return _shared([proxy.tokens for proxy in self.proxies.values()])

    @property
    def tokenizer(self) -> str | None:
        """Hash of every proxy's tokenizer; None where they differ."""
        hashes = {proxy.tokenizer for proxy in self.proxies.values()}
        return hashes.pop() if len(hashes) == 1 else None

    def table(self, metric: str) -> dict[str, "pd.DataFrame"]:
        """Items x candidates of one metric, by benchmark."""
        return {name: metrics[metric] for name, metrics in self.tables.items()}


def _shared(counts: Sequence[int | None]) -> int | None:
    return counts[0] if len(set(counts)) == 1 else None


def collect(
    experiment: Experiment,
    stage: StageName,
    chosen: Stage,
    candidates: Mapping[str, CandidateRun],
    notes: Sequence[str],
) -> StageScores:
    """Read what was measured on the runs that are kept of each candidate."""
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    means: dict[str, pd.DataFrame] = {}
    exclusions: dict[str, tuple[Exclusion, ...]] = {}
    told = dict.fromkeys([*(n for each in candidates.values() for n in each.notes), *notes])
    keys = [key for each in candidates.values() for key in each.keys]
    every = [kept for each in candidates.values() for kept in each.kept]
    flops = sum(kept.proxy.training_flops for kept in every)
    elsewhere = sum(
        kept.proxy.training_flops for kept in every if kept.run.source.origin == "checkpoints"
    )
    points = _points(candidates)
    for benchmark in experiment.plan.benchmarks_of(chosen):
        evaluation = experiment.evaluations[benchmark.id]
        scores = _measured(experiment.store, evaluation, "scores", points)
        flops += sum(measured.flops for measured in scores.values())
        for point in points.values():
            keys += evaluation.keys(point.checkpoint, "scores")
            keys += evaluation.keys(point.checkpoint, "graded")
        columns = {metric: _table(scores, metric) for metric in METRICS}
        if chosen.accuracy:
            graded = _measured(experiment.store, evaluation, "graded", points)
            columns["accuracy"] = _table(graded, "correct").astype(float)
        tables[benchmark.id] = {metric: _over_runs(table) for metric, table in columns.items()}
        means[benchmark.id] = _run_means(columns)
        told |= dict.fromkeys(f"{benchmark.id}: {n}" for m in scores.values() for n in m.notes)
        left_out = [*evaluation.left_out, *(e for m in scores.values() for e in m.exclusions)]
        exclusions[benchmark.id] = tuple(dict.fromkeys(left_out))
    here = any(kept.run.source.origin == "trained here" for kept in every)
    return StageScores(
        stage=stage,
        recipe=experiment.recipes[stage] if here else None,
        candidates={
            name: replace(each, proxy=_facts(each.kept)) if each.kept else each
            for name, each in candidates.items()
        },
        tables=tables,
        runs=means,
        exclusions=exclusions,
        notes=tuple(told),
        flops=flops,
        flops_elsewhere=elsewhere,
        keys=tuple(keys),
    )


_Points = Mapping[tuple[str, int, int], Point]


def _points(candidates: Mapping[str, CandidateRun]) -> _Points:
    """Every checkpoint that counts, by candidate, seed and step."""
    return {
        (name, kept.run.source.seed, point.step): point
        for name, candidate in candidates.items()
        for kept in candidate.kept
        for point in kept.proxy.points
    }


def _measured(
    store: Store, evaluation: Evaluation, measurement: Measurement, points: _Points
) -> dict[tuple[str, int, int], Measured]:
    found = {}
    for index, point in points.items():
        measured = find(store, point.checkpoint, evaluation, measurement)
        assert measured is not None, "only runs that were scored are collected"
        found[index] = measured
    return found


def _table(measured: Mapping[tuple[str, int, int], Measured], metric: str) -> "pd.DataFrame":
    """Items x runs, on the items that all of them have."""
    import pandas as pd

    columns = {index: each.table.set_index("item")[metric] for index, each in measured.items()}
    return pd.concat(columns, axis=1, join="inner", names=list(RUN_INDEX))


def _over_runs(table: "pd.DataFrame") -> "pd.DataFrame":
    """Items x candidates: the mean over each candidate's runs."""
    mean = table.T.groupby(level="candidate", sort=False).mean().T
    mean.columns.name = None
    return mean


def _run_means(columns: Mapping[str, "pd.DataFrame"]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({metric: table.mean() for metric, table in columns.items()})


def _facts(kept: Sequence[KeptRun]) -> ProxyFacts:
    first = kept[0]
    return ProxyFacts(
        origin=first.run.source.origin,
        parameters=first.proxy.parameters,
        tokens=_shared([each.proxy.tokens for each in kept]),
        tokenizer=first.proxy.tokenizer,
        seeds=tuple(each.run.source.seed for each in kept),
        checkpoints=tuple(
            ScoredCheckpoint(point.label, point.tokens, point.checkpoint.identity)
            for each in kept
            for point in each.proxy.points
        ),
    )
