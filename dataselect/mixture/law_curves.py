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

    def slopes(self, metric: int, out: Array) -> None:
        """Write the derivatives of a metric's costs by its parameters to `out`.

        `out`, (parameters, mixtures), holds zeros or slopes of the same curve: what is always 0 is
        not written.
        """
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
    place: Index
    """(used,): where a share is in the flattened (sources, mixtures)."""
    shape: tuple[int, int]
    """Numbers of mixtures and sources."""

    @classmethod
    def of(cls, shares: Array) -> "Used":
        """The places of shares (mixtures, sources)."""
        mixture, source = np.nonzero(shares > 0)
        filled, begins = np.unique(mixture, return_index=True)
        place = source * len(shares) + mixture
        return cls(mixture, source, begins, filled, place, (shares.shape[0], shares.shape[1]))

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
        weighed = parameters[:, 5:].take(used.source, axis=1)
        weighed += np.exp(log_beta) * logs
        np.exp(weighed, out=weighed)
        data = np.exp(log_start) + used.sums(weighed)
        above = np.exp(log_scale - np.exp(log_alpha) * np.log(data))
        return cls(used, logs, parameters, above, data, weighed)

    @property
    def values(self) -> Array:
        """Costs, (metrics, mixtures)."""
        return self.parameters[:, :1] + self.above

    def slopes(self, metric: int, out: Array) -> None:
        """As of `Point`."""
        parameters, above, data = self.parameters[metric], self.above[metric], self.data[metric]
        weighed, logs = (
            self.weighed[metric],
            self.logs if self.logs.ndim == 1 else self.logs[metric],
        )
        start, alpha, beta = np.exp(parameters[2:5])
        per_data = self.per_data(metric)
        out[0] = 1
        out[1] = above
        out[2] = per_data * start
        out[3] = -above * alpha * np.log(data)
        out[4] = per_data * beta * self.used.sums((weighed * logs)[None])[0]
        out[5:].reshape(-1)[self.used.place] = per_data.take(self.used.mixture) * weighed

    def per_data(self, metric: int) -> Array:
        """Derivatives of a metric's costs by the effective data, (mixtures,)."""
        alpha = np.exp(self.parameters[metric, 3])
        per_data: Array = -alpha * self.above[metric] / self.data[metric]
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

    def slopes(self, metric: int, out: Array) -> None:
        """As of `Point`."""
        plain = self.plain
        plain.slopes(metric, out)
        by_worth = plain.weighed[metric] * self.per_log[metric]
        by_repetition = plain.used.sums(by_worth[None])[0]
        out[-1] = np.exp(plain.parameters[metric, 4]) * plain.per_data(metric) * by_repetition


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

    def slopes(self, metric: int, out: Array) -> None:
        """As of `Point`."""
        above = self.above[metric]
        out[0] = 1
        out[1] = above
        np.multiply(above, self.shares.T, out=out[2:])


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
