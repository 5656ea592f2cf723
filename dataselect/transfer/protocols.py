"""The two ways to fit and judge a transfer function for one benchmark: the paper's and ours.

*paper*: the family with the highest R² on the points fitted, five-fold cross-validation, train R²
and test error averaged over folds (section 4.1 (ii)). One thing differs: `curves` bounds
exponentials on their own points and refuses a quadratic that turns among them. Predictions are not
clipped, so the error of a fold can still explode where its end point is far out; the median over
folds is given beside the mean.

*robust*: `robust.fit_robust` on averaged scores, judged on datasets left out and later parts of
runs (`held_out`), with the coverage of its 90% intervals on the same splits. With a prior it begins
at one point (`prior`). Beside it, on the same splits: its two halves alone, and baselines that do
not know the score: a constant, the last accuracies again, the same fit on the logarithm of tokens
and, where it is given, on the NLL of the benchmark's label. Within one dataset tokens are hard to
beat; a score that does not beat them has shown nothing yet.

Not covered: choosing a protocol by its errors on the points at hand.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dataselect.transfer.curves import NoFitError, best_curve, r_squared
from dataselect.transfer.datasets import named, numbered
from dataselect.transfer.fitting import RobustWay, prepare, robust_methods
from dataselect.transfer.function import Provenance, TransferFunction, check_points, fit
from dataselect.transfer.held_out import (
    Errors,
    Split,
    constant,
    cross_validation_splits,
    errors,
    last_accuracies,
    last_split,
    published_folds,
    row_errors,
    run_splits,
)
from dataselect.transfer.isotonic import step_values
from dataselect.transfer.neighbours import averaged
from dataselect.transfer.offsets import heights
from dataselect.transfer.pairs import Index, Pairs
from dataselect.transfer.prior import Prior
from dataselect.transfer.robust import new_data
from dataselect.transfer.spread import LEAST_DATASETS
from dataselect.transfer.worth import judge

Array = NDArray[np.float64]

CONFIDENCE = 0.9
LEAST_FOR_PAPER = 6  # so that four fifths of them still hold a family of three coefficients
_LEAST_TO_TEST = 6  # scores from which on intervals within a run are tested
WEAK_CORRELATION = 0.3  # below it, the data do not determine the direction


@dataclass(frozen=True)
class PaperFit:
    """The paper's protocol on one benchmark."""

    function: TransferFunction
    """Fitted on all points."""
    train_r2: float
    """Mean over the five folds."""
    test_mae: float
    """Mean over the five folds, in 0..1."""
    test_mae_median: float
    """Median over the five folds, in 0..1."""
    wins: Mapping[str, int]
    """In how many folds each family was chosen."""
    other_runs: float | None
    """Mean absolute error on datasets left out, in 0..1; None with one dataset."""


@dataclass(frozen=True)
class Coverage:
    """Share of unseen accuracies inside their 90% intervals; None if a split leaves too few."""

    cross_validation: float | None
    """Five-fold: of whole datasets if there are three or more, else of points of the same data."""
    last_20: float | None
    """On the last 20% of each run, of the intervals for later checkpoints."""
    last_40: float | None
    """On the last 40% of each run."""


@dataclass(frozen=True)
class RobustFit:
    """The robust protocol on one benchmark."""

    function: TransferFunction
    """Fitted on all points."""
    errors: Errors
    """Held-out errors of the robust fit."""
    coverage: Coverage
    """Coverage of its intervals."""
    beside: Mapping[str, Errors]
    """Held-out errors of "sigmoid" and "isotonic", and of baselines that do not know the score:
    "constant", "last accuracies" and, where given, "log tokens" and "label NLL"."""
    disagreement: float | None
    """Largest difference between sigmoid and isotonic on the points fitted, in accuracy; None where
    a prior's line is fitted alone."""
    averaged: int
    """Number of points whose score is a mean over neighbours."""
    floor: float | None
    """Lowest value of the sigmoid, an accuracy; None without one."""
    floor_from: str
    """Where the floor comes from, in words."""
    heights: float | None = None
    """Standard deviation of the datasets' own heights, in accuracy; None unless asked for."""


