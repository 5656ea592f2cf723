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

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        return self._parts(parameters, shares)[0]

    def values_and_slopes(self, parameters: Array, shares: Array) -> tuple[Array, Array]:
        """Costs and their derivatives by the parameters, (metrics, mixtures, parameters)."""
        values, above, per_data, data, powers, logs, worth = self._parts(parameters, shares)
        alpha = np.exp(parameters[:, 3, None])
        slopes = np.empty((*values.shape, parameters.shape[1]))
        slopes[:, :, 0] = 1
        slopes[:, :, 1] = above
        slopes[:, :, 2] = per_data * np.exp(parameters[:, 2, None])
        slopes[:, :, 3] = -above * alpha * np.log(data)
        weighed = powers * worth[:, None, :]
        slopes[:, :, 5:] = per_data[:, :, None] * weighed
        beta = np.exp(parameters[:, 4, None])
        by_metric = "mnj" if logs.ndim == 3 else "nj"
        slopes[:, :, 4] = per_data * beta * np.einsum(f"mnj,{by_metric}->mn", weighed, logs)
        return values, slopes

    def slopes_by_shares(self, parameters: Array, shares: Array) -> Array:
        """Derivatives of the costs by the shares, (metrics, mixtures, sources); 0 where unused."""
        _, _, per_data, _, powers, _, worth = self._parts(parameters, shares)
        beta = np.exp(parameters[:, 4, None, None])
        used = shares > 0
        per_share = beta * powers * worth[:, None, :] / np.where(used, shares, 1.0)
        slopes: Array = per_data[:, :, None] * per_share
        return slopes

    def _parts(self, parameters: Array, shares: Array) -> tuple[Array, ...]:
        offset, log_scale, log_start, log_alpha, log_beta = parameters[:, :5].T[:, :, None]
        used = shares > 0
        logs = np.log(np.where(used, shares, 1.0))
        powers = np.exp(np.exp(log_beta)[:, :, None] * logs) * used
        worth = np.exp(parameters[:, 5:])
        data = np.exp(log_start) + np.matmul(powers, worth[:, :, None])[:, :, 0]
        alpha = np.exp(log_alpha)
        above = np.exp(log_scale - alpha * np.log(data))
        return offset + above, above, -alpha * above / data, data, powers, logs, worth


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

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        return parameters[:, :1] + self._above(parameters, shares)

    def values_and_slopes(self, parameters: Array, shares: Array) -> tuple[Array, Array]:
        """As of the effective-data law."""
        above = self._above(parameters, shares)
        slopes = np.empty((*above.shape, parameters.shape[1]))
        slopes[:, :, 0] = 1
        slopes[:, :, 1] = above
        slopes[:, :, 2:] = above[:, :, None] * shares
        return parameters[:, :1] + above, slopes

    def _above(self, parameters: Array, shares: Array) -> Array:
        # A trial step may overshoot; it is then refused for its cost, so it only has to be finite.
        exponent = np.clip(parameters[:, 1:2] + parameters[:, 2:] @ shares.T, -50, 30)
        above: Array = np.exp(exponent)
        return above


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

    def values(self, parameters: Array, shares: Array) -> Array:
        """Costs, shape (metrics, mixtures)."""
        worth, _ = _worth(shares, self.rates, parameters[:, -1])
        return _PLAIN.values(parameters[:, :-1], worth)

    def values_and_slopes(self, parameters: Array, shares: Array) -> tuple[Array, Array]:
        """As of the effective-data law."""
        worth, per_log = _worth(shares, self.rates, parameters[:, -1])
        values, slopes = _PLAIN.values_and_slopes(parameters[:, :-1], worth)
        by_repetition = (_PLAIN.slopes_by_shares(parameters[:, :-1], worth) * per_log).sum(axis=2)
        return values, np.concatenate([slopes, by_repetition[:, :, None]], axis=2)


def _worth(shares: Array, rates: Array, log_repetition: Array) -> tuple[Array, Array]:
    """Shares by what their text is worth, and slopes by ln R, (metrics, mixtures, sources).

    Shares of text that is read at most once are unchanged.
    """
    repetition = np.exp(log_repetition)[:, None, None]
    again = np.maximum(rates * shares - 1, 0)
    rates = np.broadcast_to(rates, shares.shape)
    decay = np.exp(-again / repetition)
    size = repetition / np.where(again > 0, rates, 1.0)
    worth = np.where(again > 0, 1 / np.where(again > 0, rates, 1.0) + size * (1 - decay), shares)
    return worth, np.where(again > 0, size * (1 - decay * (1 + again / repetition)), 0.0)


_PLAIN = EffectiveData()

Law = EffectiveData | RepeatedData | Exponential
