"""What a stage measured: tables of items x candidates, and the runs behind them.

A candidate's score on an item is the mean over its runs (seeds) and the late checkpoints of each.
All candidates are compared on the same items: an item that any run could not be scored on is left
out for every candidate, because a ranking rests on paired comparisons.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from dataselect.benchmarks.items import Exclusion
from dataselect.config.stage import Stage
from dataselect.proxies.recipe import Recipe
from dataselect.proxy_sources import MadeProxy, Point
from dataselect.proxy_sources.source import Origin
from dataselect.scoring.evaluation import METRICS, Evaluation, Measurement
from dataselect.scoring.machine_notes import Kind, scoring_note, training_note
from dataselect.scoring.masks import OWN, RULE_COLUMNS
from dataselect.scoring.measured import Measured, read
from dataselect.scoring.non_finite import NOT_FINITE, non_finite, non_finite_notes, with_models
from dataselect.scoring.pooled import POOLED
from dataselect.stages.experiment import Experiment
from dataselect.stages.jobs import Run
from dataselect.stages.proxy_origins import StageName
from dataselect.store import Store, content_key

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["scored", "diverged", "failed"]
"""What became of a run, or of a candidate in a stage."""
AUTHORS = "authors_mask_bpb"
"""The authors' own figure of marks."""
RUN_INDEX = ("candidate", "seed", "step")
"""Index levels of `StageScores.runs`: one row for each scored checkpoint."""


@dataclass(frozen=True)
class ScoredCheckpoint:
    """A checkpoint that was scored."""

    label: str
    """Its name in reports."""
    tokens: int | None
    """Tokens that it was trained on; None if unknown."""
    identity: Mapping[str, Any]
    """What identifies it in the keys of the store."""


@dataclass(frozen=True)
class ProxyFacts:
    """The proxy behind a candidate's scores: origin, size and training."""

    origin: Origin
    """Trained here, by a command, or existing checkpoints."""
    parameters: int
    """Parameters of one proxy, embeddings included."""
    tokens: int | None
    """Training tokens of each run; None where they differ or are unknown."""
    tokenizer: str
    """Hash of its tokenizer."""
    seeds: tuple[int, ...]
    """Seeds of the scored runs."""
    checkpoints: tuple[ScoredCheckpoint, ...]
    """The scored checkpoints of all runs."""


@dataclass(frozen=True)
class KeptRun:
    """A training run that has all its scores."""

    run: Run
    """The training run."""
    proxy: MadeProxy
    """The proxy that it produced."""


@dataclass(frozen=True)
class CandidateRun:
    """What happened to one candidate in one stage."""

    id: str
    """The candidate's id."""
    status: Status
    """"scored" when at least one of its runs has all its scores."""
    keys: tuple[str, ...]
    """Store keys of its training runs, failed and diverged ones included."""
    notes: tuple[str, ...] = ()
    """Remarks on runs that are left out of its mean."""
    reason: str = ""
    """Why it has no scores; empty if it has."""
    kept: tuple[KeptRun, ...] = field(default=(), repr=False)
    """The runs that its scores are means over."""
    proxy: ProxyFacts | None = None
    """Its proxy; None if it has no scores."""


