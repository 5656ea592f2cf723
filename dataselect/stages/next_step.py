"""The next step after a run's verdict: what could tell the candidates apart, and its cost.

Probabilities of a stage that prunes rest on items, seeds and the published gap between proxy and
target; those of a stage that predicts on items, seeds and the transfer functions, or without these
on the scores alone. Cost is that of the proxies of the stage as they are, 6ND and scoring, by which
the run counts its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataselect.cost import training_flops
from dataselect.decisions.discrepancy import gap_for
from dataselect.decisions.next_step import (
    Chance,
    CutDoubt,
    NextStep,
    ScoreLead,
    cut_doubt,
    enough_flops,
    next_step,
)
from dataselect.decisions.ranking import Ranking, bootstrap_means
from dataselect.decisions.seeds import pooled_sd
from dataselect.decisions.uncertainty import Uncertainty, seed_noise
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.results import StageCut, StageResults
from dataselect.stages.scores import StageScores
from dataselect.stages.screen import RANKED_BY, Screening
from dataselect.transfer.lead import ForecastLead, PairScores

Basis = Literal["gap", "function", "scores"]
"""What probabilities rest on besides scores: a published gap, transfer functions, or nothing."""


@dataclass(frozen=True)
class Outlook:
    """What could be done next about the order of the candidates of a stage."""

    stage: StageName
    """The stage whose order decides."""
    step: NextStep
    """What would tell the first from the others."""
    candidates: int
    """Candidates that the stage scored, each of which gets more seeds."""
    seeds: int
    """Seeds of each candidate now."""
    seeds_known: bool
    """Whether the noise of seeds is part of the stage's probabilities."""
    seed_flops: float
    """FLOPs of one more seed of every candidate of the stage; 0 if not known."""
    items: int
    """Items over all benchmarks of the stage."""
    target_flops: float
    """Training FLOPs of one target."""
    trained: bool
    """Whether the stage's proxies are made by the run; more seeds of given checkpoints are not."""
    rests_on: Basis
    """What the probability rests on."""
    proxy_flops: float | None = None
    """Training FLOPs of the stage's proxies; None if they differ or are not known."""
    larger_flops: float | None = None
    """Training FLOPs of a larger proxy that would be enough by the published gap; None if none is
    known to be, or nothing is known of larger ones."""
    unseen: tuple[str, ...] = ()
    """Those of the undecided whose order is open only by the noise of seeds, which the stage's
    probabilities leave out."""
    cut: CutDoubt | None = None
    """The doubt about the weakest cut before the last stage that ran; None if there is none."""
    cut_stage: StageName | None = None
    """The stage with that cut; None without `cut`."""
    cut_flops: float = 0.0
    """FLOPs of the stage after it for the candidates that `cut` would add."""


def look_ahead(
    experiment: Experiment,
    found: StageResults,
    stage: StageName,
    first: str,
    undecided: Sequence[str],
) -> Outlook:
    """What could tell `first` from the undecided, all of them scored in `stage`."""
    confidence = experiment.plan.confidence
    decided = found.by_stage[stage]
    rests_on, scores = _basis(decided), decided.scores
    seeds = _seeds(scores)
    unseen: tuple[str, ...] = ()
    if isinstance(decided, Prediction) and rests_on == "scores" and seeds > 1:
        # The stage's probabilities are over items; with the noise of seeds some may be open.
        others = [name for name in scores.scored if name not in (first, *undecided)]
        all_leads = leads(experiment, found, stage, first, others)
        unseen = tuple(n for n, each in all_leads.items() if each.probability(seeds) < confidence)
    open_ = (*undecided, *unseen)
    chances = leads(experiment, found, stage, first, open_)
    step = next_step(chances, open_, seeds, confidence)
    origins = {run.proxy.origin for run in scores.candidates.values() if run.proxy is not None}
    target = experiment.manifest.target
    size, tokens = scores.parameters, scores.tokens
    proxy_flops = training_flops(size, tokens) if size and tokens else None
    target_flops = training_flops(target.size, target.total_tokens)
    larger = None
    if step.action == "other_proxies" and rests_on == "gap" and proxy_flops is not None:
        larger = _larger(decided, chances, proxy_flops, target_flops, confidence)
    cut, cut_stage = _weakest_cut(found.cuts(experiment.plan.seed), confidence)
    return Outlook(
        stage=stage,
        step=step,
        candidates=len(scores.scored),
        seeds=seeds,
        seeds_known=seeds > 1 or rests_on == "gap",
        seed_flops=scores.flops / seeds,
        items=sum(len(table) for table in scores.table("rbridge").values()),
        target_flops=target_flops,
        trained="checkpoints" not in origins,
        rests_on=rests_on,
        proxy_flops=proxy_flops,
        larger_flops=larger,
        unseen=unseen,
        cut=cut,
        cut_stage=cut_stage,
        cut_flops=0.0
        if cut is None or cut_stage is None
        else cut.more * _each(found, StageName.at(cut_stage.number + 1)),
    )


