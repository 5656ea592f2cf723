"""Propose a mixture: a model's optimum within limits, its gain, and the uncertainty.

The best observed run is never proposed as such: the model, fitted to all runs, is optimised. A
model's optimum is where its errors flatter it most, so what is minimised is the objective plus one
expected error of the prediction, which grows where the surrogates disagree.

Shares are uncertain in two ways. Each fit without a fold has an optimum of its own, and their
spread (the jackknife of groups) gives an interval for each share. And many mixtures are about as
good: the near-equal range is how far each share alone may move, the others scaled to make room,
before the objective is worse by one held-out error. Gains are differences of predictions, and their
intervals add those of the two predictions in quadrature, which is too wide, since both predictions
have similar errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits
from dataselect.mixture.feasible import divergence
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.optimise import QUICK, THOROUGH, breaks, search, starting_points
from dataselect.wording import quoted

Array = NDArray[np.float64]

_STARTS = 600
_GRID = np.union1d(np.geomspace(1e-3, 1.0, 40), np.linspace(0.0, 1.0, 41))
_NONE = 5e-4
"""Shares below this are set to 0: they would make no difference in training."""


@dataclass(frozen=True)
class Beside:
    """A mixture to compare the proposal with."""

    shares: Array
    """(sources,), summing to 1."""
    label: str
    """Which source, run or prior it is; empty where its name says it."""
    objective: float
    """Predicted objective."""
    half: float
    """Half width of its interval."""
    gain: float
    """What the proposal gains over it; above 0 the proposal is better."""
    gain_half: float
    """Half width of the gain's interval."""


@dataclass(frozen=True)
class Slice:
    """The objective as one share moves and the others keep their ratios."""

    shares: Array
    """Shares of the source that moves, (points,), ascending."""
    objective: Array
    """Predicted objective, (points,)."""
    half: Array
    """Half widths of its intervals, (points,)."""


@dataclass(frozen=True)
class Proposal:
    """The proposed shares, their uncertainty, and what is predicted of the mixture."""

    shares: Array
    """(sources,), summing to 1."""
    low: Array
    """Lower ends of the shares' intervals, (sources,)."""
    high: Array
    """Upper ends, (sources,)."""
    near_low: Array
    """Lower ends of the near-equal ranges, (sources,)."""
    near_high: Array
    """Upper ends, (sources,)."""
    objective: float
    """Predicted objective."""
    objective_half: float
    """Half width of its interval."""
    metrics: Array
    """Predicted metrics in their units, (metrics,)."""
    metrics_half: Array
    """Half widths of their intervals, (metrics,)."""
    beside: Mapping[str, Beside]
    """By name, the mixtures that the proposal is compared with."""
    slices: tuple[Slice, ...]
    """By source, the objective along its share."""
    tolerance: float
    """How much worse near-equal mixtures may be: one held-out error of the objective."""
    divergence: float | None
    """KL(shares ‖ prior) in nats; None without a prior."""
    outside: tuple[int, ...]
    """Places of the sources with a larger share than in any run."""