@dataclass(frozen=True)
class Direction:
    """Whether lower scores are better."""

    lower_is_better: bool
    """The direction used."""
    origin: str
    """How it is known, in words."""
    correlations: Mapping[str, float]
    """Spearman's correlation of score and accuracy, by benchmark."""
    notes: tuple[str, ...]
    """Evidence against the direction."""


def find_direction(pairs: Mapping[str, Pairs], given: bool | None) -> Direction:
    """One direction for all benchmarks, since they share the metric; `given` overrules."""
    correlations = {
        name: float(spearmanr(each.metric, each.accuracy).statistic)
        if np.ptp(each.metric) and np.ptp(each.accuracy)
        else 0.0
        for name, each in pairs.items()
    }
    mean = float(np.mean(list(correlations.values())))
    lower = mean <= 0 if given is None else given
    origin = f"found: mean rank correlation {mean:+.2f}" if given is None else "given"
    notes = []
    if given is None and abs(mean) < WEAK_CORRELATION:
        notes.append(
            f"the score's direction is a guess, its mean rank correlation being {mean:+.2f}: "
            "give --lower-is-better or --higher-is-better"
        )
    sign = 1 if lower else -1
    against = [name for name, rho in correlations.items() if sign * rho > WEAK_CORRELATION]
    if against:
        notes.append(f"accuracy moves against the score's direction on {', '.join(against)}")
    return Direction(lower, origin, correlations, tuple(notes))


def fit_paper(pairs: Pairs, provenance: Provenance, seed: int) -> PaperFit:
    """The paper's protocol on one benchmark; `seed` draws the folds.

    Raises InputError when there are too few points or no family fits.
    """
    check_points(pairs.metric, pairs.accuracy, LEAST_FOR_PAPER, pairs.benchmark)
    method = "paper: the family with the highest train R²"
    provenance = replace(provenance, method=method, datasets=named(pairs))
    function = fit(pairs.metric, pairs.accuracy, benchmark=pairs.benchmark, provenance=provenance)
    r2, maes, wins = [], [], Counter[str]()
    for train, test in published_folds(len(pairs), seed):
        x, y = pairs.metric[train], pairs.accuracy[train]
        curve, _ = best_curve(x, y)
        wins[curve.family] += 1
        r2.append(r_squared(y, curve(x)))
        maes.append(np.abs(curve(pairs.metric[test]) - pairs.accuracy[test]).mean())
    found = errors(
        lambda x, y: best_curve(x, y)[0], pairs.metric, pairs, seed, falling=True, least=4
    )
    return PaperFit(
        replace(function, **_on_new_data(function, pairs)),
        float(np.mean(r2)),
        float(np.mean(maes)),
        float(np.median(maes)),
        dict(wins),
        found.other_runs,
    )


def _on_new_data(function: TransferFunction, pairs: Pairs) -> dict[str, Any]:
    """What a fit of the paper's families says about new datasets, by fields of the function."""
    ids = numbered(pairs)
    count = int(ids.max()) + 1
    fields: dict[str, Any] = {"datasets": count}
    if count < LEAST_DATASETS:
        return fields
    residuals = np.empty(len(pairs))
    for fitted, predicted in run_splits(pairs):
        try:
            curve, _ = best_curve(pairs.metric[fitted], pairs.accuracy[fitted])
        except NoFitError:
            return fields
        residuals[predicted] = pairs.accuracy[predicted] - np.clip(
            curve(pairs.metric[predicted]), *function.bounds
        )
    return fields | {"new_data": new_data(residuals, ids)}


