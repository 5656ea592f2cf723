"""The search for the shares of a mixture, from the first trial to a confirmed proposal.

The best trial is never proposed as such: a model is fitted to all trials, and its optimum within
the constraints is proposed. The predicted gain is then measured: the proposal and the prior are
trained with seeds that no trial had, and compared in pairs.

Not covered: a pruner. Half-trained proxies predict their end, but a search has few trials to stop
(docs/decisions.md, with numbers).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.prepare import corpus_notes
from dataselect.cost import Spent, spent, training_flops
from dataselect.errors import InputError
from dataselect.mixture.accuracy import Forecasts, forecast
from dataselect.mixture.constraints import Limits
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.pareto import TradeOff, trade_offs
from dataselect.mixture.propose import Proposal, propose
from dataselect.mixture.response_map import ResponseMap, response_map
from dataselect.mixture.single_share import Rankings, compare_rankings
from dataselect.mixture.target_epochs import for_target, notes_on_epochs
from dataselect.mixture_search.confirm import Measured, confirm
from dataselect.mixture_search.history import HistoryEntry, history
from dataselect.mixture_search.prepare import prepare
from dataselect.mixture_search.sampler import fit, with_objective
from dataselect.mixture_search.study import SharedStudy, open_storage
from dataselect.mixture_search.target_objective import find_target, transfer_file
from dataselect.mixture_search.trial import SearchSettings
from dataselect.mixture_search.trial_runner import TrialRunner
from dataselect.mixture_search.worker import Worker
from dataselect.scoring.machine_notes import training_note
from dataselect.scoring.non_finite import FAILED
from dataselect.stages.accounting import benchmark_notes
from dataselect.stages.experiment import Experiment
from dataselect.stages.work import ExpectedPart, Outlook, Planned

_CONFIRM = "Mixture: confirm the proposal"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What a search found, and what it cost."""

    study: str
    """Name of the Optuna study."""
    settings: SearchSettings
    """What the trials were chosen by."""
    limits: Limits
    """Limits on the proposal."""
    model: MixtureModel
    """Fitted to all trials."""
    proposal: Proposal
    """The optimum of the model within the limits."""
    accuracies: Forecasts | None
    """Predicted accuracies of the target, which were maximised; None: the search was by scores."""
    transfer: str | None
    """The file of transfer functions, as the plan names it; None: the search was by scores."""
    trade_offs: tuple[TradeOff, ...]
    """Mixtures that no other one beats on every benchmark, if asked for."""
    measured: Measured | None
    """The measured gain of the proposal; None where it was not confirmed."""
    trials: int
    """Trials that the model is fitted to."""
    diverged: int
    """Trials that diverged, or whose scores are not finite."""
    unscored: Mapping[int, str]
    """Why trials have no scores, though their training did not diverge, by number."""
    failed: int
    """Trials that failed and were run again."""
    flops: float
    """Training and scoring of all trials, on any machine."""
    trial_seconds: float
    """Sum over the finished trials, from claim to result."""
    spent: Spent
    """By the ledger of this store, failed work included."""
    keys: frozenset[str]
    """Of the trials' artifacts; Stage 1 may share some."""
    history: tuple[HistoryEntry, ...]
    """The finished trials in order."""
    rankings: Rankings
    """How well held-out trials are ranked by the model and by a single share."""
    grid: ResponseMap | None
    """Predictions for every mixture of three sources; None for another number of sources."""
    notes: tuple[str, ...]
    """What the user should know."""


