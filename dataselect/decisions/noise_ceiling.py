"""How well any proxy could agree with targets that are themselves noisy.

Targets trained with different seeds rank candidates differently. The usual ceiling is the agreement
of one seed with the mean of the others. It is too low for a comparison with the mean of all seeds,
which is less noisy. `of_means` estimates what a proxy that knew the candidates' true values would
reach against the means, with normal noise and normal true values: given the means' difference d,
the true difference has mean r·d and variance r times that of the noise of d, where r is the share
of the variance that is true; so the signs agree with probability Φ(√r·|d| / noise).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.agreement import agreement_of
from dataselect.decisions.seeds import pooled_sd, seed_means
from dataselect.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseCeiling:
    """The highest decision accuracies, in 0..1, that the noise of the target's seeds allows."""

    one_seed: float
    """One seed against the mean of the others, averaged over the seeds."""
    one_seed_range: tuple[float, float]
    """Lowest and highest over the seeds."""
    of_means: float
    """Expected for the true values against the means over seeds that proxies are compared with."""
    sd: float
    """Standard deviation of one seed, pooled over candidates, in the target's unit."""
    seeds: int
    """Number of seeds."""
    candidates: int
    """Number of candidates with two seeds or more."""


def noise_ceiling(values: Array) -> NoiseCeiling | None:
    """The ceiling from target values, candidates x seeds with NaN for a missing seed.

    None unless at least three candidates have two seeds and their values differ.
    """
    values = values[np.isfinite(values).sum(axis=1) > 1]
    if len(values) < 3:
        return None
    each_seed = [_one_seed(values, seed) for seed in range(values.shape[1])]
    known = [accuracy for accuracy in each_seed if accuracy is not None]
    if not known:
        return None
    return NoiseCeiling(
        one_seed=float(np.mean(known)),
        one_seed_range=(min(known), max(known)),
        of_means=_of_means(values),
        sd=pooled_sd(values)[0],
        seeds=values.shape[1],
        candidates=len(values),
    )


def _one_seed(values: Array, seed: int) -> float | None:
    """Agreement of one seed with the mean of the others, where both are known."""
    rest = np.delete(values, seed, axis=1)
    both = np.isfinite(values[:, seed]) & np.isfinite(rest).any(axis=1)
    if both.sum() < 3:
        return None
    try:
        agreement = agreement_of(values[both, seed], seed_means(rest[both]))
    except InputError:  # the others tie all candidates
        return None
    return agreement.decision_accuracy


def _of_means(values: Array) -> float:
    sd, _ = pooled_sd(values)
    means = seed_means(values)
    noise = sd**2 / np.isfinite(values).sum(axis=1)
    true = max(float(means.var(ddof=1) - noise.mean()), 0.0)
    first, second = np.triu_indices(len(means), 1)
    differences = np.abs(means[first] - means[second])
    errors = noise[first] + noise[second]
    if not sd:
        return float(np.where(differences > 0, 1.0, 0.5).mean())
    reliable = 2 * true / (2 * true + errors)
    # Imported here: it takes a tenth of a second, and a cached run does without.
    from scipy.special import ndtr

    z = differences * np.sqrt(reliable / errors)
    return float(ndtr(z).mean())