@dataclass(frozen=True)
class StageScores:
    """What a stage measured on its candidates' proxies."""

    stage: StageName
    """Stage 1 or Stage 2."""
    recipe: Recipe | None
    """Size and hyperparameters of the proxies; None where none was trained here."""
    candidates: Mapping[str, CandidateRun]
    """What happened to each candidate, by id, in the manifest's order."""
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    """By benchmark and metric, items x candidates in nats per token, lower is better (`accuracy`,
    if measured: 0..1, higher is better)."""
    runs: Mapping[str, "pd.DataFrame"]
    """By benchmark, means over the same items: a row for each (candidate, seed, step), a column for
    each metric."""
    exclusions: Mapping[str, tuple[Exclusion, ...]]
    """By benchmark, the items left out for all candidates, with the reason."""
    notes: tuple[str, ...]
    """Remarks on the stage for the reader of the report."""
    flops: float
    """FLOPs of training and scoring the proxies that have scores."""
    flops_elsewhere: float
    """The part of `flops` that trained existing checkpoints, before this run."""
    keys: tuple[str, ...] = field(repr=False)
    """Store keys of all artifacts of the stage, failed ones included, to look up in the ledger."""
    costs: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """The parts of `flops` with the store key of each, to count once what two stages share."""
    trained_on: Mapping[str, Kind] = field(default_factory=dict, repr=False)
    """By run, what trained its proxy; empty for those trained elsewhere."""
    scored_on: Mapping[str, Kind] = field(default_factory=dict, repr=False)
    """By run, what scored it."""

    @property
    def machine_notes(self) -> tuple[str, ...]:
        """What the reader must know where the scores come from different kinds of machines."""
        notes = training_note(self.trained_on), scoring_note(self.scored_on)
        return tuple(f"{self.stage.label}: {note}" for note in notes if note is not None)

    @property
    def status(self) -> dict[str, Status]:
        """The status of each candidate."""
        return {name: each.status for name, each in self.candidates.items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Why each candidate without scores has none."""
        return {n: each.reason for n, each in self.candidates.items() if each.status != "scored"}

    @property
    def proxies(self) -> dict[str, ProxyFacts]:
        """The proxy of each candidate with scores."""
        return {name: c.proxy for name, c in self.candidates.items() if c.proxy is not None}

    @property
    def scored(self) -> list[str]:
        """Candidates with scores, in the manifest's order."""
        return [name for name, each in self.candidates.items() if each.status == "scored"]

    @property
    def parameters(self) -> int | None:
        """Parameters of each proxy of the stage; None where they differ."""
        return _shared([proxy.parameters for proxy in self.proxies.values()])

    @property
    def tokens(self) -> int | None:
        """Training tokens of each proxy; None where they differ or are unknown."""
        return _shared([proxy.tokens for proxy in self.proxies.values()])

    @property
    def tokenizer(self) -> str | None:
        """Hash of the proxies' tokenizer; None where they differ."""
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
    """The stage's tables, read from the store for the scored runs of each candidate."""
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    means: dict[str, pd.DataFrame] = {}
    exclusions: dict[str, tuple[Exclusion, ...]] = {}
    remarks = dict.fromkeys([*(n for each in candidates.values() for n in each.notes), *notes])
    keys = [key for each in candidates.values() for key in each.keys]
    scored = [kept for each in candidates.values() for kept in each.kept]
    costs = [
        (content_key(kept.run.source.kind, kept.run.source.spec), kept.proxy.training_flops)
        for kept in scored
    ]
    elsewhere = sum(
        kept.proxy.training_flops for kept in scored if kept.run.source.origin == "checkpoints"
    )
    points = _points(candidates)
    scored_on: dict[str, Kind] = {}
    for benchmark in experiment.plan.benchmarks_of(chosen):
        evaluation = experiment.evaluations[benchmark.id]
        scores = _measured(experiment.store, evaluation, "scores", points)
        costs += [
            (evaluation.keys(points[index].checkpoint, "scores")[0], measured.flops)
            for index, measured in scores.items()
        ]
        for (name, seed, _), measured in scores.items():
            of_run = _name(candidates[name], seed)
            scored_on[of_run] = (*scored_on.get(of_run, ()), *measured.machines)
        for point in points.values():
            keys += evaluation.keys(point.checkpoint, "scores")
            keys += evaluation.keys(point.checkpoint, "graded")
        columns = {metric: items_by_checkpoint(scores, metric) for metric in METRICS}
        excluded = [(index[0], each.exclusions) for index, each in scores.items()]
        if chosen.accuracy:
            graded = _measured(experiment.store, evaluation, "graded", points)
            columns["accuracy"] = items_by_checkpoint(graded, "correct").astype(float)
            # An item without a finite value is left out of the likelihoods as well.
            excluded += _only_non_finite(graded)
        if chosen.masks:
            masks = _measured(experiment.store, evaluation, "masks", points)
            costs += [
                (evaluation.keys(points[index].checkpoint, "masks")[0], measured.flops)
                for index, measured in masks.items()
            ]
            keys += [key for p in points.values() for key in evaluation.keys(p.checkpoint, "masks")]
            columns |= _mask_tables(masks, columns["rbridge"])
            excluded += _only_non_finite(masks)
        broken = {item for _, exclusions in excluded for item in non_finite(exclusions)}
        columns = {name: table[~table.index.isin(broken)] for name, table in columns.items()}
        tables[benchmark.id] = {
            metric: over_checkpoints(table) for metric, table in columns.items()
        }
        means[benchmark.id] = _run_means(columns)
        remarks |= dict.fromkeys(f"{benchmark.id}: {n}" for m in scores.values() for n in m.notes)
        remarks |= dict.fromkeys(
            f"{name}: {note}" for (name, *_), m in scores.items() for note in m.model_notes
        )
        left_out = with_models(excluded)
        exclusions[benchmark.id] = tuple(dict.fromkeys([*evaluation.left_out, *left_out]))
        remarks |= dict.fromkeys(f"{benchmark.id}: {n}" for n in non_finite_notes(left_out))
    tables, means = _on_all_benchmarks(tables, means)
    here = any(kept.run.source.origin == "trained here" for kept in scored)
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
        notes=tuple(remarks),
        flops=sum(cost for _, cost in costs),
        flops_elsewhere=elsewhere,
        keys=tuple(keys),
        costs=tuple(costs),
        trained_on={
            _name(each, kept.run.source.seed): kept.proxy.trained_on
            for each in candidates.values()
            for kept in each.kept
        },
        scored_on=scored_on,
    )