def search(
    experiment: Experiment,
    *,
    storage: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Found:
    """Take part in the search until it is over.

    `storage` is an Optuna URL that replaces the plan's. Raises InputError before any training,
    IncompleteError where trials failed.
    """
    manifest, plan = experiment.manifest, experiment.plan
    store, watch = experiment.store, experiment.watch
    runner = prepare(experiment)
    limits, settings, notes = settle(runner)
    name = f"{manifest.name}-{runner.key[:8]}"
    folder = store.root / "mixtures"
    url = storage or runner.mix.storage
    where = "--storage" if storage else plan.where("mix", "storage")
    opened = open_storage(url, where, folder / f"{name}.journal")
    study = SharedStudy(
        opened, name, settings.sources, settings.benchmarks, folder / "workers", clock
    )
    worker = Worker(study, settings, runner.measure, runner.at_once, watch)
    title = f"Mixture: {settings.trials} trials of {len(settings.sources)} sources"
    each = training_flops(runner.recipe.parameters, runner.recipe.tokens)
    parts = [ExpectedPart(title, settings.trials, each, in_rounds=True)]
    if runner.mix.confirm:
        parts.append(ExpectedPart(_CONFIRM, 2 * runner.mix.confirm, each, in_rounds=True))
    watch.tell(Outlook(runner.slots, tuple(parts)))
    watch.step(title)
    before = sum(entry.values is not None for entry in study.entries())
    watch.tell(Planned((), found=min(before, settings.trials)))
    with study.at_work():
        values = worker.search()
        model = for_target(fit(settings, values), limits)
        by = with_objective(settings, model)
        proposal = propose(model, limits, plan.confidence, plan.seed, by)
        measured = None
        if runner.mix.confirm:
            watch.step(_CONFIRM)
            measured = confirm(worker, model, proposal, runner.mix.confirm, plan)
            if measured is None:
                notes.append(
                    "not confirmed: the proposal is the prior, or a proxy of each pair diverged"
                )
        notes += notes_on_epochs(model, limits, proposal.shares, searched=True)
    study.drop_waiting()
    accuracies = None
    if settings.target is not None:
        draws = plan.bootstrap_draws
        accuracies = forecast(model, settings.target, proposal, plan.confidence, draws, plan.seed)
    others = trade_offs(model, limits, runner.mix.pareto, plan.seed, plan.confidence)
    # In the order in which they were planned: a trial that was lost and done again keeps its place.
    entries = sorted(study.entries(), key=lambda entry: entry.place)
    unscored = {
        entry.place: entry.why
        for entry in entries
        if entry.diverged and entry.why is not None and entry.why.startswith(FAILED)
    }
    notes += [f"trial {number} is left out: {why}" for number, why in unscored.items()]
    done = [entry for entry in entries if entry.values is not None]
    notes += [
        f"trial {each.place} diverged: {each.why}"
        for each in entries
        if each.diverged and each.place not in unscored
    ]
    keys = {key for entry in entries for key in runner.keys(entry.trial)}
    mixed = training_note({f"trial {entry.place}": entry.trained_on for entry in done})
    if mixed is not None:
        notes.append(mixed)
    return Found(
        study=name,
        settings=settings,
        limits=limits,
        model=model,
        proposal=proposal,
        accuracies=accuracies,
        transfer=transfer_file(plan, runner.mix) if accuracies is not None else None,
        trade_offs=tuple(others),
        measured=measured,
        trials=len(values),
        diverged=sum(entry.diverged for entry in entries),
        unscored=unscored,
        failed=sum(entry.lost for entry in entries),
        flops=sum(entry.flops for entry in done),
        trial_seconds=sum(entry.seconds for entry in done),
        spent=spent(record for record in store.ledger() if record.get("key") in keys),
        keys=frozenset(keys),
        history=history(entries, settings, model),
        rankings=compare_rankings(model, plan.confidence),
        grid=response_map(model, plan.confidence),
        notes=tuple(dict.fromkeys((*benchmark_notes(experiment), *notes))),
    )


def settle(runner: TrialRunner) -> tuple[Limits, SearchSettings, list[str]]:
    """Limits of the proposal, settings of the trials, and notes for the user. Raises InputError."""
    mix, plan = runner.mix, runner.experiment.plan
    sources = runner.sources
    notes = corpus_notes(runner.corpus)
    limits = runner.limits_with_lengths()
    prior = limits.prior
    if prior is None:
        prior = np.full(len(sources), 1 / len(sources))
        limits = replace(limits, prior=prior, prior_from="the same of each source")
    # Floors need a model, so they bound the proposal only.
    upper = np.minimum(limits.feasible.upper, np.array(runner.most))
    for name, most, share in zip(sources, runner.most, prior.tolist(), strict=True):
        if most < 1:
            notes.append(f"{name}: its text allows weights of up to {most:.3g} in trials")
        if share > most + 1e-9:
            notes.append(f"{name}: the prior's {share:.3g} reads it more often than is allowed")
    if runner.cut:
        cut = ", ".join(runner.cut)
        notes.append(f"{cut}: cut, so that proxies read it as often as the target")
    if upper.sum() < 1 or (limits.feasible.lower > upper).any():
        where = plan.where("mix")
        raise InputError(
            where,
            "the sources have too little text for proxies of so many tokens within the bounds",
            "lower the proxy's tokens, or raise 'max_repeats'",
        )
    feasible = replace(limits.feasible, upper=upper, prior=prior)
    objective = np.array([(mix.objective or {}).get(n, 0.0) for n in runner.benchmarks])
    if mix.objective is None:
        objective = np.ones(len(runner.benchmarks))
    objective /= objective.sum()
    target, target_notes = find_target(runner, objective.tolist())
    settings = SearchSettings(
        sources=sources,
        benchmarks=runner.benchmarks,
        prior=prior,
        limits=replace(limits, feasible=feasible),
        trials=max(mix.trials, mix.designed),
        designed=mix.designed,
        replicates=mix.replicates,
        together=mix.together,
        objective=objective,
        standardise=mix.standardise,
        sampler=mix.sampler,
        seed=plan.seed,
        proxy_seed=runner.recipe.seed,
        rates=runner.rates,
        target=target,
    )
    return limits, settings, [*notes, *target_notes]
