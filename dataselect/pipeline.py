"""A whole run, in the order of the paper: traces, screen, predict, select, mix.

    manifest x plan
      -> reasoning traces of a frontier model, with a probability for every letter
      -> a token stream for each source, where a proxy is trained on text
      -> with `screen0:` in the plan, Stage 0: hundreds of candidates pruned by counting words
      -> Stage 1: a tiny proxy for each candidate, ranked by rBridge, pruned to k
      -> beside it, the ranking that counting words would have given
      -> with `rungs:`, more such stages, each with the survivors of the one before
      -> Stage 2, or the last: a larger proxy for each survivor, its score mapped to target accuracy
      -> the selection: rankings, their uncertainty, and the cost
      -> with `mix:` in the plan, the shares of the sources for the next pretraining run

Every expensive result is an artifact in the store, so a run that was stopped resumes when the same
command is given again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.cost import PlannedCost, Spent, spent
from dataselect.decisions.ablation import Ablation
from dataselect.decisions.regret import KnownTruth
from dataselect.decisions.target_agreement import (
    TargetAgreement,
    mean_accuracy,
    target_agreement,
)
from dataselect.errors import DataselectError
from dataselect.leaks.alarm import CleanRanking
from dataselect.scoring.remarks import Remarks
from dataselect.stages import prepare as preparation
from dataselect.stages.accounting import method_cost, run_notes, spent_by_stage
from dataselect.stages.counting import SHOWN, Counting, count_words
from dataselect.stages.experiment import Experiment
from dataselect.stages.known_targets import judge
from dataselect.stages.outlook import outlook
from dataselect.stages.prepare import prepare, read_truth
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.results import StageResults
from dataselect.stages.rungs import climb
from dataselect.stages.runtime import Runtime
from dataselect.stages.screen import ablate, screen
from dataselect.stages.screen_by_counting import go_on, screen_by_counting
from dataselect.stages.without_leaks import rank_without_leaks
from dataselect.stages.work import ExpectedPart

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
    """Run every stage of the plan and return the selection.

    `compare_metrics` also ranks Stage 1 by every other metric. `on_selected` gets the selection
    before the mixture search, which takes long and may be killed. Raises InputError before any
    training, and IncompleteError when Stage 1 has no scored candidate; where a later stage has
    none, the ranking of the stage before it is the result.
    """
    check(manifest, plan)
    truth = read_truth(manifest)
    with Remarks() as warned:
        experiment = prepare(manifest, plan, runtime)
        if experiment.tokenizer is not None:
            check_trials(manifest, plan, experiment.tokenizer.vocab_size, runtime.device)
        runtime.watch.tell(outlook(experiment, expected_trials(experiment)))
        stage0 = screen_by_counting(experiment)
        names, counts = go_on(manifest, stage0), None if stage0 is None else stage0.scores
        screening = screen(experiment, StageName.SCREEN, plan.screen, names, counted=counts)
        counting = count_words(experiment, screening)
        found = climb(experiment, StageResults(screening=screening, stage0=stage0))
    selection = select(experiment, found, truth, compare_metrics, warned.all, counting)
    if plan.mix is None or found.failed is not None:
        return selection
    on_selected(selection)
    return selection.with_mixture(search_mixture(experiment))


def check(manifest: Manifest, plan: Plan) -> None:
    """Raise InputError where manifest and plan do not fit together."""
    preparation.check(manifest, plan)
    if plan.mix is not None:
        # Imported here because the search's libraries take a second to load, and few plans mix.
        from dataselect.mixture_search.prepare import check as check_search

        check_search(manifest, plan)


def check_trials(manifest: Manifest, plan: Plan, vocab_size: int, device: str) -> None:
    """Raise InputError where the proxies of the plan's mixture search cannot be trained."""
    if plan.mix is not None:
        # Imported here as in `check`.
        from dataselect.mixture_search.prepare import check_trials as check_search_trials

        check_search_trials(manifest, plan, vocab_size, device)


def expected_trials(experiment: Experiment) -> tuple[ExpectedPart, ...]:
    """The training of the plan's mixture search; none without one."""
    if experiment.plan.mix is None or experiment.tokenizer is None:
        return ()
    # Imported here as in `check`.
    from dataselect.mixture_search.prepare import expected_search

    return (expected_search(experiment, experiment.tokenizer.vocab_size),)


