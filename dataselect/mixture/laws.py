"""Laws of how a metric falls with the data: one curve of the shares with few parameters.

In the effective-data law a token of source j is worth t_j tokens of the metric's own kind, with
diminishing returns: cost = c + A·(s + Σ_j t_j·w_j^β)^(-α), t_j ≥ 0. The exponential
mixing law is cost = c + A·exp(Σ_j t_j·w_j), t_j of either sign. Both are fitted one metric at a
time; a monotone law of the mean of metrics would imply that more of everything is better.

Positive quantities are parameters by their logarithms. So fitting has no bounds, normal priors are
natural, and a swarm with fewer runs than parameters still has one best fit.

A parameter vector is (c, ln A, ...), in standard units of the metric; lower costs are better.

Text that is read again is worth less than new text. `RepeatedData` is the effective-data law in
which U tokens read e > 1 times count as U·(1 + R·(1 − exp(−(e − 1)/R))) new ones (Muennighoff et
al. 2023, arXiv 2305.16264). R is one parameter of a metric, the same for all sources, and stays
near the published value where the runs say little about it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.law_curves import DataCurve, ExponentialCurve, RepeatedCurve, Used

Array = NDArray[np.float64]

_LOWEST_COSTS = (0.3, 1.0)
"""The asymptotes that fits start from, in standard deviations below the lowest cost."""

PUBLISHED_REPETITION = 15.0
"""R of the paper: after this many repetitions the value of repeated tokens has fallen to 1/e."""


@dataclass(frozen=True)
class Prior:
    """Independent normal priors of the parameters."""

    mean: Array
    """(parameters,)."""
    precision: Array
    """(parameters,), 1 / variance; 0 is a flat prior."""


@dataclass(frozen=True)
class EffectiveData:
    """The effective-data law."""

    beta: float | None = None
    """The exponent of shares; None: it is fitted."""

    def prior(self, sources: int) -> Prior:
        """Weak: each source is worth the same, within a factor of e²."""
        exponent = 0.7 if self.beta is None else self.beta
        spread = 0.5 if self.beta is None else 1e-4
        mean = np.array([0.0, 0.0, np.log(0.1), np.log(0.5), np.log(exponent), *[0.0] * sources])
        sd = np.array([np.inf, np.inf, 2.0, 1.0, spread, *[2.0] * sources])
        return Prior(mean, 1 / sd**2)

    def starts(self, costs: Array, sources: int) -> Array:
        """Points to fit from, shape (starts, metrics, parameters), for costs (metrics, runs)."""
        prior, found = self.prior(sources).mean, []
        for below, alpha in zip(_LOWEST_COSTS, (0.5, 1.0), strict=True):
            point = np.tile(prior, (len(costs), 1))
            point[:, 0] = costs.min(axis=1) - below
            point[:, 1] = np.log(costs.mean(axis=1) - point[:, 0])
            point[:, 3] = np.log(alpha)
            found.append(point)
        return np.array(found)

    def curve(self, shares: Array) -> DataCurve:
        """The law at these mixtures, (mixtures, sources)."""
        used = Used.of(shares)
        return DataCurve(used, np.log(shares[used.mixture, used.source]))

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        return self.curve(shares).at(parameters).values


@dataclass(frozen=True)
class Exponential:
    """The exponential mixing law."""

    def prior(self, sources: int) -> Prior:
        """Weak: t_j of either sign, with a standard deviation of 4."""
        sd = np.array([np.inf, np.inf, *[4.0] * sources])
        return Prior(np.zeros(sources + 2), 1 / sd**2)

    def starts(self, costs: Array, sources: int) -> Array:
        """As of the effective-data law."""
        found = []
        for below in _LOWEST_COSTS:
            point = np.zeros((len(costs), sources + 2))
            point[:, 0] = costs.min(axis=1) - below
            point[:, 1] = np.log(costs.mean(axis=1) - point[:, 0])
            found.append(point)
        return np.array(found)

    def curve(self, shares: Array) -> ExponentialCurve:
        """As of the effective-data law."""
        return ExponentialCurve(shares)

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        return self.curve(shares).at(parameters).values


@dataclass(frozen=True, eq=False)
class RepeatedData:
    """The effective-data law with repeated text counted at its worth; R is the last parameter."""

    rates: Array
    """Epochs over each source's text at a share of 1, (sources,) or (mixtures, sources); 0 for
    unlimited text."""

    def prior(self, sources: int) -> Prior:
        """As of the effective-data law; R within a factor of e of the published one."""
        known = _PLAIN.prior(sources)
        return Prior(
            np.append(known.mean, np.log(PUBLISHED_REPETITION)), np.append(known.precision, 1.0)
        )

    def starts(self, costs: Array, sources: int) -> Array:
        """As of the effective-data law."""
        found = _PLAIN.starts(costs, sources)
        repetition = np.full((*found.shape[:2], 1), np.log(PUBLISHED_REPETITION))
        return np.concatenate([found, repetition], axis=2)

    def curve(self, shares: Array) -> RepeatedCurve:
        """As of the effective-data law."""
        used = Used.of(shares)
        rates = np.broadcast_to(self.rates, shares.shape)
        return RepeatedCurve(
            used, shares[used.mixture, used.source], rates[used.mixture, used.source]
        )

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        return self.curve(shares).at(parameters).values


_PLAIN = EffectiveData()

Law = EffectiveData | RepeatedData | Exponential
