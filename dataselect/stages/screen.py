"""Stage 1: a tiny proxy for each candidate, ranked by rBridge on easy benchmarks, and pruned.

The paper's experiment (i) and the first stage of its section 5: at this scale accuracies are
noise, but rBridge orders candidates well enough to drop the bad ones. Later stages that prune do
the same with larger proxies or more seeds, on the survivors of the stage before. Each ranks by its
own scores alone: proxies of different sizes are never pooled.

The ranking's probabilities account for the choice of items, for seeds and for the gap between proxy
and target scale. The signal to noise of each benchmark is given beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from dataselect.config.stage import Screen
from dataselect.cost import training_flops
from dataselect.decisions.ablation import Ablation, ablation
from dataselect.decisions.discrepancy import UNKNOWN, Gap, gap_for
from dataselect.decisions.measured_gap import measured_gap
from dataselect.decisions.pruning import PruningRule, Reason, survivors
from dataselect.decisions.ranking import Method, Ranking, bootstrap_rank, observed_scores
from dataselect.decisions.score_units import (
    spread_before,
    spread_without_selection,
    units_of_survivors,
)
from dataselect.decisions.signal_to_noise import SignalToNoise, signal_to_noise
from dataselect.decisions.uncertainty import Uncertainty, with_uncertainty
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName, step_title
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage
from dataselect.stages.work import RankedRow, StageRanking

if TYPE_CHECKING:
    import pandas as pd


RANKED_BY = "rbridge"
"""The metric by which candidates are ranked."""


@dataclass(frozen=True)
class Screening:
    """The result of Stage 1, or of a later stage that prunes: scores, ranking and survivors."""

    scores: StageScores
    """What was measured on the candidates' proxies."""
    ranking: Ranking
    """Candidates ranked by rBridge."""
    survivors: tuple[str, ...]
    """Candidates that go on to the next stage, in the ranking's order."""
    uncertainty: Uncertainty | None = None
    """The noise of seeds and the scale gap that the ranking's probabilities include, besides the
    bootstrap over items; None where none was added."""
    noise: Mapping[str, SignalToNoise] = field(default_factory=dict)
    """Signal to noise of the rBridge scores, by benchmark."""
    kept_by: Mapping[str, Reason] = field(default_factory=dict)
    """The part of the pruning rule that kept each survivor."""

    def by_metric(self) -> dict[str, "pd.Series"]:
        """The aggregate score by candidate for each metric; lower is better."""
        metrics = next(iter(self.scores.tables.values()))
        method = self.ranking.method
        return {metric: aggregate_metric(self.scores, metric, method) for metric in metrics}


def aggregate_metric(scores: StageScores, metric: str, method: Method = "z_score") -> "pd.Series":
    """A metric's aggregate over the benchmarks; lower is better, so accuracy is negated."""
    sign = -1 if metric == "accuracy" else 1
    tables = {name: sign * table for name, table in scores.table(metric).items()}
    return observed_scores(tables, method)


