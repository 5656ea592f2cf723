"""Laws at given mixtures: what every step of a fit needs of them, computed once.

Most mixtures of many sources leave most of them out, and a share of 0 adds nothing to the data nor
to a slope. So powers of shares are taken of the shares above 0 alone. A step of a fit needs costs
first, and slopes only if the costs fell, so slopes are made of what the costs were made of (`at`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Point(Protocol):
    """A law at mixtures with one parameter vector for each metric."""

    @property
    def values(self) -> Array:
        """Costs, (metrics, mixtures)."""
        ...

    def slopes(self) -> Array:
        """Derivatives of the costs by the parameters, (metrics, mixtures, parameters)."""
        ...

    def of(self, metrics: NDArray[np.bool_]) -> "Point":
        """The same for some of the metrics."""
        ...


class Curve(Protocol):
    """A law at mixtures, to be asked for many parameters."""

    def at(self, parameters: Array) -> Point:
        """The law with parameters (metrics, parameters)."""
        ...


@dataclass(frozen=True, eq=False)
class Used:
    """Which shares are above 0, mixture by mixture."""

    mixture: Index
    """(used,), ascending."""
    source: Index
    """(used,)."""
    begins: Index
    """Where a mixture's begin, for the mixtures that use any source."""
    filled: Index
    """These mixtures."""
    shape: tuple[int, int]
    """Numbers of mixtures and sources."""

    @classmethod
    def of(cls, shares: Array) -> "Used":
        """The places of shares (mixtures, sources)."""
        mixture, source = np.nonzero(shares > 0)
        filled, begins = np.unique(mixture, return_index=True)
        return cls(mixture, source, begins, filled, (shares.shape[0], shares.shape[1]))

    def sums(self, terms: Array) -> Array:
        """Sums of terms (metrics, used) over the sources of each mixture, (metrics, mixtures)."""
        if not len(self.begins):
            return np.zeros((len(terms), self.shape[0]))
        summed: Array = np.add.reduceat(terms, self.begins, axis=1)
        if len(self.filled) == self.shape[0]:
            return summed
        found = np.zeros((len(terms), self.shape[0]))
        found[:, self.filled] = summed
        return found


@dataclass(frozen=True, eq=False)
class DataPoint:
    """The effective-data law with parameters."""

    used: Used
    """The shares above 0."""
    logs: Array
    """Their logarithms, (used,) or (metrics, used)."""
    parameters: Array
    """(metrics, parameters)."""
    above: Array
    """Costs above the asymptote, (metrics, mixtures)."""
    data: Array
    """Effective data, (metrics, mixtures)."""
    weighed: Array
    """What each share adds to it, (metrics, used)."""

    @classmethod
    def make(cls, used: Used, logs: Array, parameters: Array) -> "DataPoint":
        """The law with parameters (metrics, parameters), given the logarithms of shares."""
        _, log_scale, log_start, log_alpha, log_beta = parameters[:, :5].T[:, :, None]
        weighed = np.exp(np.exp(log_beta) * logs)
        weighed *= np.exp(parameters[:, 5:]).take(used.source, axis=1)
        data = np.exp(log_start) + used.sums(weighed)
        above = np.exp(log_scale - np.exp(log_alpha) * np.log(data))
        return cls(used, logs, parameters, above, data, weighed)

    @property
    def values(self) -> Array:
        """Costs, (metrics, mixtures)."""
        return self.parameters[:, :1] + self.above

    def of(self, metrics: NDArray[np.bool_]) -> "DataPoint":
        """The same for some of the metrics."""
        logs = self.logs if self.logs.ndim == 1 else self.logs[metrics]
        return DataPoint(
            self.used,
            logs,
            self.parameters[metrics],
            self.above[metrics],
            self.data[metrics],
            self.weighed[metrics],
        )

    def slopes(self) -> Array:
        """Derivatives of the costs by the parameters, (metrics, mixtures, parameters)."""
        alpha, beta = np.exp(self.parameters[:, 3:4]), np.exp(self.parameters[:, 4:5])
        per_data = self.per_data
        slopes = np.zeros((*self.above.shape, self.parameters.shape[1]))
        slopes[:, :, 0] = 1
        slopes[:, :, 1] = self.above
        slopes[:, :, 2] = per_data * np.exp(self.parameters[:, 2:3])
        slopes[:, :, 3] = -self.above * alpha * np.log(self.data)
        slopes[:, :, 4] = per_data * beta * self.used.sums(self.weighed * self.logs)
        place = self.used.mixture * slopes.shape[2] + 5 + self.used.source
        flat = slopes.reshape(len(slopes), -1)
        flat[:, place] = per_data.take(self.used.mixture, axis=1) * self.weighed
        return slopes

    @property
    def per_data(self) -> Array:
        """Derivatives of the costs by the effective data, (metrics, mixtures)."""
        per_data: Array = -np.exp(self.parameters[:, 3:4]) * self.above / self.data
        return per_data