def _name(candidate: CandidateRun, seed: int) -> str:
    """A run's name in notes: its seed is told where the candidate has several runs."""
    return f"{candidate.id} seed {seed}" if len(candidate.keys) > 1 else candidate.id


_Index = tuple[str, int, int]
"""Candidate, seed and step."""
_Points = Mapping[_Index, Point]
_Exclusions = tuple[Exclusion, ...]


def _points(candidates: Mapping[str, CandidateRun]) -> _Points:
    """The checkpoints of all scored runs, by candidate, seed and step."""
    return {
        (name, kept.run.source.seed, point.step): point
        for name, candidate in candidates.items()
        for kept in candidate.kept
        for point in kept.proxy.points
    }


def _measured(
    store: Store, evaluation: Evaluation, measurement: Measurement, points: _Points
) -> dict[tuple[str, int, int], Measured]:
    """One measurement of each checkpoint, by candidate, seed and step."""
    return {
        index: read(store, point.checkpoint, evaluation, measurement)
        for index, point in points.items()
    }


def items_by_checkpoint(
    measured: Mapping[tuple[str, int, int], Measured], metric: str
) -> "pd.DataFrame":
    """Items x checkpoints, on the items that all of them have."""
    import pandas as pd

    columns = {index: each.by_item[metric] for index, each in measured.items()}
    return pd.concat(columns, axis=1, join="inner", names=list(RUN_INDEX))


def _only_non_finite(measured: Mapping[_Index, Measured]) -> list[tuple[str, _Exclusions]]:
    """The exclusions of items without a finite value, with their candidates."""
    bad = {index: non_finite(each.exclusions) for index, each in measured.items()}
    return [(i[0], tuple(Exclusion(item, NOT_FINITE) for item in bad[i])) for i in bad]


def _mask_tables(
    measured: Mapping[_Index, Measured], scores: "pd.DataFrame"
) -> dict[str, "pd.DataFrame"]:
    """Items x checkpoints of each score of marks, on those items of `scores` that have one.

    The mean over items of `authors_mask_bpb` is the authors' figure: sums divided by sums, of
    which every checkpoint has the same divisor.
    """
    found = {}
    for name in (OWN, *RULE_COLUMNS):
        if all(name in each.table for each in measured.values()):
            found[name] = items_by_checkpoint(measured, name)
    above, below = POOLED[AUTHORS].above, POOLED[AUTHORS].below
    if all(above in each.table for each in measured.values()):
        nats, size = items_by_checkpoint(measured, above), items_by_checkpoint(measured, below)
        known = nats.index[nats.index.isin(scores.index) & nats.notna().all(axis=1)]
        nats, size = nats.loc[known], size.loc[known]
        found[AUTHORS] = nats / (size.mean() * math.log(2))
    tables = {
        name: table[table.index.isin(scores.index)].dropna().astype(float)
        for name, table in found.items()
    }
    return {name: table for name, table in tables.items() if len(table)}


def _on_all_benchmarks(
    tables: Mapping[str, Mapping[str, "pd.DataFrame"]], means: Mapping[str, "pd.DataFrame"]
) -> tuple[dict[str, dict[str, "pd.DataFrame"]], dict[str, "pd.DataFrame"]]:
    """Without the metrics that some benchmark lacks, since aggregates are over all of them."""
    shared = [
        metric
        for metric in next(iter(tables.values()), {})
        if all(metric in by_metric for by_metric in tables.values())
    ]
    return (
        {name: {metric: each[metric] for metric in shared} for name, each in tables.items()},
        {name: table[shared] for name, table in means.items()},
    )


def over_checkpoints(table: "pd.DataFrame") -> "pd.DataFrame":
    """Items x candidates: the mean over each candidate's checkpoints."""
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