def propose(
    model: MixtureModel,
    limits: Limits,
    confidence: float,
    seed: int,
    by: MixtureModel | None = None,
) -> Proposal:
    """The best mixture within limits. InputError if no mixture keeps them.

    `by`, if given, is the same model with another objective, by which the mixture and its
    near-equal ranges are found; predictions are in the objective of `model` all the same.
    """
    by = by or model
    limits = with_floors(model, limits)
    shares = best_mixture(by, limits, seed)
    lower, upper = limits.feasible.lower, limits.feasible.upper
    optima = np.array(
        [best_mixture(by, limits, seed, k, shares) for k in range(len(model.stack.folds))]
    )
    folds = len(optima)
    spread = np.sqrt((folds - 1) / folds * ((optima - optima.mean(axis=0)) ** 2).sum(axis=0))
    reach = stdtrit(folds - 1, (1 + confidence) / 2) * spread
    predicted = model.predict(shares[None], confidence)
    tolerance = by.tolerance(shares)
    slices = tuple(_slice(model, limits, shares, i, confidence) for i in range(len(shares)))
    lines = slices
    if by is not model:
        lines = tuple(_slice(by, limits, shares, i, confidence) for i in range(len(shares)))
    near = [_near(by, each, shares, i, tolerance) for i, each in enumerate(lines)]
    prior = limits.prior
    return Proposal(
        shares,
        np.clip(shares - reach, lower, upper),
        np.clip(shares + reach, lower, upper),
        np.array([low for low, _ in near]),
        np.array([high for _, high in near]),
        float(predicted.objective[0]),
        float(predicted.objective_half[0]),
        predicted.metrics[0],
        predicted.metrics_half[0],
        _beside(model, by, limits, shares, confidence),
        slices,
        tolerance,
        None if prior is None else float(divergence(shares, prior)),
        tuple(np.flatnonzero(shares > model.swarm.shares.max(axis=0) + 1e-6).tolist()),
    )


def best_mixture(
    model: MixtureModel,
    limits: Limits,
    seed: int,
    without: int | None = None,
    near: Array | None = None,
    caution: float = 1.0,
) -> Array:
    """The mixture of least cost plus `caution` expected errors: (sources,).

    `without` takes the fits without that fold in place of those to all runs. `near` is a mixture to
    start from, which makes the search short. InputError if no mixture keeps the limits.
    """
    feasible = limits.feasible
    spread = model.swarm.values.std(axis=0)
    floors = feasible.worst is not None

    def score(shares: Array) -> tuple[Array, Array]:
        members = model.stack.members(shares, without)
        costs, expected = model.objective_costs(members)
        value = costs + caution * expected
        if feasible.kl_penalty and feasible.prior is not None:
            distance = divergence(shares, feasible.prior)
            value = value + feasible.kl_penalty * np.minimum(distance, 1e6)
        metrics = model.stack.averaged(members) if floors else members[0]
        return value, breaks(feasible, shares, metrics, spread)

    sources = len(feasible.lower)
    known = (
        model.swarm.shares
        if feasible.prior is None
        else np.vstack([feasible.prior, model.swarm.shares])
    )
    if near is None:
        starts = starting_points(known, sources, _STARTS, seed)
        found, broken = search(score, feasible, starts, THOROUGH, seed)
    else:
        starts = np.vstack([near, feasible.project(known[:1])])
        found, broken = search(score, feasible, np.vstack([starts, near]), QUICK, seed)
    if broken[0] > 0:
        _refuse(model, limits, found[0])
    return _cleaned(found[0], limits)


def with_runs(model: MixtureModel) -> dict[str, Array]:
    """The mixture of each run."""
    return dict(zip(model.swarm.runs, model.swarm.shares, strict=True))


def with_floors(model: MixtureModel, limits: Limits) -> Limits:
    """The limits with floors turned into costs; a floor of the prior is its predicted cost."""
    if not limits.floors:
        return limits
    worst = np.full(len(model.swarm.metrics), np.inf)
    prior = None if limits.prior is None else model.stack.predict(limits.prior[None])[0]
    for name, value in limits.floors.items():
        k = model.swarm.metrics.index(name)
        if value is not None:
            worst[k] = model.sign * value
        elif prior is not None:
            worst[k] = prior[k]
    return replace(limits, feasible=replace(limits.feasible, worst=worst))


def _refuse(model: MixtureModel, limits: Limits, shares: Array) -> None:
    feasible = limits.feasible
    if feasible.worst is not None:
        costs = model.stack.predict(shares[None])[0]
        over = np.where(np.isfinite(feasible.worst), costs - feasible.worst, -np.inf)
        k = int(np.argmax(over / model.swarm.values.std(axis=0)))
        if over[k] > 0:
            raise InputError(
                "floors",
                f"no mixture is predicted to keep that of {quoted(model.swarm.metrics[k])}; the "
                f"nearest misses it by {over[k]:.3g}",
                "loosen it, or the bounds on weights",
            )
    raise InputError("max_kl", "no mixture within the bounds is that near the prior", "raise it")