@dataclass(frozen=True, eq=False)
class DataCurve:
    """The effective-data law at mixtures."""

    used: Used
    """The shares above 0."""
    logs: Array
    """Their logarithms, (used,)."""

    def at(self, parameters: Array) -> DataPoint:
        """The law with parameters (metrics, parameters)."""
        return DataPoint.make(self.used, self.logs, parameters)


@dataclass(frozen=True, eq=False)
class RepeatedPoint:
    """The effective-data law of repeated text with parameters, that of R last."""

    plain: DataPoint
    """The law at what the shares are worth."""
    per_log: Array
    """Derivatives of what a share is worth by ln R, divided by it, (metrics, used)."""

    @property
    def values(self) -> Array:
        """Costs, (metrics, mixtures)."""
        return self.plain.values

    def of(self, metrics: NDArray[np.bool_]) -> "RepeatedPoint":
        """The same for some of the metrics."""
        return RepeatedPoint(self.plain.of(metrics), self.per_log[metrics])

    def slopes(self) -> Array:
        """Derivatives of the costs by the parameters, (metrics, mixtures, parameters)."""
        plain = self.plain
        by_worth = np.exp(plain.parameters[:, 4:5]) * plain.weighed * self.per_log
        by_repetition = plain.per_data * plain.used.sums(by_worth)
        return np.concatenate([plain.slopes(), by_repetition[:, :, None]], axis=2)


@dataclass(frozen=True, eq=False)
class RepeatedCurve:
    """The effective-data law of repeated text at mixtures."""

    used: Used
    """The shares above 0."""
    shares: Array
    """These shares, (used,)."""
    rates: Array
    """Epochs over their text at a share of 1, (used,)."""

    def at(self, parameters: Array) -> RepeatedPoint:
        """The law with parameters (metrics, parameters)."""
        worth, per_log = _worth(self.shares, self.rates, parameters[:, -1:])
        plain = DataPoint.make(self.used, np.log(worth), parameters[:, :-1])
        return RepeatedPoint(plain, per_log / worth)


def _worth(shares: Array, rates: Array, log_repetition: Array) -> tuple[Array, Array]:
    """Shares by what their text is worth, and slopes by ln R, (metrics, used).

    Shares of text that is read at most once are unchanged.
    """
    repetition = np.exp(log_repetition)
    again = np.maximum(rates * shares - 1, 0)
    read_again = again > 0
    per_rate = 1 / np.where(read_again, rates, 1.0)
    decay = np.exp(-again / repetition)
    size = repetition * per_rate
    worth = np.where(read_again, per_rate + size * (1 - decay), shares)
    return worth, np.where(read_again, size * (1 - decay * (1 + again / repetition)), 0.0)


@dataclass(frozen=True, eq=False)
class ExponentialPoint:
    """The exponential mixing law with parameters."""

    shares: Array
    """(mixtures, sources)."""
    parameters: Array
    """(metrics, parameters)."""
    above: Array
    """Costs above the asymptote, (metrics, mixtures)."""

    @property
    def values(self) -> Array:
        """Costs, (metrics, mixtures)."""
        return self.parameters[:, :1] + self.above

    def of(self, metrics: NDArray[np.bool_]) -> "ExponentialPoint":
        """The same for some of the metrics."""
        return ExponentialPoint(self.shares, self.parameters[metrics], self.above[metrics])

    def slopes(self) -> Array:
        """Derivatives of the costs by the parameters, (metrics, mixtures, parameters)."""
        slopes = np.empty((*self.above.shape, self.parameters.shape[1]))
        slopes[:, :, 0] = 1
        slopes[:, :, 1] = self.above
        np.multiply(self.above[:, :, None], self.shares, out=slopes[:, :, 2:])
        return slopes


@dataclass(frozen=True, eq=False)
class ExponentialCurve:
    """The exponential mixing law at mixtures."""

    shares: Array
    """(mixtures, sources)."""

    def at(self, parameters: Array) -> ExponentialPoint:
        """The law with parameters (metrics, parameters)."""
        # A trial step may overshoot; it is then refused for its cost, so it only has to be finite.
        exponent = np.clip(parameters[:, 1:2] + parameters[:, 2:] @ self.shares.T, -50, 30)
        return ExponentialPoint(self.shares, parameters, np.exp(exponent))
