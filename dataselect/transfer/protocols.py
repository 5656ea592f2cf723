"""The two ways to fit and judge a transfer function for one benchmark: the paper's and ours.

*paper*: the family with the highest R² on the points fitted, five-fold cross-validation, train R²
and test error averaged over folds (section 4.1 (ii)). One thing differs: `curves` bounds
exponentials on their own points and refuses a quadratic that turns among them. Predictions are not
clipped, so the error of a fold can still explode where its end point is far out; the median over
folds is given beside the mean.

*robust*: `robust.fit_robust` on averaged scores, judged on three kinds of split (`held_out`), with
the coverage of its 90% intervals on the same splits. For comparison, on the same splits: its two
halves alone, and the same fit on the logarithm of tokens, which does not depend on the data. Within
one dataset that baseline is hard to beat; a score that does not beat it has shown nothing yet.

Not covered: choosing a protocol by its errors on the points at hand.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dataselect.transfer.chance import known_chance
from dataselect.transfer.curves import best_curve, r_squared
from dataselect.transfer.function import Provenance, TransferFunction, check_points, fit
from dataselect.transfer.held_out import (
    Errors,
    Method,
    Predictor,
    Split,
    errors,
    fold_splits,
    last_split,
)
from dataselect.transfer.isotonic import fit_steps, step_values
from dataselect.transfer.neighbours import WINDOW, averaged, blocks
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.robust import LEAST_POINTS, bounds, fit_robust, robust_curve, sigmoid_curve

Array = NDArray[np.float64]

CONFIDENCE = 0.9
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


@dataclass(frozen=True)
class Coverage:
    """Share of unseen accuracies inside their 90% intervals; None if a split leaves too few."""

    cross_validation: float | None
    """Five-fold."""
    last_20: float | None
    """On the last 20% of each run."""
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
    """Held-out errors of "sigmoid", "isotonic" and, if tokens are known, "log tokens"."""
    disagreement: float
    """Largest difference between sigmoid and isotonic on the points fitted, in accuracy."""
    averaged: int
    """Number of points whose score is a mean over neighbours."""
    floor: float
    """Lowest value of the sigmoid, an accuracy."""
    floor_from: str
    """Where the floor comes from, in words."""


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
    check_points(pairs.metric, pairs.accuracy, LEAST_POINTS, pairs.benchmark)
    provenance = replace(provenance, method="paper: the family with the highest train R²")
    function = fit(pairs.metric, pairs.accuracy, benchmark=pairs.benchmark, provenance=provenance)
    r2, maes, wins = [], [], Counter[str]()
    for train, test in fold_splits(len(pairs), seed):
        x, y = pairs.metric[train], pairs.accuracy[train]
        curve, _ = best_curve(x, y)
        wins[curve.family] += 1
        r2.append(r_squared(y, curve(x)))
        maes.append(np.abs(curve(pairs.metric[test]) - pairs.accuracy[test]).mean())
    return PaperFit(
        function, float(np.mean(r2)), float(np.mean(maes)), float(np.median(maes)), dict(wins)
    )


def fit_robustly(pairs: Pairs, provenance: Provenance, seed: int, *, falling: bool) -> RobustFit:
    """The robust protocol on one benchmark; `falling` says that lower scores are better.

    Raises InputError when there are too few points.
    """
    check_points(pairs.metric, pairs.accuracy, LEAST_POINTS, pairs.benchmark)
    scores = averaged(pairs.metric, pairs.tokens, pairs.groups)
    changed = int((scores != pairs.metric).sum())
    chance, origin = pairs.chance, "the chance column"
    if chance is None:
        chance, origin = known_chance(pairs.benchmark), "a known benchmark's chance"
    if chance is None:
        origin = "fitted"
    prepared = replace(pairs, metric=scores)

    def fitted(subset: Pairs) -> TransferFunction:
        return fit_robust(
            subset.metric,
            subset.accuracy,
            benchmark=subset.benchmark,
            provenance=provenance,
            chance=chance,
            falling=falling,
            blocks=blocks(subset.tokens, subset.groups),
        )

    provenance = replace(provenance, method=_method(changed, origin, falling=falling))
    function = fitted(prepared)
    floor = function.curve.coefficients[0]
    if chance is not None and floor < chance - 1e-9:
        origin = "the lowest accuracies, below chance"

    def covered(splits: Iterable[Split | None]) -> float | None:
        inside: list[bool] = []
        for split in filter(None, splits):
            train, test = split
            if len(np.unique(scores[train])) < LEAST_POINTS:
                return None
            low, high = fitted(prepared.take(train)).intervals(scores[test], CONFIDENCE)
            truth = pairs.accuracy[test]
            inside += ((low <= truth) & (truth <= high)).tolist()
        return float(np.mean(inside)) if inside else None

    coverage = Coverage(
        covered(fold_splits(len(pairs), seed)),
        *(covered([last_split(pairs, share, falling=falling)]) for share in (0.2, 0.4)),
    )
    methods = robust_methods(chance, falling=falling)
    held_out = {
        name: errors(method, scores, pairs, seed, falling=falling)
        for name, method in methods.items()
    }
    if not np.isnan(pairs.tokens).any() and np.ptp(pairs.tokens):
        by_tokens = robust_methods(chance, falling=False)["robust"]
        held_out["log tokens"] = errors(
            by_tokens, np.log(pairs.tokens), pairs, seed, falling=falling
        )
    steps = step_values(function.curve.knots, scores)
    return RobustFit(
        function=function,
        errors=held_out.pop("robust"),
        coverage=coverage,
        beside=held_out,
        disagreement=float(np.abs(function.curve.formula(scores) - steps).max()),
        averaged=changed,
        floor=floor,
        floor_from=origin,
    )


def robust_methods(chance: float | None, *, falling: bool) -> dict[str, Method]:
    """The robust way of fitting and its two halves, each clipped as the whole is."""

    def robust(x: Array, y: Array) -> Predictor:
        curve, limits = robust_curve(x, y, chance, falling=falling), bounds(y)
        return lambda at: np.clip(curve(at), *limits)

    def sigmoid(x: Array, y: Array) -> Predictor:
        curve, limits = sigmoid_curve(x, y, chance, falling=falling), bounds(y)
        return lambda at: np.clip(curve(at), *limits)

    def isotonic(x: Array, y: Array) -> Predictor:
        return partial(step_values, fit_steps(x, y, falling=falling))

    return {"robust": robust, "sigmoid": sigmoid, "isotonic": isotonic}


def _method(changed: int, floor_from: str, *, falling: bool) -> str:
    scores = (
        f"scores averaged over up to {WINDOW} neighbouring checkpoints of a run, symmetrically"
        if changed
        else "scores not averaged"
    )
    better = "lower" if falling else "higher"
    return (
        f"robust: mean of a sigmoid (floor: {floor_from}) and isotonic regression; {scores}; "
        f"{better} scores are better; blocks left out for intervals"
    )
