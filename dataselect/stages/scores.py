"""What a stage measured: tables of items x candidates, and the runs behind each figure.

A candidate's score on an item is the mean over its runs: seeds, and late checkpoints of each. All
candidates are compared on the same items: one that any run could not be scored on is left out for
every candidate, since paired comparisons are all that a ranking rests on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from dataselect.store import Store, content_key

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["scored", "diverged", "failed"]
RUN_INDEX = ("candidate", "seed", "step")


@dataclass(frozen=True)
class ProxyFacts:
    """What a candidate's proxy is; `checkpoints` are those scored, of all runs."""

    origin: Origin
    parameters: int
    tokens: int | None
    tokenizer: str
    seeds: tuple[int, ...]
    checkpoints: tuple["ScoredCheckpoint", ...]


@dataclass(frozen=True)
class ScoredCheckpoint:
    """What people call a checkpoint, how far it was trained, and what it is known by."""

    label: str
    tokens: int | None
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class StageScores:
    """What a stage measured.

    `tables`: for each benchmark and metric, items x candidates, lower is better (`accuracy`,
    where it was measured: higher). `runs`: for each benchmark the means over the same items of each
    checkpoint that counts, a row for (candidate, seed, step) and a column for each metric. `recipe`
    is there when a proxy was trained here. `flops`: training and scoring of the proxies that were
    kept, of which `flops_elsewhere` went into checkpoints that were given.
    """

    stage: StageName
    recipe: Recipe | None
    proxies: Mapping[str, ProxyFacts]
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    runs: Mapping[str, "pd.DataFrame"]
    status: Mapping[str, Status]
    reasons: Mapping[str, str]
    exclusions: Mapping[str, tuple[Exclusion, ...]]
    notes: tuple[str, ...]
    flops: float
    flops_elsewhere: float
    keys: tuple[str, ...] = field(repr=False)
    """Keys of all artifacts behind it, those that never came to be included, for the ledger."""

    @property
    def scored(self) -> list[str]:
        """Candidates that have scores, in the manifest's order."""
        return [name for name, status in self.status.items() if status == "scored"]

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


def _shared(figures: Sequence[int | None]) -> int | None:
    return figures[0] if len(set(figures)) == 1 else None


def collect(
    experiment: Experiment,
    stage: StageName,
    chosen: Stage,
    kept: Mapping[str, Sequence[tuple[Run, MadeProxy]]],
    status: Mapping[str, Status],
    reasons: Mapping[str, str],
    notes: Sequence[str],
    keys: Sequence[str],
) -> StageScores:
    """Read what was measured on the runs that are `kept` of each candidate."""
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    means: dict[str, pd.DataFrame] = {}
    exclusions: dict[str, tuple[Exclusion, ...]] = {}
    told, all_keys = dict.fromkeys(notes), list(keys)
    every = [each for runs in kept.values() for each in runs]
    flops = sum(made.training_flops for _, made in every)
    elsewhere = sum(
        made.training_flops for run, made in every if run.source.origin == "checkpoints"
    )
    points = _points(kept)
    for benchmark in experiment.plan.benchmarks_of(chosen):
        evaluation = experiment.evaluations[benchmark.id]
        scores = _measured(experiment.store, evaluation, "scores", points)
        flops += sum(measured.flops for measured in scores.values())
        for point in points.values():
            all_keys += evaluation.keys(point.checkpoint, "scores")
            all_keys += evaluation.keys(point.checkpoint, "graded")
        columns = {metric: _table(scores, metric) for metric in METRICS}
        if chosen.accuracy:
            graded = _measured(experiment.store, evaluation, "graded", points)
            columns["accuracy"] = _table(graded, "correct").astype(float)
        tables[benchmark.id] = {metric: _over_runs(table) for metric, table in columns.items()}
        means[benchmark.id] = _run_means(columns)
        told |= dict.fromkeys(f"{benchmark.id}: {n}" for m in scores.values() for n in m.notes)
        left_out = [*evaluation.left_out, *(e for m in scores.values() for e in m.exclusions)]
        exclusions[benchmark.id] = tuple(dict.fromkeys(left_out))
    here = any(run.source.origin == "trained here" for run, _ in every)
    return StageScores(
        stage=stage,
        recipe=experiment.recipes[stage] if here else None,
        proxies={name: _facts(runs) for name, runs in kept.items()},
        tables=tables,
        runs=means,
        status=status,
        reasons=reasons,
        exclusions=exclusions,
        notes=tuple(told),
        flops=flops,
        flops_elsewhere=elsewhere,
        keys=tuple(all_keys),
    )


_Points = Mapping[tuple[str, int, int], Point]


def _points(kept: Mapping[str, Sequence[tuple[Run, MadeProxy]]]) -> _Points:
    """Every checkpoint that counts, by candidate, seed and step."""
    return {
        (name, run.source.seed, point.step): point
        for name, runs in kept.items()
        for run, made in runs
        for point in made.points
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


def _facts(runs: Sequence[tuple[Run, MadeProxy]]) -> ProxyFacts:
    run, made = runs[0]
    return ProxyFacts(
        origin=run.source.origin,
        parameters=made.parameters,
        tokens=_shared([each.tokens for _, each in runs]),
        tokenizer=made.tokenizer,
        seeds=tuple(run.source.seed for run, _ in runs),
        checkpoints=tuple(
            ScoredCheckpoint(point.label, point.tokens, point.checkpoint.identity)
            for _, each in runs
            for point in each.points
        ),
    )


def artifact_keys(runs: Sequence[Run]) -> list[str]:
    """Keys of what the runs leave: failed and diverged training was paid for as well."""
    return [content_key(run.source.kind, run.source.spec) for run in runs]
