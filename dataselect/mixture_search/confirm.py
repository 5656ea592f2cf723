"""Measure a proposal's gain: train it and the prior with seeds that no trial had."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from dataselect.config.plan import Plan
from dataselect.mixture.accuracy import Range, TargetAccuracy
from dataselect.mixture.accuracy import compare as compare_accuracies
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.propose import Proposal
from dataselect.mixture.trial import Trial, rounded
from dataselect.mixture_search.worker import CONFIRMATION, Worker
from dataselect.transfer.forecast import seed_scores

Array = NDArray[np.float64]

_FRESH_SEEDS = 1_000
"""Distance of the seeds of confirmation from those of trials."""


@dataclass(frozen=True)
class Measured:
    """Gains of the proposal over the prior on the same fresh seeds; above 0 is better."""

    seeds: int
    """Pairs of proxies that were compared."""
    metrics: Array
    """Mean gains by benchmark in nats, (benchmarks,)."""
    metrics_half: Array
    """Half widths of their intervals; infinite for one seed."""
    objective: float
    """Mean gain in the objective of scores."""
    objective_half: float
    """Half width of its interval; infinite for one seed."""
    accuracy: Range | None = None
    """Gain in the target's accuracy by transfer functions, their error included; None without."""


def confirm(
    worker: Worker, model: MixtureModel, proposal: Proposal, seeds: int, plan: Plan
) -> Measured | None:
    """Train proposal and prior with fresh seeds.

    None where both are the same mixture, or where one of every pair diverged.
    """
    settings = worker.settings
    first = settings.proxy_seed + _FRESH_SEEDS
    best, prior = rounded(proposal.shares), rounded(settings.prior)
    if best == prior:
        return None
    numbers = range(first, first + seeds)
    trials = [Trial(shares, seed) for seed in numbers for shares in (best, prior)]
    worker.finish(trials, "confirm", CONFIRMATION)
    values = {e.trial: e.values for e in worker.study.entries() if e.values is not None}
    pairs = [[values.get(Trial(w, seed)) for w in (best, prior)] for seed in numbers]
    # If one proxy of a pair diverged, the pair is left out.
    both = np.array([pair for pair in pairs if None not in pair])
    if not len(both):
        return None
    found = compare(both, model, plan.confidence)
    if settings.target is None:
        return found
    return replace(found, accuracy=_accuracy(both, settings.target, plan))


def _accuracy(scores: Array, target: TargetAccuracy, plan: Plan) -> Range:
    """The gain in accuracy by scores (seeds, 2, benchmarks); one seed gives no interval."""
    rng = np.random.default_rng(plan.seed)
    resampled = [
        seed_scores(each.T, plan.bootstrap_draws, rng) for each in np.moveaxis(scores, 2, 0)
    ]
    observed = np.stack([each.observed for each in resampled], axis=-1)
    draws = np.stack([each.draws for each in resampled], axis=-1)
    (gain,) = compare_accuracies(target, observed, draws, plan.confidence, rng).gains
    return gain if len(scores) > 1 else Range(gain.value, -np.inf, np.inf)


def compare(scores: Array, model: MixtureModel, confidence: float) -> Measured:
    """Gains by scores (seeds, 2, benchmarks) of proposal and prior.

    Intervals are Student's t over the seeds, infinite for a single one.
    """
    gains = scores[:, 1] - scores[:, 0]
    count = len(gains)
    both = np.column_stack([gains, model.objective.of(gains)])
    half = np.full(both.shape[1], np.inf)
    if count > 1:
        reach = stdtrit(count - 1, (1 + confidence) / 2) / np.sqrt(count)
        half = reach * both.std(axis=0, ddof=1)
    mean = both.mean(axis=0)
    return Measured(count, mean[:-1], half[:-1], float(mean[-1]), float(half[-1]))