def _weakest_cut(
    cuts: Sequence[StageCut], confidence: float
) -> tuple[CutDoubt | None, StageName | None]:
    """The doubt about the cut that most likely lost the best, if all of them leave any."""
    if not cuts:
        return None, None
    weakest = min(cuts, key=lambda each: each.p_kept)
    others = math.prod(each.p_kept for each in cuts if each is not weakest)
    doubt = cut_doubt(weakest.p_best, weakest.survivors, confidence, others)
    return doubt, None if doubt is None else weakest.stage


def _each(found: StageResults, stage: StageName) -> float:
    """FLOPs of one candidate of a stage."""
    scores = found.scores[stage]
    return scores.flops / len(scores.scored)


def leads(
    experiment: Experiment,
    found: StageResults,
    stage: StageName,
    first: str,
    others: Sequence[str],
) -> dict[str, Chance]:
    """The chance that `first` is ahead of each of the others, by what `stage` knows."""
    decided = found.by_stage[stage]
    if isinstance(decided, Prediction) and _basis(decided) == "function":
        return {name: _forecast_lead(experiment, decided, first, name) for name in others}
    known = None if isinstance(decided, Prediction) else decided.uncertainty
    sd = _seed_sd(decided.scores, decided.ranking, known)
    return {name: _score_lead(decided.ranking, known, sd, first, name) for name in others}


def _basis(decided: Screening | Prediction) -> Basis:
    if isinstance(decided, Prediction):
        return "function" if decided.wins is not None else "scores"
    known = decided.uncertainty
    return "scores" if known is None or known.tau is None else "gap"


def _seeds(scores: StageScores) -> int:
    """Seeds of the candidate that has most."""
    runs = next(iter(scores.runs.values()))
    seeds = runs.index.to_frame(index=False).groupby("candidate")["seed"].nunique()
    return int(seeds.max())


def _seed_sd(scores: StageScores, ranking: Ranking, known: Uncertainty | None) -> float | None:
    """Standard deviation of the score of one seed, in the ranking's unit; None if not known.

    `known` is that of a stage that prunes.
    """
    runs = {name: table["rbridge"] for name, table in scores.runs.items()}
    if (measured := seed_noise(runs, ranking.method, ranking.units)) is not None:
        sd, seeds = measured
        return sd * math.sqrt(seeds)
    return None if known is None else known.seed_sd  # that of published runs, for one seed


def _score_lead(
    ranking: Ranking, known: Uncertainty | None, seed_sd: float | None, first: str, other: str
) -> ScoreLead:
    names = list(ranking.table.index)
    one, two = names.index(first), names.index(other)
    score = ranking.table["score"].to_numpy(dtype=np.float64)
    drawn = float(np.var(ranking.draws[:, two] - ranking.draws[:, one]))
    if known is not None and known.measured and known.seed_sd:
        drawn -= 2 * known.seed_sd**2  # a pruning stage's draws include the measured seed noise
    return ScoreLead(
        difference=float(score[two] - score[one]),
        item_sd=math.sqrt(max(drawn, 0.0)),
        seed_sd=None if seed_sd is None else math.sqrt(2) * seed_sd,
        tau=0.0 if known is None or known.tau is None else known.tau,
        tau_doubt=0.0 if known is None else known.tau_doubt,
    )


def _forecast_lead(
    experiment: Experiment, prediction: Prediction, first: str, other: str
) -> ForecastLead:
    rng = np.random.default_rng(experiment.plan.seed)
    scores: dict[str, PairScores] = {}
    for name in prediction.counted:
        table = prediction.scores.table("rbridge")[name][[first, other]]
        by_seed = prediction.scores.runs[name]["rbridge"].groupby(level=["candidate", "seed"])
        sd, freedom = pooled_sd(by_seed.mean().unstack("seed").to_numpy())
        observed = table.mean().to_numpy()
        draws = bootstrap_means(table, experiment.plan.bootstrap_draws, rng)
        scores[name] = PairScores(observed, draws - observed, sd if freedom else None)
    return ForecastLead(scores, prediction.functions, experiment.plan.seed)


def _larger(
    decided: Screening | Prediction,
    chances: dict[str, Chance],
    proxy_flops: float,
    target_flops: float,
    confidence: float,
) -> float | None:
    """Training FLOPs of a proxy whose published gap is small enough, the differences as they are.

    It has one seed, with the published noise of one.
    """
    known = decided.uncertainty if isinstance(decided, Screening) else None
    if known is None or known.basis != "published":
        return None  # how one's own gap changes with size is not known, nor how a guess would
    published = gap_for(RANKED_BY)
    spread = known.spread or float(decided.ranking.table["score"].std(ddof=0))

    def leads(flops: float) -> list[Chance]:
        gap = published.gap(flops, target_flops)
        return [
            ScoreLead(
                each.difference,
                each.item_sd,
                math.sqrt(2) * gap.seed_sd * spread,
                gap.tau * spread,
                gap.doubt,
            )
            for each in chances.values()
            if isinstance(each, ScoreLead)
        ]

    return enough_flops(leads, proxy_flops, target_flops, confidence)