def screen(
    experiment: Experiment,
    stage: StageName,
    chosen: Screen,
    candidates: Sequence[str],
    before: Sequence[Screening] = (),
    counted: "pd.Series | None" = None,
) -> Screening:
    """Train, score, rank and prune. Raises IncompleteError when no candidate could be scored.

    `before` are the stages before this one. The first of them has the most candidates: it gives the
    unit of the scores and the spread that the gap to the target is measured in. The last decides
    between equal scores. `counted` are the scores by which Stage 0 selected Stage 1's candidates.
    """
    plan = experiment.plan
    experiment.watch.step(step_title(plan, stage))
    scores = run_stage(experiment, stage, chosen, candidates)
    tables = scores.table(RANKED_BY)
    earlier = before[0].scores.table(RANKED_BY) if before else {}
    ranking = bootstrap_rank(
        tables,
        chosen.aggregate,
        k=min(chosen.keep, len(scores.scored)),
        bootstrap=experiment.bootstrap,
        units=units_of_survivors(tables, earlier) if before else None,
        before=list(before[-1].ranking.table.index) if before else (),
    )
    spread = None
    if before and ranking.units is not None:
        spread = spread_before(tables, earlier, ranking.units)
    elif counted is not None:
        spread = spread_without_selection(ranking.table["score"], counted)
    runs = {name: table[RANKED_BY] for name, table in scores.runs.items()}
    gap = gap_of(experiment, stage, chosen, scores, RANKED_BY)
    ranking, uncertainty = with_uncertainty(ranking, runs, gap, plan.seed, spread)
    rule = PruningRule(chosen.keep, chosen.min_probability, chosen.keep_at_most)
    kept_by = survivors(ranking, rule)
    noise = {name: signal_to_noise(values, plan.confidence) for name, values in runs.items()}
    screening = Screening(scores, ranking, tuple(kept_by), uncertainty, noise, kept_by)
    if stage.number < len(plan.stages):
        # Shown and written now: the next stage may take long, or fail.
        experiment.watch.tell(stage_ranking(screening))
    return screening


def stage_ranking(screening: Screening) -> StageRanking:
    """The ranking of a stage, for those who watch the run."""
    ranking, scores = screening.ranking, screening.scores
    rows = []
    for name, row in ranking.table.to_dict("index").items():
        score, low, high, chance = (float(row[k]) for k in ("score", "low", "high", "p_top_k"))
        goes_on = name in screening.survivors
        rows.append(RankedRow(str(name), int(row["rank"]), score, low, high, chance, goes_on))
    return StageRanking(scores.stage, scores.stage.label, ranking.k, tuple(rows), scores.reasons)


def gap_of(
    experiment: Experiment, stage: StageName, chosen: Screen, scores: StageScores, metric: str
) -> Gap | None:
    """The gap of a metric of the proxies, as the stage names it.

    The plan's own measurement is of the metric that candidates are ranked by. None if the stage has
    no gap, or if that of published proxies is meant and the FLOPs of these are not known.
    """
    target = experiment.manifest.target
    if chosen.discrepancy == "none":
        return None
    size, tokens = scores.parameters, scores.tokens
    target_flops = training_flops(target.size, target.total_tokens)
    published = None
    if size is not None and tokens is not None:
        published = gap_for(metric).gap(training_flops(size, tokens), target_flops)
    own = experiment.agreements.get(stage)
    if own is None or metric != RANKED_BY:
        return published
    known = UNKNOWN.gap(0.0, target_flops) if published is None else published
    return measured_gap(own, known, size, target.size)


def ablate(
    experiment: Experiment,
    screening: Screening,
    truth: Mapping[str, float] | None,
    others: Mapping[str, "Mapping[str, pd.DataFrame]"] = MappingProxyType({}),
) -> Ablation:
    """Stage 1's rankings by every metric that was measured, compared with the one by rBridge.

    `others` are more scores of the same items and candidates, by name and benchmark.
    """
    tables = screening.scores.tables
    # Two metrics are compared on the same draws of items, so one that lacks items is left out.
    measured = [
        metric
        for metric in next(iter(tables.values()))
        if all(len(each[metric]) == len(each[RANKED_BY]) for each in tables.values())
    ]
    compared = {
        metric: {
            name: -by_metric[metric] if metric == "accuracy" else by_metric[metric]
            for name, by_metric in tables.items()
        }
        for metric in measured
    } | dict(others)
    stage, chosen = StageName.SCREEN, experiment.plan.screen
    gaps = {
        metric: gap_of(experiment, stage, chosen, screening.scores, metric) for metric in compared
    }
    known = screening.uncertainty
    return ablation(
        compared,
        screening.ranking.method,
        target=truth,
        bootstrap=experiment.bootstrap,
        gaps={metric: gap for metric, gap in gaps.items() if gap is not None},
        seeds=1 if known is None else known.seeds,
    )
