"""Held-out errors of a fitting method: for interpolation, extrapolation and other runs.

Cross-validation leaves out a random fifth of the points, so it tests interpolation, where nearly
any curve does well. Leaving out the last part of each run tests what a transfer function is used
for: a better score than any fitted. Leaving out a whole run tests whether the function is valid on
other data.

All methods are judged on the same splits. Errors are mean absolute errors of accuracy, in 0..1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.pairs import Index, Pairs

Array = NDArray[np.float64]
Predictor = Callable[[Array], Array]
Method = Callable[[Array, Array], Predictor]
"""From fitted scores and accuracies, both of shape (n,), to a function of scores."""
Split = tuple[Index, Index]
"""The rows fitted on, and those predicted."""

FOLDS = 5
LEAST_DIFFERENT = 5  # scores to fit on: one more than the coefficients of a sigmoid


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of one method, in 0..1; None where a split leaves too few points."""

    cross_validation: float
    """Five-fold."""
    last_20: float | None
    """On the last 20% of each run."""
    last_40: float | None
    """On the last 40% of each run."""
    other_runs: float | None
    """On each run, fitted on the others."""


def fold_splits(count: int, seed: int) -> list[Split]:
    """Five random splits of the rows; each row is predicted once."""
    fold = np.random.default_rng(seed).permutation(count) % FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]


def last_split(pairs: Pairs, share: float, *, falling: bool) -> Split | None:
    """Fit on the first part of each run, predict its last `share`.

    A run is ordered by tokens or, if some are unknown, from worst to best score (`falling`: lower
    is better). None when fewer than five different scores are left to fit on.
    """
    fitted: list[int] = []
    predicted: list[int] = []
    names = np.array(pairs.groups)
    for name in dict.fromkeys(pairs.groups):
        rows = np.flatnonzero(names == name)
        order = pairs.tokens[rows]
        if np.isnan(order).any():
            order = -pairs.metric[rows] if falling else pairs.metric[rows]
        rows = rows[np.argsort(order, kind="stable")]
        cut = round(len(rows) * (1 - share))
        fitted += rows[:cut].tolist()
        predicted += rows[cut:].tolist()
    if not predicted or len(np.unique(pairs.metric[fitted])) < LEAST_DIFFERENT:
        return None
    return np.array(fitted), np.array(predicted)


def run_splits(pairs: Pairs) -> Iterator[Split]:
    """A split for each run, predicted from the others if they have enough different scores."""
    names = np.array(pairs.groups)
    for name in dict.fromkeys(pairs.groups):
        fitted = np.flatnonzero(names != name)
        if len(np.unique(pairs.metric[fitted])) >= LEAST_DIFFERENT:
            yield fitted, np.flatnonzero(names == name)


def errors(method: Method, x: Array, pairs: Pairs, seed: int, *, falling: bool) -> Errors:
    """Errors of a method that fits `pairs.accuracy` on x of shape (n,).

    x may be another predictor than `pairs.metric`, such as averaged scores or log tokens; the
    splits depend on the pairs only. Exceptions of the method propagate.
    """

    def mae(splits: list[Split]) -> float | None:
        misses = []
        for fitted, predicted in splits:
            curve = method(x[fitted], pairs.accuracy[fitted])
            misses.append(np.abs(curve(x[predicted]) - pairs.accuracy[predicted]))
        return float(np.concatenate(misses).mean()) if misses else None

    def last(share: float) -> float | None:
        split = last_split(pairs, share, falling=falling)
        return mae([split]) if split is not None else None

    inner = mae(fold_splits(len(pairs), seed))
    assert inner is not None, "there are always five folds"
    return Errors(inner, last(0.2), last(0.4), mae(list(run_splits(pairs))))
