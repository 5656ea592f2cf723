"""Stacking: average the surrogates, weighted by how well each predicts held-out runs.

No form of surrogate wins on every swarm, so none is chosen by hand. Runs are dealt into folds,
replicates of a mixture together; every surrogate is fitted without each fold and predicts it. The
stacking weights of a metric are 0 or more, sum to 1, and minimise the error of the averaged
held-out predictions. They are shrunk towards the weights that are best for all metrics together, as
if by `_POOLED_RUNS` more runs, because a single metric's runs choose noisily.

The reported error is that of the average, with stacking weights found without the fold as well.

Where runs read text more than once, predictions are at the usual rates of the runs, or at those
asked for (`repetition`); a held-out run is predicted at its own rates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from dataselect.mixture.law_fit import FittedLaw
from dataselect.mixture.repetition import Moved, harm, usual_rates, with_repetition
from dataselect.mixture.surrogates import DATA_LAW, REPEATED, Fit, Fitted, repeated_surrogates

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

Observe = Callable[[int, int], None]
"""Called after each fit with how much is done, and how much there is to do."""

_MANY_RUNS = 128
_POOLED_RUNS = 10
_WORST = 2.0
"""A surrogate with a mean squared error above this many times the best one's gets weight 0."""


@dataclass(frozen=True)
class Stack:
    """Surrogates fitted to all runs and without each fold, and their stacking weights."""

    whole: Mapping[str, Fitted]
    """By name, the surrogates fitted to all runs."""
    folds: tuple[Mapping[str, Fitted], ...]
    """For each fold, the surrogates fitted without it, by name."""
    fold_of: Index
    """The fold that holds each run out, (runs,)."""
    held_out: Array
    """What each surrogate predicts for held-out runs, (surrogates, runs, metrics)."""
    stacking_weights: Array
    """(surrogates, metrics), 0 or more; they sum to 1 for each metric."""
    honest: Array
    """Held-out predictions of the average, with stacking weights found without the fold as well,
    (runs, metrics)."""
    moved: Moved | None = None
    """Moves predictions to other epochs; None: they are at the runs' usual ones."""

    def predict(self, shares: Array, without: int | None = None) -> Array:
        """Costs, (mixtures, metrics), by the fits to all runs, or by those `without` a fold."""
        return self.averaged(self.members(shares, without))

    def members(self, shares: Array, without: int | None = None) -> Array:
        """Predictions (surrogates, mixtures, metrics); 0 for a surrogate with no weight at all."""
        fitted = self.whole if without is None else self.folds[without]
        found = np.zeros((len(fitted), len(shares), self.stacking_weights.shape[1]))
        for i, each in enumerate(fitted.values()):
            if self.stacking_weights[i].any():
                found[i] = each.predict(shares)
        if self.moved is not None:
            found += self.moved.harm(shares, without)
        return found

    def at_rates(self, asked: Array, repetition: float | None = None) -> "Stack":
        """The stack, predicting at these epochs of a share of 1: (sources,) or (mixtures, sources).

        `repetition` sets R of the law in place of the fitted one; it is needed where no run read
        any text twice.
        """
        name = REPEATED if REPEATED in self.whole else DATA_LAW
        laws = [fitted[name] for fitted in (self.whole, *self.folds)]
        chosen = [law for law in laws if isinstance(law, FittedLaw)]
        assert name == REPEATED or repetition is not None, "nothing was fitted"
        if repetition is not None:
            chosen = [with_repetition(law, repetition) for law in chosen]
        return replace(self, moved=Moved(asked, chosen[0], tuple(chosen[1:])))

    @property
    def repeated(self) -> FittedLaw | None:
        """The law of repeated data; None where no run read text more than once."""
        law = self.whole.get(REPEATED)
        return law if isinstance(law, FittedLaw) else None

    def averaged(self, members: Array) -> Array:
        """The average of the members' predictions, (mixtures, metrics)."""
        return average(members, self.stacking_weights)


def average(members: Array, stacking: Array) -> Array:
    """Members (surrogates, mixtures, metrics) averaged by weights (surrogates, metrics)."""
    averaged: Array = np.einsum("skm,sm->km", members, stacking)
    return averaged


