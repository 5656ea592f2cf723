"""Stage 1: a tiny proxy for every candidate, ranked on easy benchmarks, the best kept.

The paper's experiment (i) and the first stage of its section 5: at this scale accuracies are
noise, but rBridge already orders candidates well enough to leave the bad ones behind.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataselect.ranking import Method, Ranking, aggregate, bootstrap_rank
from dataselect.stage import Experiment, StageScores, run_stage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Screening:
    """Stage 1's scores, its ranking by rBridge, and who goes on."""

    scores: StageScores
    ranking: Ranking
    survivors: tuple[str, ...]

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
    scores = run_stage(experiment, "stage1", chosen, names)
    ranking = bootstrap_rank(
        scores.table("rbridge"),
        chosen.aggregate,
        k=min(chosen.keep, len(scores.scored)),
        draws=plan.bootstrap_draws,
        seed=plan.seed,
        confidence=plan.confidence,
    )
    return Screening(scores, ranking, tuple(ranking.table.index[: ranking.k]))