def fit_robustly(
    pairs: Pairs,
    provenance: Provenance,
    seed: int,
    *,
    falling: bool,
    prior: Prior | None = None,
    offsets: bool = False,
) -> RobustFit:
    """The robust protocol on one benchmark; `falling` says that lower scores are better.

    With a `prior` one point is enough. `offsets` gives each dataset a height of its own, and is not
    for a prior, which has that. Raises InputError when there are too few points.
    """
    prepared = prepare(pairs, prior)
    way = RobustWay.of(prepared, provenance, falling=falling, prior=prior, offsets=offsets)
    pairs, scores, chance = prepared.raw, prepared.pairs.metric, prepared.chance
    function = way.fit(prepared.pairs)
    floor = function.curve.coefficients[0] if function.family == "sigmoid" else None
    origin = prepared.floor_from
    if chance is not None and floor is not None and floor < chance - 1e-9:
        origin = "the lowest accuracies, below chance"
    splits: dict[str, Any] = {"falling": falling, "datasets": way.least_datasets}
    fitted = prepared.pairs
    found = row_errors(way.by_rows(fitted), pairs, seed, usable=way.usable(fitted), **splits)
    beside = _baselines(pairs, scores, chance, seed, **splits)
    steps = function.curve.knots
    worth = judge(
        fitted,
        found.by_dataset,
        {n: beside[n].by_dataset for n in ("constant", "log tokens") if n in beside},
    )
    return RobustFit(
        function=replace(function, worth=worth),
        errors=found,
        coverage=_coverage(way, fitted, seed),
        beside=beside,
        disagreement=float(
            np.abs(function.curve.formula(scores) - step_values(steps, scores)).max()
        )
        if steps
        else None,
        averaged=prepared.averaged,
        floor=floor,
        floor_from=origin,
        heights=_spread_of_heights(function, fitted) if offsets else None,
    )


def _spread_of_heights(function: TransferFunction, pairs: Pairs) -> float:
    residuals = pairs.accuracy - function.curve(pairs.metric)
    return heights(residuals, numbered(pairs)).spread


def _coverage(way: RobustWay, pairs: Pairs, seed: int) -> Coverage:
    """How often intervals hold: for new data where datasets are left out, else in time."""
    several = int(numbered(pairs).max()) + 1 >= way.least_datasets
    folds = cross_validation_splits(pairs, seed, way.least_datasets)
    last = ([last_split(pairs, share, falling=way.falling)] for share in (0.2, 0.4))
    return Coverage(
        _held(way, pairs, folds, in_time=not several),
        *(_held(way, pairs, split, in_time=True) for split in last),
    )


def _held(
    way: RobustWay, pairs: Pairs, splits: Iterable[Split | None], *, in_time: bool
) -> float | None:
    """Share of the accuracies left out that lie inside; None if a split leaves too few points."""
    inside: list[bool] = []
    for train, test in filter(None, splits):
        function = _tested(way, pairs, train, in_time=in_time)
        if function is None:
            return None
        low, high = function.intervals(pairs.metric[test], CONFIDENCE)
        truth = pairs.accuracy[test]
        inside += ((low <= truth) & (truth <= high)).tolist()
    return float(np.mean(inside)) if inside else None


def _tested(way: RobustWay, pairs: Pairs, rows: Index, *, in_time: bool) -> TransferFunction | None:
    """The function of some rows, if it has the intervals asked for."""
    different = len(np.unique(pairs.metric[rows]))
    if different < (_LEAST_TO_TEST if in_time else way.least_scores):
        return None
    function = way.fit(pairs.take(rows))
    if in_time:
        return function.in_time() if function.loo_curves else None
    return function if function.has_intervals else None


def _baselines(
    pairs: Pairs, scores: Array, chance: float | None, seed: int, *, falling: bool, datasets: int
) -> dict[str, Errors]:
    """Errors of what stands beside a score, on the same splits."""
    splits: dict[str, Any] = {"falling": falling, "datasets": datasets}
    methods = robust_methods(chance, falling=falling)
    found = {
        name: errors(methods[name], scores, pairs, seed, **splits)
        for name in ("sigmoid", "isotonic")
    }
    found["constant"] = row_errors(constant(pairs), pairs, seed, **splits)
    found["last accuracies"] = row_errors(
        last_accuracies(pairs, falling=falling), pairs, seed, **splits
    )
    if not np.isnan(pairs.tokens).any() and np.ptp(pairs.tokens):
        by_tokens = robust_methods(chance, falling=False)["robust"]
        found["log tokens"] = errors(by_tokens, np.log(pairs.tokens), pairs, seed, **splits)
    if pairs.label_nll is not None:
        label = averaged(pairs.label_nll, pairs.tokens, pairs.groups)
        by_label = robust_methods(chance, falling=True)["robust"]
        found["label NLL"] = errors(by_label, label, pairs, seed, **splits)
    return found
