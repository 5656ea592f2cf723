"""Agreement among the pairs of candidates that the proxy tells apart best.

A ranking is not equally sure of all pairs. Two questions are answered. How right are the surest
quarter, half, ... of the pairs, those with the largest proxy difference in units of its noise? And
when seeds of the proxy say how noisy a difference is, how right are the pairs that it calls with
a stated probability?

That probability knows the proxy's seeds alone. The proxy may rank candidates otherwise than the
target however often it is trained, so the pairs are mostly less right than stated; by how much is
what the comparison shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Array = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75, 1.0)
CONFIDENCES = (0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class SeedNoise:
    """Noise of a proxy's mean scores, from its seeds.

    `sd` of one seed, pooled over candidates with `freedom` degrees of freedom; `seeds` of each
    candidate, shape (candidates,).
    """

    sd: float
    freedom: int
    seeds: Array


@dataclass(frozen=True)
class KeptPairs:
    """The surest `share` of the pairs.

    `least_difference` is that of the least sure pair kept, in units of a difference's seed noise
    or, without seeds, of the candidates' standard deviation; 0 where there is none.
    """

    share: float
    pairs: int
    accuracy: float
    least_difference: float


@dataclass(frozen=True)
class StatedPairs:
    """The pairs called with at least a `confidence` that knows the proxy's seeds alone.

    `stated` is the mean of their probabilities and `accuracy` what came true; None without a pair.
    """

    confidence: float
    share: float
    pairs: int
    stated: float | None
    accuracy: float | None


def surest_pairs(
    proxy: Array, target: Array, noise: SeedNoise | None, shares: Sequence[float] = SHARES
) -> tuple[KeptPairs, ...]:
    """Agreement among the surest shares of the pairs that the target does not tie.

    `proxy` and `target` have shape (candidates,), higher is better. Pairs that are as sure as each
    other at the cut count by their mean, which is what choosing among them at random would give.
    """
    differences, right, errors = _pairs(proxy, target, noise)
    if errors is None or not errors.any():
        errors = np.full(len(differences), float(proxy.std()))
    units = np.divide(differences, errors, out=np.zeros_like(differences), where=errors > 0)
    # Differences of equal size may differ in their last digit.
    scale = float(units.max()) or 1.0
    sureness = np.round(units / scale, 12)
    ordered = np.sort(sureness)[::-1]
    found = []
    for share in shares:
        count = math.ceil(share * len(ordered) - 1e-9)
        cut = ordered[count - 1]
        surer = right[sureness > cut]
        at_cut = float(right[sureness == cut].mean())
        accuracy = (float(surer.sum()) + (count - len(surer)) * at_cut) / count
        found.append(KeptPairs(share, count, accuracy, float(cut) * scale))
    return tuple(found)


def stated_pairs(
    proxy: Array, target: Array, noise: SeedNoise, confidences: Sequence[float] = CONFIDENCES
) -> tuple[StatedPairs, ...]:
    """Agreement among the pairs whose order the proxy's seeds call with each confidence.

    The probability is Student's t of the difference over its seed noise; arguments as for
    `surest_pairs`.
    """
    differences, right, errors = _pairs(proxy, target, noise)
    assert errors is not None
    sure = np.where(differences > 0, np.inf, 0.0)
    z = np.divide(differences, errors, out=sure, where=errors > 0)
    probability = stdtr(noise.freedom, z)
    found = []
    for confidence in confidences:
        kept = probability >= confidence
        count = int(kept.sum())
        found.append(
            StatedPairs(
                confidence,
                count / len(kept),
                count,
                float(probability[kept].mean()) if count else None,
                float(right[kept].mean()) if count else None,
            )
        )
    return tuple(found)


def _pairs(
    proxy: Array, target: Array, noise: SeedNoise | None
) -> tuple[Array, Array, Array | None]:
    """|proxy difference|, rightness (1, 1/2 for a proxy tie, 0) and seed error of each pair."""
    first, second = np.triu_indices(len(proxy), 1)
    true = target[first] - target[second]
    first, second, true = first[true != 0], second[true != 0], true[true != 0]
    seen = proxy[first] - proxy[second]
    right = (1 + np.sign(seen) * np.sign(true)) / 2
    errors = None
    if noise is not None:
        errors = noise.sd * np.sqrt(1 / noise.seeds[first] + 1 / noise.seeds[second])
    return np.abs(seen), right, errors
