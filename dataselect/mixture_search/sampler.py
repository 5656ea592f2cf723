"""Which mixtures a search trains: a design, then rounds of proposals.

A round is proposed from the set of all earlier trials, in whatever order and by whichever worker
they were trained, and waits until the round before is over. So a search that was killed and
resumed, or shared by many workers, trains the same mixtures as an undisturbed one. The price is
idle workers at the end of a round.

The first mixture of a round is the best one by the fits to all trials. The others are the best ones
by fits without one fold, with a bonus where surrogates disagree: optima that the runs do not rule
out.

Shares are multiples of 1/10,000, so that a mixture is the same in every file.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.accuracy import by_accuracy
from dataselect.mixture.design import designed_trials, unlike
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.swarm import Swarm
from dataselect.mixture.trial import Trial, rounded
from dataselect.mixture_search.trial import SearchSettings, by_scores

Array = NDArray[np.float64]


def designed(settings: SearchSettings) -> list[Trial]:
    """The first round: the prior with its replicates, and mixtures around it within the bounds."""
    return designed_trials(
        settings.prior,
        settings.limits.feasible,
        settings.designed,
        settings.seed,
        replicates=settings.replicates,
        first_seed=settings.proxy_seed,
    )


def fit(settings: SearchSettings, values: Mapping[Trial, Sequence[float]]) -> MixtureModel:
    """The model fitted to all trials; it does not depend on their order."""
    trials = sorted(values, key=lambda trial: (trial.shares, trial.seed))
    shares = np.array([trial.shares for trial in trials])
    table = np.array([values[trial] for trial in trials])
    runs = tuple(f"run-{i + 1}" for i in range(len(trials)))
    rates = None if settings.rates is None else np.tile(settings.rates, (len(trials), 1))
    swarm = Swarm(runs, settings.sources, settings.benchmarks, shares, table, rates=rates)
    return fit_model(swarm, by_scores(settings, table), True, settings.seed)


def with_objective(settings: SearchSettings, model: MixtureModel) -> MixtureModel:
    """The model with the search's objective: the target's accuracy, or that of scores."""
    return model if settings.target is None else by_accuracy(model, settings.target)


def proposed(
    settings: SearchSettings,
    values: Mapping[Trial, Sequence[float]],
    taken: Iterable[Trial],
    count: int,
    number: int,
) -> list[Trial]:
    """Round `number`: `count` mixtures proposed from the trials so far, none of them `taken`."""
    draw = settings.seed + 1000 * number
    if settings.sampler == "gp":
        from dataselect.mixture_search.gp_sampler import suggested

        points = suggested(settings, values, count, draw)
    else:
        points = _by_surrogates(settings, values, count, draw)
    known, trials = {*values, *taken}, []
    for i, point in enumerate(points):
        trial = unlike(
            Trial(rounded(point), settings.proxy_seed), known, settings.limits.feasible, draw + i
        )
        known.add(trial)
        trials.append(trial)
    return trials


def _by_surrogates(
    settings: SearchSettings, values: Mapping[Trial, Sequence[float]], count: int, draw: int
) -> list[Array]:
    model = with_objective(settings, fit(settings, values))
    points = [best_mixture(model, settings.limits, draw)]
    folds = len(model.stack.folds)
    for i in range(1, count):
        fold = (draw + i) % folds
        points.append(best_mixture(model, settings.limits, draw + i, fold, caution=-1.0))
    return points
