"""A design: which mixtures to train around a prior.

A low-discrepancy sequence (scrambled Sobol') is turned into Dirichlet draws through the gamma
distribution's quantiles, so that few mixtures cover the simplex evenly. Their mean is the prior;
their concentration varies from sparse to close to it, since laws need small and large shares.
The prior itself comes first, with replicates: they measure the noise of training.

`designed_trials` is such a design as it is trained: within bounds, in whole ten-thousandths, no
mixture twice with one seed. A search begins with it, and a swarm for a trainer of one's own is it.
"""

from collections.abc import Collection, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma, qmc

from dataselect.mixture.feasible import Feasible
from dataselect.mixture.trial import Trial, rounded

Array = NDArray[np.float64]

_CONCENTRATIONS = (0.5, 8.0)
"""Per source, from the sparsest draws to those closest to the prior; evenly spaced in logs."""
_PRIOR_FLOOR = 0.02
"""A source with almost no share of the prior still has to be in some runs."""
_STRANGER = 0.3
"""How much of a random mixture is added to one that would otherwise be trained again."""


def design(prior: Array, count: int, seed: int, replicates: int = 2, skip: int = 0) -> Array:
    """`count` mixtures, shape (count, sources), the first `replicates` being the prior.

    `skip` points of the sequence are left out: those of an earlier design with the same seed.
    """
    sources = len(prior)
    first = np.tile(prior, (min(replicates, count), 1))
    if count <= replicates:
        return first
    needed = count - replicates
    sampler = qmc.Sobol(sources + 1, seed=seed)
    if skip:
        sampler.fast_forward(skip)
    points = sampler.random(1 << (needed - 1).bit_length())[:needed]
    points = np.clip(points, 1e-9, 1 - 1e-9)
    low, high = np.log(_CONCENTRATIONS)
    concentration = sources * np.exp(low + (high - low) * points[:, :1])
    centre = np.maximum(prior, _PRIOR_FLOOR / sources)
    centre /= centre.sum()
    draws = np.maximum(gamma.ppf(points[:, 1:], centre * concentration), 1e-12)
    return np.vstack([first, draws / draws.sum(axis=1, keepdims=True)])


def designed_trials(
    prior: Array,
    feasible: Feasible,
    count: int,
    seed: int,
    *,
    replicates: int = 2,
    first_seed: int = 0,
    taken: Collection[Trial] = (),
) -> list[Trial]:
    """The design as `count` trials within the bounds, none of them `taken`.

    The prior comes first, as it is, with seeds that count up from `first_seed`; the other mixtures
    are trained with that seed.
    """
    points = design(prior, count, seed, replicates, len(taken))
    points[replicates:] = feasible.project(points[replicates:])
    first = rounded(prior)
    known = set(taken)
    trials: list[Trial] = []
    free = first_seed
    for _ in points[:replicates]:
        while Trial(first, free) in known:
            free += 1
        trials.append(Trial(first, free))
        known.add(trials[-1])
    # Narrow bounds project several points onto one.
    for i, point in enumerate(points[replicates:], start=len(trials)):
        trials.append(unlike(Trial(rounded(point), first_seed), known, feasible, i))
        known.add(trials[-1])
    return trials


def unlike(trial: Trial, taken: Set[Trial], feasible: Feasible, draw: int) -> Trial:
    """The trial, or one near it that is not taken; `draw` is a seed of the random mixtures."""
    rng = np.random.default_rng(draw)
    fresh = trial
    for _ in range(100):
        if fresh not in taken:
            return fresh
        other = rng.dirichlet(np.ones(len(trial.shares)))
        mixed = (1 - _STRANGER) * np.array(trial.shares) + _STRANGER * other
        fresh = replace(trial, shares=rounded(feasible.project(mixed)[0]))
    # The bounds leave no other mixture: another seed of this one at least measures the noise.
    free = trial.seed
    while Trial(trial.shares, free) in taken:
        free += 1
    return Trial(trial.shares, free)
