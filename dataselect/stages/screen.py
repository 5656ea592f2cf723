"""Stage 1: a tiny proxy for every candidate, ranked on easy benchmarks, the best kept.

The paper's experiment (i) and the first stage of its section 5: at this scale accuracies are
noise, but rBridge already orders candidates well enough to leave the bad ones behind.

The ranking's probabilities know what other items, other seeds and another scale might have shown;
what each benchmark is worth is said beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataselect.cost import training_flops
from dataselect.decisions.ablation import Ablation, ablation
from dataselect.decisions.discrepancy import PUBLIC, Gap
from dataselect.decisions.pruning import KeepRule, Reason, kept
from dataselect.decisions.ranking import Method, Ranking, aggregate, bootstrap_rank
from dataselect.decisions.signal_to_noise import SignalToNoise, signal_to_noise
from dataselect.decisions.uncertainty import Uncertainty, with_uncertainty
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import StageScores
from dataselect.stages.stage import run_stage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Screening:
    """Stage 1's scores, its ranking by rBridge, and who goes on.

    `uncertainty` is what the ranking's probabilities know besides the items; `noise` is by
    benchmark; `kept_by` says of each survivor which part of the rule kept it.
    """

    scores: StageScores
    ranking: Ranking
    survivors: tuple[str, ...]
    uncertainty: Uncertainty | None = None
    noise: Mapping[str, SignalToNoise] = field(default_factory=dict)
    kept_by: Mapping[str, Reason] = field(default_factory=dict)

    def by_metric(self) -> dict[str, "pd.Series"]:
        """Each metric's own aggregate by candidate, lower is better, for comparison."""
        metrics = next(iter(self.scores.tables.values()))
        method = self.ranking.method
        return {metric: aggregate_metric(self.scores, metric, method) for metric in metrics}


def aggregate_metric(scores: StageScores, metric: str, method: Method = "z_score") -> "pd.Series":
    """A metric's aggregate over the benchmarks; lower is better, so accuracy is negated."""
    import pandas as pd

    sign = -1 if metric == "accuracy" else 1
    means = {name: sign * table.mean() for name, table in scores.table(metric).items()}
    return aggregate(pd.DataFrame(means), method)


def screen(experiment: Experiment) -> Screening:
    """Train, score, rank and prune. Raises IncompleteError when no proxy came through."""
    plan = experiment.plan
    chosen = plan.screen
    experiment.watch.step("Stage 1: screen")
    names = [candidate.id for candidate in experiment.manifest.candidates]
    scores = run_stage(experiment, StageName.SCREEN, chosen, names)
    ranking = bootstrap_rank(
        scores.table("rbridge"),
        chosen.aggregate,
        k=min(chosen.keep, len(scores.scored)),
        bootstrap=experiment.bootstrap,
    )
    runs = {name: table["rbridge"] for name, table in scores.runs.items()}
    ranking, uncertainty = with_uncertainty(ranking, runs, _gap(experiment, scores), plan.seed)
    rule = KeepRule(chosen.keep, chosen.min_probability, chosen.keep_at_most)
    going = kept(ranking, rule)
    noise = {name: signal_to_noise(each, plan.confidence) for name, each in runs.items()}
    return Screening(scores, ranking, tuple(going), uncertainty, noise, going)


def _gap(experiment: Experiment, scores: StageScores) -> Gap | None:
    """That of published proxies, unless the plan wants none or nobody knows the proxies' FLOPs."""
    size, tokens = scores.parameters, scores.tokens
    if experiment.plan.screen.discrepancy == "none" or size is None or tokens is None:
        return None
    target = experiment.manifest.target
    target_flops = training_flops(target.size, target.total_tokens)
    return PUBLIC.gap(training_flops(size, tokens), target_flops)


def ablate(
    experiment: Experiment, screening: Screening, truth: Mapping[str, float] | None
) -> Ablation:
    """Stage 1's ranking by every metric that was measured, beside the one by rBridge."""
    tables = screening.scores.tables
    measured = next(iter(tables.values()))
    return ablation(
        {
            metric: {
                name: -by_metric[metric] if metric == "accuracy" else by_metric[metric]
                for name, by_metric in tables.items()
            }
            for metric in measured
        },
        screening.ranking.method,
        target=truth,
        bootstrap=experiment.bootstrap,
    )