def select(
    experiment: Experiment,
    found: StageResults,
    targets: Mapping[str, Mapping[str, float]] | None,
    compare_metrics: bool,
    warned: Sequence[str] = (),
    counting: Counting | None = None,
) -> "Selection":
    """The stages' results, compared with known target accuracies, and their cost.

    `targets`: accuracies by candidate and benchmark. `warned` are the warnings that were shown
    meanwhile; they join the notes.
    """
    screening = found.screening
    # Metrics are compared on the same candidates, so counting only where it has them all.
    counted = counting
    if counting is not None and set(screening.scores.scored) - set(counting.tokens):
        counted = None
    agreement = truth = judged = None
    if targets is not None:
        truth, by_metric = mean_accuracy(targets), screening.by_metric()
        if counted is not None:
            by_metric |= {name: counted.scores[name] for name in SHOWN}
        agreement = target_agreement(truth, by_metric, experiment.bootstrap)
        judged = judge(experiment, found, targets, by_metric)
    return Selection(
        experiment=experiment,
        screening=screening,
        stage0=found.stage0,
        between=found.between,
        prediction=found.prediction,
        stopped=found.stopped,
        failed=found.failed,
        agreement=agreement,
        truth=judged,
        cost=method_cost(experiment, found),
        spent=spent_by_stage(experiment.store, found),
        seconds=experiment.runtime.seconds,
        notes=run_notes(experiment, found, warned),
        clean=rank_without_leaks(experiment, found),
        ablation=ablate(experiment, screening, truth, {} if counted is None else counted.tables)
        if compare_metrics
        else None,
        counting=counting,
    )


def search_mixture(experiment: Experiment) -> "Found | DataselectError":
    """The mixture that the search found, or the error that ended it."""
    # Imported here as in `check`.
    from dataselect.mixture_search.search import search

    try:
        return search(experiment)
    except DataselectError as problem:
        return problem


@dataclass(frozen=True, kw_only=True)
class Selection(StageResults):
    """The result of a run: what the stages found, and everything else that a report shows."""

    experiment: Experiment
    """Manifest and plan, with everything prepared from them."""
    agreement: TargetAgreement | None
    """Agreement of Stage 1's rankings with known target accuracies; None if too few are known."""
    cost: PlannedCost
    """FLOPs of the method, and of training a target for every candidate."""
    spent: Mapping[str, Spent]
    """Time and FLOPs by stage, summed over all attempts at this run."""
    seconds: float
    """Wall time of this call only."""
    notes: tuple[str, ...]
    """Remarks for the reader of the report."""
    clean: Mapping[StageName, CleanRanking] = field(default_factory=dict)
    """Rankings without leaked items, of the stages that have any."""
    ablation: Ablation | None = None
    """Stage 1's ranking by every metric; None without `compare_metrics`."""
    counting: Counting | None = None
    """The candidates' scores by counting words; None where fewer than two have text."""
    mixture: "Found | DataselectError | None" = None
    """Result of the mixture search, or the error that ended it; None before or without a search."""
    truth: KnownTruth | None = None
    """The choice judged by known target accuracies; None if none of the candidates' is known."""

    @property
    def mixture_found(self) -> "Found | None":
        """The result of the mixture search; None before, without or after a failed one."""
        return None if isinstance(self.mixture, DataselectError) else self.mixture

    @property
    def mixture_problem(self) -> DataselectError | None:
        """The error that ended the mixture search, if one did."""
        return self.mixture if isinstance(self.mixture, DataselectError) else None

    @property
    def complete(self) -> bool:
        """Whether no candidate failed. A diverged one counts as done: it would diverge again."""
        if self.failed is not None:
            return False
        return all("failed" not in each.status.values() for each in self.scores.values())

    def with_mixture(self, mixture: "Found | DataselectError") -> "Selection":
        """This selection with the outcome of the mixture search and its cost."""
        if isinstance(mixture, DataselectError):
            return replace(self, mixture=mixture, seconds=self.experiment.runtime.seconds)
        # A trial may share its proxy with Stage 1, which is counted there.
        keys = mixture.keys - {key for scores in self.scores.values() for key in scores.keys}
        records = self.experiment.store.ledger()
        cost = spent(record for record in records if record.get("key") in keys)
        return replace(
            self,
            mixture=mixture,
            spent={**self.spent, "mixture": cost},
            seconds=self.experiment.runtime.seconds,
        )
