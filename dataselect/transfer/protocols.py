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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dataselect.transfer.chance import known_chance
from dataselect.transfer.curves import NoFitError, best_curve, r_squared
from dataselect.transfer.datasets import numbered, runs_in_order, seeds_averaged
from dataselect.transfer.function import Provenance, TransferFunction, check_points, fit
from dataselect.transfer.held_out import (
    Errors,
    Method,
    Predictor,
    RowMethod,
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
from dataselect.transfer.isotonic import fit_steps, step_values
from dataselect.transfer.neighbours import WINDOW, averaged, blocks
from dataselect.transfer.pairs import Index, Pairs
from dataselect.transfer.prior import Prior, curve_with_prior, fit_with_prior
from dataselect.transfer.robust import (
    LEAST_POINTS,
    bounds,
    fit_robust,
    new_data,
    robust_curve,
    sigmoid_curve,
)
from dataselect.transfer.rolling import fit_later
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
    provenance = replace(provenance, method="paper: the family with the highest train R²")
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
    pairs: Pairs, provenance: Provenance, seed: int, *, falling: bool, prior: Prior | None = None
) -> RobustFit:
    """The robust protocol on one benchmark; `falling` says that lower scores are better.

    With a `prior` one point is enough. Raises InputError when there are too few points.
    """
    pairs = seeds_averaged(pairs)
    check_points(pairs.metric, pairs.accuracy, 1 if prior else LEAST_POINTS, pairs.benchmark)
    scores = averaged(pairs.metric, pairs.tokens, pairs.groups)
    changed = int((scores != pairs.metric).sum())
    chance, origin = _floor(pairs)
    prepared = replace(pairs, metric=scores)
    provenance = replace(provenance, method=_method(changed, origin, prior, falling=falling))
    way = _Way(provenance, chance, falling, prior)
    function = way.fit(prepared)
    floor = function.curve.coefficients[0] if function.family == "sigmoid" else None
    if chance is not None and floor is not None and floor < chance - 1e-9:
        origin = "the lowest accuracies, below chance"
    splits: dict[str, Any] = {"falling": falling, "datasets": way.least_datasets}
    found = row_errors(way.by_rows(prepared), pairs, seed, usable=way.usable(prepared), **splits)
    beside = _baselines(pairs, scores, chance, seed, **splits)
    steps = function.curve.knots
    worth = judge(
        prepared,
        found.by_dataset,
        {n: beside[n].by_dataset for n in ("constant", "log tokens") if n in beside},
    )
    return RobustFit(
        function=replace(function, worth=worth),
        errors=found,
        coverage=way.coverage(prepared, seed),
        beside=beside,
        disagreement=float(
            np.abs(function.curve.formula(scores) - step_values(steps, scores)).max()
        )
        if steps
        else None,
        averaged=changed,
        floor=floor,
        floor_from=origin,
    )


@dataclass(frozen=True)
class _Way:
    """How pairs of one benchmark are fitted, with and without a prior."""

    provenance: Provenance
    chance: float | None
    falling: bool
    prior: Prior | None

    def fit(self, pairs: Pairs) -> TransferFunction:
        x, y, ids = pairs.metric, pairs.accuracy, numbered(pairs)
        if self.prior is not None:
            return fit_with_prior(
                x,
                y,
                benchmark=pairs.benchmark,
                provenance=self.provenance,
                chance=self.chance,
                falling=self.falling,
                datasets=ids,
                prior=self.prior,
            )
        function = fit_robust(
            x,
            y,
            benchmark=pairs.benchmark,
            provenance=self.provenance,
            chance=self.chance,
            falling=self.falling,
            blocks=blocks(pairs.tokens, pairs.groups),
            datasets=ids,
        )
        method = robust_methods(self.chance, falling=self.falling)["robust"]
        runs = list(runs_in_order(pairs, falling=self.falling))
        inside = np.array(function.loo_residuals)
        return replace(function, later=fit_later(method, x, y, runs, inside))

    @property
    def least_datasets(self) -> int:
        """Datasets from which on whole ones are left out in cross-validation."""
        return LEAST_DATASETS if self.prior is None else 2

    def usable(self, pairs: Pairs) -> Callable[[Index], bool]:
        """Whether rows are enough to fit on."""
        least = 1 if self.prior is not None else LEAST_POINTS - 1
        return lambda rows: len(np.unique(pairs.metric[rows])) >= least

    def by_rows(self, pairs: Pairs) -> RowMethod:
        """The curve fitted on some rows, without what its intervals need."""
        x, y, ids = pairs.metric, pairs.accuracy, numbered(pairs)
        plain = robust_methods(self.chance, falling=self.falling)["robust"]

        def method(fitted: Index, predicted: Index) -> Array:
            if self.prior is None:
                return plain(x[fitted], y[fitted])(x[predicted])
            own = np.unique(ids[fitted], return_inverse=True)[1]
            curve = curve_with_prior(
                x[fitted], y[fitted], own, self.prior, self.chance, falling=self.falling
            )
            return np.clip(curve(x[predicted]), 0, 1)

        return method

    def coverage(self, pairs: Pairs, seed: int) -> Coverage:
        """How often intervals hold: for new data where datasets are left out, else in time."""
        several = int(numbered(pairs).max()) + 1 >= self.least_datasets
        folds = cross_validation_splits(pairs, seed, self.least_datasets)
        last = [[last_split(pairs, share, falling=self.falling)] for share in (0.2, 0.4)]
        return Coverage(
            self._held(pairs, folds, in_time=not several),
            *(self._held(pairs, split, in_time=True) for split in last),
        )

    def _held(self, pairs: Pairs, splits: Iterable[Split | None], *, in_time: bool) -> float | None:
        inside: list[bool] = []
        least = _LEAST_TO_TEST if in_time else (1 if self.prior is not None else LEAST_POINTS)
        for train, test in filter(None, splits):
            if len(np.unique(pairs.metric[train])) < least:
                return None
            function = self.fit(pairs.take(train))
            if in_time:
                if not function.loo_curves:
                    return None
                function = function.in_time()
            if not function.has_intervals:
                return None
            low, high = function.intervals(pairs.metric[test], CONFIDENCE)
            truth = pairs.accuracy[test]
            inside += ((low <= truth) & (truth <= high)).tolist()
        return float(np.mean(inside)) if inside else None


def _floor(pairs: Pairs) -> tuple[float | None, str]:
    """The accuracy of guessing, None if unknown, and where it comes from."""
    if pairs.chance is not None:
        return pairs.chance, "the chance column"
    known = known_chance(pairs.benchmark)
    return known, "fitted" if known is None else "a known benchmark's chance"


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


def _method(changed: int, floor_from: str, prior: Prior | None, *, falling: bool) -> str:
    scores = (
        f"scores averaged over up to {WINDOW} neighbouring checkpoints of a run, symmetrically"
        if changed
        else "scores not averaged"
    )
    better = "lower" if falling else "higher"
    how = f"mean of a sigmoid (floor: {floor_from}) and isotonic regression; {scores}"
    if prior is not None:
        how = f"a line in log score with the prior {prior.name}, from three datasets on with {how}"
    return f"robust: {how}; {better} scores are better; datasets or blocks left out for intervals"
