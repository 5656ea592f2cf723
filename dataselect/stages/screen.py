"""Stage 1: a tiny proxy for each candidate, ranked by rBridge on easy benchmarks, and pruned.

The paper's experiment (i) and the first stage of its section 5: at this scale accuracies are
noise, but rBridge orders candidates well enough to drop the bad ones.

The ranking's probabilities account for the choice of items, for seeds and for the gap between proxy
and target scale. The signal to noise of each benchmark is given beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from dataselect.cost import training_flops
from dataselect.decisions.ablation import Ablation, ablation
from dataselect.decisions.discrepancy import UNKNOWN, Gap, gap_for
from dataselect.decisions.measured_gap import measured_gap
from dataselect.decisions.pruning import PruningRule, Reason, survivors
from dataselect.decisions.ranking import Method, Ranking, bootstrap_rank, observed_scores
from dataselect.decisions.signal_to_noise import SignalToNoise, signal_to_noise
from dataselect.decisions.uncertainty import Uncertainty, with_uncertainty
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage

if TYPE_CHECKING:
    import pandas as pd


RANKED_BY = "rbridge"
"""The metric by which candidates are ranked."""


@dataclass(frozen=True)
class Screening:
    """The result of Stage 1: scores, their ranking and the survivors."""

    scores: StageScores
    """What was measured on the candidates' proxies."""
    ranking: Ranking
    """Candidates ranked by rBridge."""
    survivors: tuple[str, ...]
    """Candidates that go on to Stage 2, in the ranking's order."""
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


def screen(experiment: Experiment) -> Screening:
    """Train, score, rank and prune. Raises IncompleteError when no candidate could be scored."""
    plan = experiment.plan
    chosen = plan.screen
    experiment.watch.step("Stage 1: screen")
    names = [candidate.id for candidate in experiment.manifest.candidates]
    scores = run_stage(experiment, StageName.SCREEN, chosen, names)
    ranking = bootstrap_rank(
        scores.table(RANKED_BY),
        chosen.aggregate,
        k=min(chosen.keep, len(scores.scored)),
        bootstrap=experiment.bootstrap,
    )
    runs = {name: table[RANKED_BY] for name, table in scores.runs.items()}
    ranking, uncertainty = with_uncertainty(
        ranking, runs, gap_of(experiment, scores, RANKED_BY), plan.seed
    )
    rule = PruningRule(chosen.keep, chosen.min_probability, chosen.keep_at_most)
    kept_by = survivors(ranking, rule)
    noise = {name: signal_to_noise(values, plan.confidence) for name, values in runs.items()}
    return Screening(scores, ranking, tuple(kept_by), uncertainty, noise, kept_by)


def gap_of(experiment: Experiment, scores: StageScores, metric: str) -> Gap | None:
    """The gap of a metric of the proxies, as the plan names it.

    The plan's own measurement is of the metric that candidates are ranked by. None if the plan has
    no gap, or if that of published proxies is meant and the FLOPs of these are not known.
    """
    plan, target = experiment.plan, experiment.manifest.target
    if plan.screen.discrepancy == "none":
        return None
    size, tokens = scores.parameters, scores.tokens
    target_flops = training_flops(target.size, target.total_tokens)
    published = None
    if size is not None and tokens is not None:
        published = gap_for(metric).gap(training_flops(size, tokens), target_flops)
    own = experiment.agreement
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
    compared = {
        metric: {
            name: -by_metric[metric] if metric == "accuracy" else by_metric[metric]
            for name, by_metric in tables.items()
        }
        for metric in next(iter(tables.values()))
    } | dict(others)
    gaps = {metric: gap_of(experiment, screening.scores, metric) for metric in compared}
    known = screening.uncertainty
    return ablation(
        compared,
        screening.ranking.method,
        target=truth,
        bootstrap=experiment.bootstrap,
        gaps={metric: gap for metric, gap in gaps.items() if gap is not None},
        seeds=1 if known is None else known.seeds,
    )
