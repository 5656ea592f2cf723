"""Stage 0: candidates ranked by counting the words of their text, and pruned before any training.

Each candidate's text, the tokens that its Stage 1 proxy would be trained on, becomes an n-gram
model, and the traces' plain NLL under it is the candidate's score, as R^φ is a proxy's. It costs a
CPU minute for a billion tokens, so it can be afforded for hundreds of candidates, each counted once
and kept in the store. A candidate whose proxy is not trained on text that is read here cannot be
counted, and goes on.

How far such an order is that of targets is hardly known. There are two worlds with trained targets,
both synthetic and made to differ: in one counting orders nearly every pair as the targets do, in
the other none better than chance, since its texts have the same words and differ in what is true.
So the gap is a wide guess that contains both (`COUNTING`), and the probabilities are timid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataselect.config.manifest import Manifest
from dataselect.counting import column
from dataselect.decisions.discrepancy import Gap
from dataselect.decisions.pruning import PruningRule, Reason, survivors
from dataselect.decisions.ranking import Ranking, bootstrap_rank
from dataselect.decisions.uncertainty import Uncertainty, with_uncertainty
from dataselect.stages.counting import CountedTexts, count_texts, texts_of
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName

if TYPE_CHECKING:
    import pandas as pd

STAGE0 = StageName.at(0)

COUNTING = Gap(
    tau=1.8,
    seed_sd=0.0,
    extrapolated=None,
    source="a wide guess: no published runs were counted, and of two synthetic worlds with trained "
    "targets counting is nearly right in one and at chance in the other",
    doubt=2.0,
    basis="prior",
)
"""Of a difference of two candidates, in units of the spread of all counted scores. A tenth of its
draws make counting as good as the first world shows it, nearly half as bad as the second
(`python benchmarks/counting/gap.py`)."""


@dataclass(frozen=True)
class CountedScreening:
    """The result of Stage 0: scores by counting, their ranking and who goes on."""

    order: int
    """Order of the n-gram models."""
    ranking: Ranking
    """The counted candidates, by the traces' NLL."""
    survivors: tuple[str, ...]
    """Counted candidates that go on, in the ranking's order."""
    kept_by: Mapping[str, Reason]
    """The part of the pruning rule that kept each of them."""
    uncertainty: Uncertainty
    """The gap that the ranking's probabilities include, besides the bootstrap over items."""
    counted: CountedTexts
    """The scores of every order, and what counting cost."""
    uncounted: Mapping[str, str]
    """Why each other candidate could not be counted; these go on as well."""

    @property
    def scores(self) -> "pd.Series":
        """The aggregate over benchmarks by counted candidate, best first; lower is better."""
        return self.ranking.table["score"]

    @property
    def score(self) -> str:
        """The name of the score that ranks, as in `CountedTexts.tables`."""
        return column(self.order, "trace_nll")


def screen_by_counting(experiment: Experiment) -> CountedScreening | None:
    """Count, rank and prune; None without `screen0` in the plan.

    Raises InputError for a damaged token stream, IncompleteError for counts that have gone from the
    store meanwhile.
    """
    plan = experiment.plan
    chosen = plan.screen0
    if chosen is None:
        return None
    texts, uncounted = texts_of(experiment)
    benchmarks = [benchmark.id for benchmark in plan.benchmarks_of(plan.screen)]
    counted = count_texts(experiment, texts, benchmarks)
    tables = counted.tables[column(chosen.order, "trace_nll")]
    ranking = bootstrap_rank(
        tables,
        plan.screen.aggregate,
        k=min(chosen.keep, len(texts)),
        bootstrap=experiment.bootstrap,
    )
    ranking, uncertainty = with_uncertainty(ranking, {}, COUNTING, plan.seed)
    rule = PruningRule(chosen.keep, chosen.min_probability, chosen.keep_at_most)
    kept_by = survivors(ranking, rule)
    return CountedScreening(
        order=chosen.order,
        ranking=ranking,
        survivors=tuple(kept_by),
        kept_by=kept_by,
        uncertainty=uncertainty,
        counted=counted,
        uncounted=uncounted,
    )


def go_on(manifest: Manifest, stage0: CountedScreening | None) -> list[str]:
    """The candidates of Stage 1, in the manifest's order."""
    names = [candidate.id for candidate in manifest.candidates]
    if stage0 is None:
        return names
    return [name for name in names if name in stage0.survivors or name in stage0.uncounted]
