"""A swarm's model: every metric of any mixture of its sources, and the objective, with intervals.

Intervals are conformal: as wide as held-out errors were. An error is measured in units of the
expected error, which is larger where the surrogates disagree, so that intervals widen away from the
runs. For mixtures like those of the swarm they cover at the stated confidence; at another scale, or
far from all runs, they do not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from dataselect.mixture.objective import Objective
from dataselect.mixture.repetition import repeats
from dataselect.mixture.stack import Observe, Stack, average, errors_of, fit_stack
from dataselect.mixture.surrogates import surrogates
from dataselect.mixture.swarm import Swarm

Array = NDArray[np.float64]

_LEAST_SHARE = 0.25
"""Least part of the squared error that counts as independent of the surrogates' disagreement."""


@dataclass(frozen=True)
class Predictions:
    """What a model predicts of mixtures."""

    metrics: Array
    """In their own units, (mixtures, metrics)."""
    metrics_half: Array
    """Half widths of their intervals, (mixtures, metrics)."""
    objective: Array
    """(mixtures,)."""
    objective_half: Array
    """Half widths of its intervals, (mixtures,)."""


@dataclass(frozen=True)
class MixtureModel:
    """A swarm, and what was fitted to it to predict other mixtures."""

    swarm: Swarm
    """The runs."""
    lower_is_better: bool
    """Direction of all metrics."""
    objective: Objective
    """The weighted mean of metrics to optimise."""
    stack: Stack
    """Predicts costs: the metrics with their sign changed where higher is better."""
    seed: int
    """Of the folds and of what the surrogates draw."""

    @property
    def sign(self) -> float:
        """Factor that turns costs into values and back: 1 or −1."""
        return 1.0 if self.lower_is_better else -1.0

    @cached_property
    def costs(self) -> Array:
        """Costs of the runs, (runs, metrics)."""
        return self.sign * self.swarm.values

    @cached_property
    def errors(self) -> tuple[Array, Array]:
        """Root mean squared held-out errors, see `stack.errors_of`."""
        return errors_of(self.stack, self.costs)

    def predict(self, shares: Array, confidence: float = 0.9) -> Predictions:
        """Metrics and objective of mixtures, with intervals of that confidence."""
        members = self.stack.members(shares)
        costs = average(members, self.stack.stacking_weights)
        spread, objective_spread = self._disagreement(members)
        expected, of_objective = self._expected
        units, objective_units = self._held_out_errors
        return Predictions(
            self.sign * costs,
            _quantile(units, confidence) * _expect(expected, spread),
            self.sign * self.objective.of(costs),
            _quantile(objective_units[:, None], confidence)
            * _expect(of_objective, objective_spread),
        )

    def objective_costs(self, members: Array) -> tuple[Array, Array]:
        """Cost and expected error of the objective, (mixtures,), given what surrogates predict."""
        _, spread = self._disagreement(members)
        costs = self.objective.of(average(members, self.stack.stacking_weights))
        return costs, _expect(self._expected[1], spread)

    def tolerance(self, shares: Array) -> float:
        """Root mean squared held-out error of the objective; here the same for all `shares`."""
        return float(np.sqrt((self.objective.of(self.stack.honest - self.costs) ** 2).mean()))

    def metric_errors(self, members: Array) -> Array:
        """Expected errors of metrics, (mixtures, metrics), given what surrogates predict."""
        return _expect(self._expected[0], self._disagreement(members)[0])

    @cached_property
    def units(self) -> Array:
        """Signed held-out errors of metrics, divided by the expected ones: (runs, metrics)."""
        away: Array = self.stack.honest - self.costs
        return away / self.metric_errors(self.stack.held_out)

    def _disagreement(self, members: Array) -> tuple[Array, Array]:
        """Weighted variance among surrogates: of metrics (n, metrics), of the objective (n,)."""
        stacking = self.stack.stacking_weights
        mean = average(members, stacking)
        spread = np.einsum("skm,sm->km", (members - mean) ** 2, stacking)
        weights = self.objective.weights
        overall = stacking @ weights / weights.sum()
        away = self.objective.of(members) - self.objective.of(mean)
        return spread, overall @ away**2

    @cached_property
    def _expected(self) -> tuple[Array, Array]:
        """Part of the squared error that is the same everywhere: of metrics, of the objective."""
        spread, objective_spread = self._disagreement(self.stack.held_out)
        away = self.stack.honest - self.costs
        squares, overall = (away**2).mean(axis=0), (self.objective.of(away) ** 2).mean()
        return (
            np.maximum(squares - spread.mean(axis=0), _LEAST_SHARE * squares),
            np.maximum(overall - objective_spread.mean(), _LEAST_SHARE * overall),
        )

    @cached_property
    def _held_out_errors(self) -> tuple[Array, Array]:
        """Held-out errors of metrics and objective, divided by the expected ones."""
        _, objective_spread = self._disagreement(self.stack.held_out)
        away = self.stack.honest - self.costs
        return (
            np.abs(self.units),
            np.abs(self.objective.of(away)) / _expect(self._expected[1], objective_spread),
        )


def fit_model(
    swarm: Swarm,
    objective: Objective,
    lower_is_better: bool,
    seed: int,
    trees: bool = False,
    observe: Observe = lambda done, total: None,
) -> MixtureModel:
    """Fit every surrogate to a swarm; epochs are used only if some are above 1.

    `observe` is told how far the fits are.
    """
    costs = swarm.values if lower_is_better else -swarm.values
    if swarm.rates is not None and not repeats(swarm.shares, swarm.rates):
        swarm = replace(swarm, rates=None)
    stack = fit_stack(swarm.shares, costs, surrogates(seed, trees), seed, swarm.rates, observe)
    return MixtureModel(swarm, lower_is_better, objective, stack, seed)


def error_table(model: MixtureModel) -> dict[str, Mapping[str, float]]:
    """Held-out errors relative to a metric's spread over runs, by surrogate and metric."""
    single, averaged = model.errors
    spread = model.swarm.values.std(axis=0)
    rows = zip((*model.stack.whole, "average"), np.vstack([single, averaged]), strict=True)
    return {
        name: dict(zip(model.swarm.metrics, (row / spread).tolist(), strict=True))
        for name, row in rows
    }


def _expect(fixed: Array, spread: Array) -> Array:
    expected: Array = np.sqrt(np.maximum(fixed + spread, 1e-300))
    return expected


def _quantile(errors: Array, confidence: float) -> Array:
    """The bound that errors of a further run stay below with that confidence, (metrics,).

    With too few runs for the confidence, the bound of normal errors.
    """
    runs = len(errors)
    rank = math.ceil((runs + 1) * confidence)
    if rank <= runs:
        found: Array = np.sort(errors, axis=0)[rank - 1]
        return found
    size = np.sqrt((errors**2).mean(axis=0) * (1 + 1 / runs))
    wide: Array = np.maximum(size * stdtrit(runs - 1, (1 + confidence) / 2), errors.max(axis=0))
    return wide