def _cleaned(shares: Array, limits: Limits) -> Array:
    """Shares without the tiny ones that the search leaves where 0 is best."""
    feasible = limits.feasible
    specks = (shares < _NONE) & (feasible.lower <= 0)
    rest = np.where(specks, 0.0, shares)
    if not specks.any() or feasible.worst is not None or np.isfinite(feasible.most_kl):
        return shares
    upper = np.where(specks, 0.0, feasible.upper)
    if upper.sum() < 1:
        return shares
    cleaned: Array = replace(feasible, upper=upper).project(rest)[0]
    return cleaned


def _beside(
    model: MixtureModel, by: MixtureModel, limits: Limits, shares: Array, confidence: float
) -> dict[str, Beside]:
    """The prior, uniform shares, the best single source and the best run, all as predicted; they
    may break limits."""
    sources = model.swarm.sources
    singles = np.eye(len(sources))
    costs, _ = by.objective_costs(by.stack.members(singles))
    # Accuracies may tie; then the model's own objective decides.
    top = int(np.lexsort((model.objective.of(model.costs), by.objective.of(by.costs)))[0])
    single = int(np.argmin(costs))
    mixtures: dict[str, tuple[str, Array]] = {}
    if limits.prior is not None:
        mixtures["prior"] = (limits.prior_from, limits.prior)
    mixtures["uniform"] = ("", np.full(len(sources), 1 / len(sources)))
    mixtures["best single source"] = (sources[single], singles[single])
    mixtures["best run"] = (model.swarm.runs[top], model.swarm.shares[top])
    points = np.array([shares, *(point for _, point in mixtures.values())])
    found = model.predict(points, confidence)
    cost, half = model.sign * found.objective, found.objective_half
    return {
        name: Beside(
            point,
            label,
            float(found.objective[i]),
            float(half[i]),
            float(cost[i] - cost[0]),
            float(np.hypot(half[i], half[0])),
        )
        for i, (name, (label, point)) in enumerate(mixtures.items(), start=1)
    }


def _slice(
    model: MixtureModel, limits: Limits, shares: Array, source: int, confidence: float
) -> Slice:
    """Mixtures within the bounds along one share, the proposal among them."""
    low, high = limits.feasible.lower[source], limits.feasible.upper[source]
    grid = np.unique([*_GRID, shares[source], low, high])
    grid = grid[(grid >= low) & (grid <= high)]
    found = model.predict(along(shares, source, grid), confidence)
    return Slice(grid, found.objective, found.objective_half)


def along(shares: Array, source: int, grid: Array) -> Array:
    """Mixtures in which a source has the shares in the grid and the others keep their ratios."""
    others = np.delete(shares, source)
    others = others / others.sum() if others.sum() > 0 else np.full_like(others, 1 / len(others))
    points: Array = np.insert((1 - grid)[:, None] * others, source, grid, axis=1)
    return points


def _near(
    model: MixtureModel, each: Slice, shares: Array, source: int, tolerance: float
) -> tuple[float, float]:
    """Ends of the part of a slice around the proposal that is at most `tolerance` worse."""
    cost = model.sign * each.objective
    at = int(np.argmin(np.abs(each.shares - shares[source])))
    limit = cost[at] + tolerance
    return (
        _crossing(each.shares[at::-1], cost[at::-1], limit),
        _crossing(each.shares[at:], cost[at:], limit),
    )


def _crossing(shares: Array, cost: Array, limit: float) -> float:
    """The share where costs along a slice first rise above the limit; else the slice's end."""
    above = np.flatnonzero(cost > limit)
    if not len(above):
        return float(shares[-1])
    i = int(above[0])
    part = (limit - cost[i - 1]) / (cost[i] - cost[i - 1])
    return float(shares[i - 1] + part * (shares[i] - shares[i - 1]))
