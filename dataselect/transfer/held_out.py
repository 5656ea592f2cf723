"""Held-out errors of a fitting method: for interpolation, extrapolation and other datasets.

Leaving out a whole dataset tests what a transfer function is for. So from three datasets on
cross-validation leaves out whole ones as well; with fewer it leaves out a random fifth of the
points, which tests interpolation, where nearly any curve does well. Leaving out the last part of
each run tests a better score than any fitted.

All methods are judged on the same splits. Errors are mean absolute errors of accuracy, in 0..1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.datasets import numbered, runs_in_order
from dataselect.transfer.pairs import Index, Pairs
from dataselect.transfer.spread import LEAST_DATASETS

Array = NDArray[np.float64]
Predictor = Callable[[Array], Array]
Method = Callable[[Array, Array], Predictor]
"""From fitted scores and accuracies, both of shape (n,), to a function of scores."""
RowMethod = Callable[[Index, Index], Array]
"""From the rows fitted on and those predicted to accuracies of the latter."""
Split = tuple[Index, Index]
"""The rows fitted on, and those predicted."""

FOLDS = 5
LEAST_DIFFERENT = 5  # scores to fit on for an extrapolation: one more than a sigmoid's coefficients
LAST = 3  # accuracies that "the last accuracies again" is a mean of


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of one method, in 0..1; None where a split leaves too few points."""

    cross_validation: float | None
    """Five-fold: of datasets if there are three or more, else of points."""
    last_20: float | None
    """On the last 20% of each run."""
    last_40: float | None
    """On the last 40% of each run."""
    other_runs: float | None
    """On each dataset, fitted on the others; a dataset counts once."""
    by_dataset: Mapping[str, float] = field(default_factory=dict)
    """The same by dataset."""


def fold_splits(count: int, seed: int) -> list[Split]:
    """Five random splits of the rows, or as many as there are rows; each is predicted once."""
    folds = min(FOLDS, count)
    if folds < 2:
        return []
    fold = np.random.default_rng(seed).permutation(count) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def published_folds(count: int, seed: int) -> list[Split]:
    """Five splits as `KFold(5, shuffle=True, random_state=seed)` of scikit-learn draws them.

    The paper's Table 2 has seed 42.
    """
    order = np.arange(count)
    np.random.RandomState(seed).shuffle(order)
    return [(np.setdiff1d(order, fold), np.sort(fold)) for fold in np.array_split(order, FOLDS)]


def cross_validation_splits(pairs: Pairs, seed: int, datasets: int = LEAST_DATASETS) -> list[Split]:
    """Folds of whole datasets if there are at least `datasets` of them, else of rows."""
    ids = numbered(pairs)
    count = int(ids.max()) + 1
    if count < datasets:
        return fold_splits(len(pairs), seed)
    return [
        (np.flatnonzero(np.isin(ids, fitted)), np.flatnonzero(np.isin(ids, predicted)))
        for fitted, predicted in fold_splits(count, seed)
    ]


def last_split(pairs: Pairs, share: float, *, falling: bool) -> Split | None:
    """Fit on the first part of each run, predict its last `share`.

    A run is ordered by tokens or, if some are unknown, from worst to best score (`falling`: lower
    is better). None when fewer than five different scores are left to fit on.
    """
    fitted: list[int] = []
    predicted: list[int] = []
    for rows in runs_in_order(pairs, falling=falling):
        cut = round(len(rows) * (1 - share))
        fitted += rows[:cut].tolist()
        predicted += rows[cut:].tolist()
    if not predicted or len(np.unique(pairs.metric[fitted])) < LEAST_DIFFERENT:
        return None
    return np.array(fitted), np.array(predicted)


def run_splits(pairs: Pairs) -> Iterator[Split]:
    """A split for each dataset, predicted from the others; none where there is but one."""
    ids = numbered(pairs)
    count = int(ids.max()) + 1
    for k in range(count if count > 1 else 0):
        yield np.flatnonzero(ids != k), np.flatnonzero(ids == k)


def errors(
    method: Method,
    x: Array,
    pairs: Pairs,
    seed: int,
    *,
    falling: bool,
    least: int = 2,
    datasets: int = LEAST_DATASETS,
) -> Errors:
    """Errors of a method that fits `pairs.accuracy` on x of shape (n,).

    x may be another predictor than `pairs.metric`, such as averaged scores or log tokens; the
    splits depend on the pairs only. `least`: different x that the method needs; `datasets`: from
    how many on whole ones are folds. Exceptions of the method propagate.
    """

    def by_rows(fitted: Index, predicted: Index) -> Array:
        return method(x[fitted], pairs.accuracy[fitted])(x[predicted])

    usable = _different(x, least)
    return row_errors(by_rows, pairs, seed, falling=falling, usable=usable, datasets=datasets)


def row_errors(
    method: RowMethod,
    pairs: Pairs,
    seed: int,
    *,
    falling: bool,
    usable: Callable[[Index], bool] = lambda rows: True,
    datasets: int = LEAST_DATASETS,
) -> Errors:
    """As `errors`, for a method that is given rows; splits that are not `usable` are left out."""

    def misses(split: Split) -> Array:
        fitted, predicted = split
        return np.abs(method(fitted, predicted) - pairs.accuracy[predicted])

    def mae(splits: Iterable[Split | None]) -> float | None:
        found = [misses(split) for split in splits if split is not None and usable(split[0])]
        return float(np.concatenate(found).mean()) if found else None

    by_dataset = {
        pairs.groups[split[1][0]]: float(misses(split).mean())
        for split in run_splits(pairs)
        if usable(split[0])
    }
    return Errors(
        mae(cross_validation_splits(pairs, seed, datasets)),
        mae([last_split(pairs, 0.2, falling=falling)]),
        mae([last_split(pairs, 0.4, falling=falling)]),
        float(np.mean(list(by_dataset.values()))) if by_dataset else None,
        by_dataset,
    )


def constant(pairs: Pairs) -> RowMethod:
    """The mean accuracy of what was fitted."""
    return lambda fitted, predicted: np.full(len(predicted), pairs.accuracy[fitted].mean())


def last_accuracies(pairs: Pairs, *, falling: bool) -> RowMethod:
    """The mean of a dataset's last three fitted accuracies; for a new one that of all datasets."""
    place = np.empty(len(pairs), dtype=np.int64)
    for run in runs_in_order(pairs, falling=falling):
        place[run] = np.arange(len(run))
    ids = numbered(pairs)

    def method(fitted: Index, predicted: Index) -> Array:
        last = {}
        for k in np.unique(ids[fitted]):
            rows = fitted[ids[fitted] == k]
            rows = rows[np.argsort(place[rows])][-LAST:]
            last[int(k)] = float(pairs.accuracy[rows].mean())
        mean = float(np.mean(list(last.values())))
        return np.array([last.get(int(k), mean) for k in ids[predicted]])

    return method


def _different(x: Array, least: int) -> Callable[[Index], bool]:
    return lambda rows: len(np.unique(x[rows])) >= least
