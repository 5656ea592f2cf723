"""A design: which mixtures to train around a prior.

A low-discrepancy sequence (scrambled Sobol') is turned into Dirichlet draws through the gamma
distribution's quantiles, so that few mixtures cover the simplex evenly. Their mean is the prior;
their concentration varies from sparse to close to it, since laws need small and large shares.
The prior itself comes first, with replicates: they measure the noise of training.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma, qmc

Array = NDArray[np.float64]

_CONCENTRATIONS = (0.5, 8.0)
"""Per source, from the sparsest draws to those closest to the prior; evenly spaced in logs."""
_PRIOR_FLOOR = 0.02
"""A source with almost no share of the prior still has to be in some runs."""


def design(prior: Array, count: int, seed: int, replicates: int = 2) -> Array:
    """`count` mixtures, shape (count, sources), the first `replicates` being the prior."""
    sources = len(prior)
    first = np.tile(prior, (min(replicates, count), 1))
    if count <= replicates:
        return first
    needed = count - replicates
    sampler = qmc.Sobol(sources + 1, seed=seed)
    points = sampler.random(1 << (needed - 1).bit_length())[:needed]
    points = np.clip(points, 1e-9, 1 - 1e-9)
    low, high = np.log(_CONCENTRATIONS)
    concentration = sources * np.exp(low + (high - low) * points[:, :1])
    centre = np.maximum(prior, _PRIOR_FLOOR / sources)
    centre /= centre.sum()
    draws = np.maximum(gamma.ppf(points[:, 1:], centre * concentration), 1e-12)
    return np.vstack([first, draws / draws.sum(axis=1, keepdims=True)])
