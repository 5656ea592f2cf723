"""A whole run, in the order of the paper: traces, screen, predict, decide, mix.

    manifest x plan
      -> reasoning traces of a frontier model, with a probability for every letter
      -> one token stream for each source, where a proxy is trained
      -> Stage 1: a tiny proxy per candidate, ranked by rBridge, pruned to k
      -> Stage 2: a larger proxy per survivor, mapped to target accuracy
      -> what was decided, how sure it is, and what it cost
      -> where the plan asks for it, shares of the sources for the next pretraining run

Everything expensive is an artifact in the store, so a run that was stopped anywhere goes on
when the same command is given again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.cost import PlannedCost, Spent, spent
from dataselect.decisions.ablation import Ablation
from dataselect.decisions.target_agreement import AgreementWithTruth, agree
from dataselect.errors import DataselectError
from dataselect.leaks.alarm import CleanRanking
from dataselect.stages import prepare as preparation
from dataselect.stages.accounting import method_cost, run_notes, spent_by_stage, stage_scores
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import Prediction, predict
from dataselect.stages.prepare import prepare, read_truth
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.stages.screen import Screening, ablate, screen
from dataselect.stages.without_leaks import rank_without_leaks

if TYPE_CHECKING:
    from dataselect.mixture_search.search import Found


def run(
    manifest: Manifest,
    plan: Plan,
    runtime: Runtime,
    *,
    compare_metrics: bool = False,
    on_selected: "Callable[[Selection], object]" = lambda _: None,
) -> "Selection":
    """Do all of it; `compare_metrics` ranks Stage 1 by every metric too.

    `on_selected` is given what was decided before a mixture is searched for, which takes long and
    may be killed. Raises InputError before any training, IncompleteError if no candidate came
    through.
    """
    check(manifest, plan)
    truth = read_truth(manifest)
    experiment = prepare(manifest, plan, runtime)
    screening = screen(experiment)
    prediction = predict(experiment, screening.survivors, plan.predict) if plan.predict else None
    selection = select(experiment, screening, prediction, truth, compare_metrics)
    if plan.mix is None:
        return selection
    on_selected(selection)
    return selection.with_mixture(search_mixture(experiment))


def check(manifest: Manifest, plan: Plan) -> None:
    """What manifest and plan say only together. Raises InputError."""
    preparation.check(manifest, plan)
    if plan.mix is not None:
        # Not above: the libraries of the search take a second to load, which few plans need.
        from dataselect.mixture_search.prepare import check as check_search

        check_search(manifest, plan)


def select(
    experiment: Experiment,
    screening: Screening,
    prediction: Prediction | None,
    truth: Mapping[str, float] | None,
    compare_metrics: bool,
) -> "Selection":
    """What was decided, held against what is known of the targets, and what it cost."""
    evidence = None
    if truth is not None:
        evidence = agree(truth, screening.by_metric(), experiment.bootstrap)
    return Selection(
        experiment=experiment,
        screening=screening,
        prediction=prediction,
        evidence=evidence,
        cost=method_cost(experiment, screening, prediction),
        spent=spent_by_stage(experiment.store, screening, prediction),
        seconds=experiment.runtime.seconds,
        notes=run_notes(experiment, screening, prediction),
        clean=rank_without_leaks(experiment, screening, prediction),
        ablation=ablate(experiment, screening, truth) if compare_metrics else None,
    )


def search_mixture(experiment: Experiment) -> "Found | DataselectError":
    """The shares that the plan has searched for, or what ended the search."""
    # As in `check`.
    from dataselect.mixture_search.search import search

    try:
        return search(experiment)
    except DataselectError as problem:
        return problem


@dataclass(frozen=True)
class Selection:
    """What a run decided and everything that a report says about it."""

    experiment: Experiment
    """Manifest, plan and what was prepared for them."""
    screening: Screening
    """Stage 1: scores, ranking and survivors."""
    prediction: Prediction | None
    """Stage 2, where the plan has it."""
    evidence: AgreementWithTruth | None
    """Agreement with targets whose accuracy is known; None where none is."""
    cost: PlannedCost
    """FLOPs of the method, against those of a target for every candidate."""
    spent: Mapping[str, Spent]
    """By stage, over all attempts at this run."""
    seconds: float
    """Wall time of this call alone."""
    notes: tuple[str, ...]
    """What people should know."""
    clean: Mapping[StageName, CleanRanking] = field(default_factory=dict)
    """Rankings without leaked items, where there are any."""
    ablation: Ablation | None = None
    """Every metric's ranking in Stage 1, where it was asked for."""
    mixture: "Found | DataselectError | None" = None
    """Shares that were searched for, or what ended the search; None before and without one."""

    @property
    def complete(self) -> bool:
        """Whether no candidate failed (a diverged one has been judged: it diverged)."""
        stages = stage_scores(self.screening, self.prediction).values()
        return all("failed" not in scores.status.values() for scores in stages)

    def with_mixture(self, mixture: "Found | DataselectError") -> "Selection":
        """The selection with the outcome of the search, and what that cost."""
        if isinstance(mixture, DataselectError):
            return replace(self, mixture=mixture, seconds=self.experiment.runtime.seconds)
        # A proxy of Stage 1 may be a trial as well, and was paid for once.
        stages = stage_scores(self.screening, self.prediction).values()
        own = mixture.keys - {key for scores in stages for key in scores.keys}
        records = self.experiment.store.ledger()
        cost = spent(record for record in records if record.get("key") in own)
        return replace(
            self,
            mixture=mixture,
            spent={**self.spent, "mixture": cost},
            seconds=self.experiment.runtime.seconds,
        )
