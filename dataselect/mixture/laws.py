"""Laws of how a metric falls with the data: one curve of the weights with few parameters.

The effective-data law says that source j is worth t_j tokens of the metric's own kind for each of
its own, with diminishing returns: cost = c + A·(s + Σ_j t_j·w_j^β)^(-α), t_j ≥ 0. The exponential
mixing law is cost = c + A·exp(Σ_j t_j·w_j), t_j of either sign. Both are fitted one metric at a
time; a monotone law of the mean of metrics would say that more of everything is better.

What must be positive is a parameter by its logarithm. So fitting has no bounds, a prior that is
normal is a natural one, and a swarm with fewer runs than parameters still has one best fit.

A parameter vector is (c, ln A, ...); in standard units of the metric, costs being better when
lower.

Text that is read again is worth less than new text. `RepeatedData` is the effective-data law of
weights that count so: of U tokens read e > 1 times, as many as U·(1 + R·(1 − exp(−(e − 1)/R))) new
ones would be (Muennighoff et al. 2023, arXiv 2305.16264). R is one parameter of a metric, the same
for all sources, around the published one where runs do not tell.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LOWEST_COSTS = (0.3, 1.0)
"""Where starts put the asymptote, in standard deviations below the lowest cost."""

PUBLISHED_REPETITION = 15.0
"""R of the paper: the value of repeated tokens falls to 1/e at so many repetitions."""


@dataclass(frozen=True)
class Prior:
    """Independent normals: `mean` and `precision` of shape (parameters,); precision 0 is flat."""

    mean: Array
    precision: Array


@dataclass(frozen=True)
class EffectiveData:
    """The effective-data law, with the exponent of weights free or fixed at `beta`."""

    beta: float | None = None

    def prior(self, sources: int) -> Prior:
        """Weak: each source worth the same, give or take a factor of e²."""
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
        """Derivatives of the costs by the weights, (metrics, mixtures, sources); 0 where unused."""
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
        """Weak: rates of either sign, up to a few."""
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
    """The effective-data law of weights by what their text is worth, R being the last parameter.

    `rates` are the epochs over a source's text that a weight of 1 is, (sources,) or for each of the
    mixtures that costs are asked of; 0 for text without end.
    """

    rates: Array

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
    """Weights by what their text is worth, and slopes by ln R, (metrics, mixtures, sources).

    Weights of text that is read once at most are as they are.
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
