"""How well a way of fitting predicts what it has not seen: in between, further on, elsewhere.

Three questions, three splits. Cross-validation leaves out a random fifth of the points, so it asks
for interpolation, where nearly any curve does well. Leaving out the last part of each run asks for
what a transfer function is used for: a better score than any fitted. Leaving out a whole run asks
whether the function speaks for other data.

Every way of fitting is judged on the same splits. Errors are mean absolute errors of accuracy, as
shares.
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
LEAST_DIFFERENT = 5  # scores to fit on, the fewest that leave a sigmoid something to be judged by


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of one way of fitting; None where the split leaves too few points."""

    cross_validation: float
    last_20: float | None
    last_40: float | None
    other_runs: float | None


def fold_splits(count: int, seed: int) -> list[Split]:
    """Five splits of rows at random, each row predicted once."""
    fold = np.random.default_rng(seed).permutation(count) % FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]


def last_split(pairs: Pairs, share: float, *, falling: bool) -> Split | None:
    """Fit on the first part of each run, predict its last `share`.

    Runs are in the order of tokens; one whose tokens are not all known, from worst to best score.
    None when fewer than five different scores are left to fit on.
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
    """Each run predicted from the others, where these have enough different scores."""
    names = np.array(pairs.groups)
    for name in dict.fromkeys(pairs.groups):
        fitted = np.flatnonzero(names != name)
        if len(np.unique(pairs.metric[fitted])) >= LEAST_DIFFERENT:
            yield fitted, np.flatnonzero(names == name)


def errors(method: Method, x: Array, pairs: Pairs, seed: int, *, falling: bool) -> Errors:
    """Errors of a way of fitting `pairs.accuracy` on x of shape (n,).

    x may be another predictor than `pairs.metric`, such as averaged scores or log tokens; splits
    are those of the pairs. What the method raises is passed on.
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