def fit_stack(
    shares: Array,
    costs: Array,
    fits: Mapping[str, Fit],
    seed: int,
    rates: Array | None = None,
    observe: Observe = lambda done, total: None,
) -> Stack:
    """Fit all surrogates and find their stacking weights; costs (runs, metrics), lower is better.

    `rates`, (runs, sources), are epochs at a share of 1; None where no run read text twice.
    `observe` is told how far the fits are.
    """
    fold_of = deal(shares, seed)
    total, done = (int(fold_of.max()) + 2) * len(fits), 0
    usual = None if rates is None else usual_rates(shares, rates)

    # Nothing of the fit to all runs helps one without a fold, which may not see what it predicts.
    def fit_all(rows: Flags) -> dict[str, Fitted]:
        nonlocal done
        at, targets = shares[rows], costs[rows]
        known: dict[str, Fitted] = {}
        if rates is not None and usual is not None:
            law, known = repeated_surrogates(at, targets, rates[rows], usual, seed)
            targets = targets - harm(law, at, rates[rows])
        fitted: dict[str, Fitted] = {}
        for name, fit in fits.items():
            fitted[name] = fit(at, targets, fitted)
            done += 1
            observe(done, total)
        return fitted | known

    whole = fit_all(np.ones(len(shares), dtype=np.bool_))
    held_out = np.empty((len(whole), *costs.shape))
    folds = []
    for fold in range(fold_of.max() + 1):
        rest = fold_of != fold
        fitted = fit_all(rest)
        for i, each in enumerate(fitted.values()):
            held_out[i, ~rest] = each.predict(shares[~rest])
        law = fitted.get(REPEATED)
        if rates is not None and isinstance(law, FittedLaw):
            held_out[:, ~rest] += harm(law, shares[~rest], rates[~rest])
        folds.append(fitted)
    honest = honest_average(held_out, costs, fold_of)
    return Stack(
        whole, tuple(folds), fold_of, held_out, find_stacking_weights(held_out, costs), honest
    )


def honest_average(held_out: Array, costs: Array, fold_of: Index) -> Array:
    """Held-out predictions averaged by stacking weights found without the fold as well."""
    honest = np.empty_like(costs)
    for fold in range(int(fold_of.max()) + 1):
        rest = fold_of != fold
        stacking = find_stacking_weights(held_out[:, rest], costs[rest])
        honest[~rest] = average(held_out[:, ~rest], stacking)
    return honest


def deal(shares: Array, seed: int) -> Index:
    """The fold of each run: 10 folds of few runs, 5 of many; equal mixtures share a fold."""
    _, kind = np.unique(shares, axis=0, return_inverse=True)
    kinds = int(kind.max()) + 1
    folds = min(10 if len(shares) <= _MANY_RUNS else 5, kinds)
    of_kind = np.random.default_rng(seed).permutation(kinds) % folds
    fold_of: Index = of_kind[kind.ravel()]
    return fold_of


def find_stacking_weights(held_out: Array, costs: Array) -> Array:
    """Stacking weights (surrogates, metrics), by predictions (surrogates, runs, metrics)."""
    spread = costs.std(axis=0)
    errors = (held_out - costs) / np.where(spread > 0, spread, 1.0)
    squares = np.maximum((errors**2).mean(axis=1), 1e-12)
    overall = squares.mean(axis=1)
    everywhere = overall <= _WORST * overall.min()
    pooled = np.zeros(len(errors))
    pooled[everywhere] = _least_error(errors[everywhere].reshape(everywhere.sum(), -1).T)
    stacking = np.zeros(squares.shape)
    for k in range(squares.shape[1]):
        able = squares[:, k] <= _WORST * squares[:, k].min()
        towards = pooled[able] if pooled[able].sum() > 0 else np.ones(able.sum())
        away = np.eye(len(towards)) - towards / towards.sum()
        strength = np.sqrt(_POOLED_RUNS * squares[:, k].min())
        stacking[able, k] = _least_error(np.vstack([errors[able, :, k].T, strength * away]))
    return stacking


def _least_error(errors: Array) -> Array:
    """Weights, 0 or more and of sum 1, whose average of the columns has the least squares."""
    count = errors.shape[1]
    # The sum of 1 is one more equation, weighted so heavily that it always holds.
    heavy = 1e3 * max(float(np.linalg.norm(errors)), 1e-9)
    target = np.zeros(len(errors) + 1)
    target[-1] = heavy
    found, _ = nnls(np.vstack([errors, np.full(count, heavy)]), target)
    stacking: Array = found / found.sum()
    return stacking


def errors_of(stack: Stack, costs: Array) -> tuple[Array, Array]:
    """Root mean squared held-out errors: by surrogate (surrogates, metrics), of the average."""
    single = np.sqrt(((stack.held_out - costs) ** 2).mean(axis=1))
    return single, np.sqrt(((stack.honest - costs) ** 2).mean(axis=0))
