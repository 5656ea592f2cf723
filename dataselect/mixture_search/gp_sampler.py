"""Propose the next trials by Optuna's GPSampler.

It works on coordinates u between 0 and 1 with shares proportional to −log u, so that the
simplex has no edges and all sources are treated alike. Each proposal comes from a new sampler,
seeded by the proposal's place in the search and given the trials of earlier rounds in sorted order.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from dataselect.mixture.trial import Trial
from dataselect.mixture_search.trial import SearchSettings, costs

Array = NDArray[np.float64]
_EDGE = 1e-9


def suggested(
    settings: SearchSettings, values: Mapping[Trial, Sequence[float]], count: int, draw: int
) -> list[Array]:
    """`count` mixtures (sources,) within the bounds."""
    names = [str(i) for i in range(len(settings.sources))]
    space = {name: FloatDistribution(_EDGE, 1 - _EDGE) for name in names}
    trials = sorted(values, key=lambda trial: (trial.shares, trial.seed))
    table = np.array([values[trial] for trial in trials])
    objective = costs(settings, table)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    for trial, value in zip(trials, objective.tolist(), strict=True):
        place = np.clip(np.exp(-len(names) * np.array(trial.shares)), _EDGE, 1 - _EDGE)
        params = dict(zip(names, place.tolist(), strict=True))
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=dict(space), value=value)
        )
    points = []
    for i in range(count):
        study.sampler = optuna.samplers.GPSampler(
            seed=draw + i, n_startup_trials=0, deterministic_objective=False
        )
        params = study.ask(dict(space)).params
        logs = -np.log([params[name] for name in names])
        points.append(settings.limits.feasible.project(logs / logs.sum())[0])
    return points
