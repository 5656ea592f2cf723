"""Agreement among the pairs of candidates that the proxy separates best.

A ranking is not equally sure of all pairs. Two questions are answered. What is the decision
accuracy among the surest quarter, half, ... of the pairs, those with the largest proxy difference
in units of its noise? And where seeds of the proxy show the noise of a difference, what is it among
the pairs whose order has at least a given probability?

That probability includes the noise of the proxy's seeds only. However often the proxy is trained,
it may rank candidates unlike the target, so the accuracy is mostly lower than the probability; the
comparison shows by how much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75, 1.0)
CONFIDENCES = (0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class SeedNoise:
    """Noise of a proxy's mean scores, from its seeds."""

    sd: float
    """Standard deviation of one seed, pooled over candidates."""
    freedom: int
    """Degrees of freedom of `sd`."""
    seeds: Array
    """Number of seeds of each candidate, shape (candidates,)."""


@dataclass(frozen=True)
class KeptPairs:
    """Decision accuracy among the surest share of the pairs."""

    share: float
    """Share of the pairs kept, in 0..1."""
    pairs: int
    """Number of pairs kept."""
    accuracy: float
    """Decision accuracy among them, in 0..1."""
    least_difference: float
    """Proxy difference of the least sure pair kept, in units of a difference's seed noise or,
    without seeds, of the candidates' standard deviation; 0 if they do not differ."""


@dataclass(frozen=True)
class StatedPairs:
    """Stated probability and decision accuracy among the pairs with at least some confidence."""

    confidence: float
    """Least probability of a pair's order, from the proxy's seeds alone."""
    share: float
    """Share of all pairs that have it, in 0..1."""
    pairs: int
    """Number of pairs that have it."""
    stated: float | None
    """Mean of their probabilities; None without a pair."""
    accuracy: float | None
    """Decision accuracy among them; None without a pair."""


def surest_pairs(
    proxy: Array, target: Array, noise: SeedNoise | None, shares: Sequence[float] = SHARES
) -> tuple[KeptPairs, ...]:
    """Agreement among the surest shares of the pairs that the target does not tie.

    `proxy` and `target` have shape (candidates,), higher is better. Equally sure pairs at the cut
    count by their mean, the expected result of choosing among them at random.
    """
    differences, right, errors = _pairs(proxy, target, noise)
    if errors is None or not errors.any():
        errors = np.full(len(differences), float(proxy.std()))
    units = np.divide(differences, errors, out=np.zeros_like(differences), where=errors > 0)
    # Equal differences may differ in their last digit.
    scale = float(units.max()) or 1.0
    sureness = np.round(units / scale, 12)
    ordered = np.sort(sureness)[::-1]
    kept = []
    for share in shares:
        count = math.ceil(share * len(ordered) - 1e-9)
        cut = ordered[count - 1]
        surer = right[sureness > cut]
        at_cut = float(right[sureness == cut].mean())
        accuracy = (float(surer.sum()) + (count - len(surer)) * at_cut) / count
        kept.append(KeptPairs(share, count, accuracy, float(cut) * scale))
    return tuple(kept)


def stated_pairs(
    proxy: Array, target: Array, noise: SeedNoise, confidences: Sequence[float] = CONFIDENCES
) -> tuple[StatedPairs, ...]:
    """Agreement among the pairs whose order has at least each confidence, given the proxy's seeds.

    The probability is Student's t of the difference over its seed noise. Arguments as for
    `surest_pairs`.
    """
    # Imported here: it takes a tenth of a second, and a cached run does without.
    from scipy.special import stdtr

    differences, right, errors = _pairs(proxy, target, noise)
    assert errors is not None
    sure = np.where(differences > 0, np.inf, 0.0)
    z = np.divide(differences, errors, out=sure, where=errors > 0)
    probability = stdtr(noise.freedom, z)
    stated = []
    for confidence in confidences:
        kept = probability >= confidence
        count = int(kept.sum())
        stated.append(
            StatedPairs(
                confidence,
                count / len(kept),
                count,
                float(probability[kept].mean()) if count else None,
                float(right[kept].mean()) if count else None,
            )
        )
    return tuple(stated)


def _pairs(
    proxy: Array, target: Array, noise: SeedNoise | None
) -> tuple[Array, Array, Array | None]:
    """|proxy difference|, correctness (1, 1/2 for a proxy tie, 0) and seed error of each pair."""
    first, second = np.triu_indices(len(proxy), 1)
    true = target[first] - target[second]
    first, second, true = first[true != 0], second[true != 0], true[true != 0]
    observed = proxy[first] - proxy[second]
    right = (1 + np.sign(observed) * np.sign(true)) / 2
    errors = None
    if noise is not None:
        errors = noise.sd * np.sqrt(1 / noise.seeds[first] + 1 / noise.seeds[second])
    return np.abs(observed), right, errors
