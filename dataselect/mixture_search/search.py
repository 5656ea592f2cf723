"""The search for weights of a mixture, from the first trial to a confirmed proposal.

The best trial is never shipped: a model is fitted to all of them and its optimum within the
constraints is proposed. What the model promises is then measured: the proposal and the prior are
trained with seeds that no trial had, and compared pair by pair.

Not covered: a pruner. A trial is one tiny proxy whose learning rate falls to nothing at its end, so
scores of intermediate checkpoints of mixtures are not those of shorter runs.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dataselect.compute import Compute
from dataselect.cost import Spent, spent
from dataselect.errors import InputError
from dataselect.experiment import Watch
from dataselect.manifest import Manifest
from dataselect.mixture.constraints import Limits
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.propose import Proposal, propose
from dataselect.mixture_search.board import Board, open_storage
from dataselect.mixture_search.course import Item, Settings, fit, rounded
from dataselect.mixture_search.ground import Ground, prepare, read_bounds
from dataselect.mixture_search.work import CONFIRMATION, Worker
from dataselect.plan import Plan
from dataselect.store import Store

Array = NDArray[np.float64]

_FRESH_SEEDS = 1_000
"""Seeds of confirmation are so far beyond those of trials."""


@dataclass(frozen=True)
class Measured:
    """The proposal against the prior on the same fresh seeds: gains, above 0 better, mean ± half.

    `metrics` are by benchmark, (benchmarks,), in nats; `objective` is of the objective.
    """

    seeds: int
    metrics: Array
    metrics_half: Array
    objective: float
    objective_half: float


@dataclass(frozen=True)
class Found:
    """What a search found. `failed` counts trials that came to nothing and were done again."""

    study: str
    settings: Settings
    limits: Limits
    model: MixtureModel
    proposal: Proposal
    measured: Measured | None
    trials: int
    diverged: int
    failed: int
    flops: float
    """Training and scoring of all trials, wherever they ran."""
    trial_seconds: float
    """Sum over the trials that were kept, from claim to result."""
    spent: Spent
    """By the ledger of this store, failed work included."""
    notes: tuple[str, ...]


def search(
    manifest: Manifest,
    plan: Plan,
    store: Store,
    compute: Compute,
    device: str,
    watch: Watch,
    *,
    storage: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Found:
    """Take part in the search until it is over. `storage` is an Optuna URL, before the plan's.

    Raises InputError before any training, IncompleteError where trials failed.
    """
    ground = prepare(manifest, plan, store, compute, device, watch)
    limits, settings, notes = settle(ground)
    name = f"{manifest.name}-{ground.key[:8]}"
    folder = store.root / "mixtures"
    url = storage or ground.mix.storage
    where = "--storage" if storage else plan.where("mix", "storage")
    opened = open_storage(url, where, folder / f"{name}.journal")
    board = Board(opened, name, settings.sources, settings.benchmarks, folder / "workers", clock)
    worker = Worker(board, settings, ground.measure, ground.at_once, watch)
    watch.step(f"Mixture: {settings.trials} trials of {len(settings.sources)} sources")
    with board.at_work():
        values = worker.search()
        model = fit(settings, values)
        proposal = propose(model, limits, plan.confidence, plan.seed)
        measured = None
        if ground.mix.confirm:
            watch.step("Mixture: confirm the proposal")
            measured = confirm(worker, model, proposal, ground.mix.confirm, plan.confidence)
            if measured is None:
                notes.append("the proposal is the prior, so there was nothing to confirm")
    board.drop_waiting()
    entries = board.entries()
    done = [entry for entry in entries if entry.values is not None]
    keys = {key for entry in entries for key in ground.keys(entry.item)}
    return Found(
        study=name,
        settings=settings,
        limits=limits,
        model=model,
        proposal=proposal,
        measured=measured,
        trials=len(values),
        diverged=sum(entry.diverged for entry in entries),
        failed=sum(entry.lost for entry in entries),
        flops=sum(entry.flops for entry in done),
        trial_seconds=sum(entry.seconds for entry in done),
        spent=spent(record for record in store.ledger() if record.get("key") in keys),
        notes=tuple(notes),
    )


def settle(ground: Ground) -> tuple[Limits, Settings, list[str]]:
    """Limits of the proposal, the settings of the trials, and what the user should know."""
    mix, plan = ground.mix, ground.experiment.plan
    sources, notes = ground.sources, []
    limits = read_bounds(ground.experiment.manifest, plan, mix, sources)
    if limits.prior is None:
        uniform = np.full(len(sources), 1 / len(sources))
        limits = replace(limits, prior=uniform, prior_from="the same of each source")
    prior = limits.prior
    assert prior is not None, "given a line ago"
    # Floors need a model; they bound the proposal alone.
    upper = np.minimum(limits.feasible.upper, np.array(ground.most))
    for name, most, weight in zip(sources, ground.most, prior.tolist(), strict=True):
        if most < 1:
            notes.append(f"{name}: its text allows weights of up to {most:.3g} in trials")
        if weight > most + 1e-9:
            notes.append(f"{name}: the prior's {weight:.3g} reads it more often than is allowed")
    if upper.sum() < 1 or (limits.feasible.lower > upper).any():
        where = plan.where("mix")
        raise InputError(
            where,
            "the sources have too little text for proxies of so many tokens within the bounds",
            "lower the proxy's tokens, or raise 'max_repeats'",
        )
    feasible = replace(limits.feasible, upper=upper, prior=prior)
    objective = np.array([(mix.objective or {}).get(n, 0.0) for n in ground.benchmarks])
    if mix.objective is None:
        objective = np.ones(len(ground.benchmarks))
    settings = Settings(
        sources=sources,
        benchmarks=ground.benchmarks,
        prior=prior,
        limits=replace(limits, feasible=feasible),
        trials=max(mix.trials, mix.designed),
        designed=mix.designed,
        replicates=mix.replicates,
        together=mix.together,
        objective=objective / objective.sum(),
        standardise=mix.standardise,
        sampler=mix.sampler,
        seed=plan.seed,
        proxy_seed=ground.recipe.seed,
    )
    return limits, settings, notes


def confirm(
    worker: Worker, model: MixtureModel, proposal: Proposal, seeds: int, confidence: float
) -> Measured | None:
    """Train proposal and prior with fresh seeds; None where they are the same."""
    settings = worker.settings
    first = settings.proxy_seed + _FRESH_SEEDS
    best, prior = rounded(proposal.weights), rounded(settings.prior)
    if best == prior:
        return None
    numbers = range(first, first + seeds)
    items = [Item(weights, seed) for seed in numbers for weights in (best, prior)]
    worker.finish(items, "confirm", CONFIRMATION)
    values = {e.item: e.values for e in worker.board.entries() if e.values is not None}
    return compare(values, best, prior, numbers, model, confidence)


def compare(
    values: Mapping[Item, tuple[float, ...]],
    best: tuple[float, ...],
    prior: tuple[float, ...],
    seeds: range,
    model: MixtureModel,
    confidence: float,
) -> Measured | None:
    """Gains over pairs of a seed; intervals by Student's t, infinite of a single pair."""
    pairs = [(Item(best, seed), Item(prior, seed)) for seed in seeds]
    gains = np.array(
        [np.subtract(values[b], values[a]) for a, b in pairs if a in values and b in values]
    )
    if not len(gains):
        return None
    count = len(gains)
    both = np.column_stack([gains, model.objective.of(gains)])
    half = np.full(both.shape[1], np.inf)
    if count > 1:
        reach = stats.t.ppf((1 + confidence) / 2, count - 1) / np.sqrt(count)
        half = reach * both.std(axis=0, ddof=1)
    mean = both.mean(axis=0)
    return Measured(count, mean[:-1], half[:-1], float(mean[-1]), float(half[-1]))
