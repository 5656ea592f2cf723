"""Transfer functions: from a proxy's score on a benchmark to the target's accuracy there.

A function is fitted on calibration runs (a proxy and a target trained on the same data, compared at
equal tokens) and is then applied to other candidates' proxies without further fitting (paper,
section 4.1 (ii) and (iii)). It is valid only in the setting that it was fitted in, so the setting
is stored with it and `applies` compares.

Uncertainty answers one of two questions (`spread`): how far the target of another dataset lies from
the curve, learned from whole datasets left out (`new_data`), and how far later checkpoints of a
fitted run do, learned from its own later parts (`later`, asked for by `in_time`). Training
residuals would be too narrow for both. Functions of earlier files, and of `fit`, have neither.
Theirs is in the style of jackknife+ (Barber et al., 2021): the curve is refitted, family choice
included, without each point in turn, and each refit is combined with its residual on the point left
out.

Comparing two candidates is a different question from predicting one. They share the function, and
a monotone one keeps their order wherever it lies; only the noise of their scores and each
candidate's own part of a residual can reverse it. `comparison_draws` has these alone.

Not covered: fitting with whole datasets left out (`robust`) or with a prior (`prior`). That the
same score means the same accuracy on other data is the paper's finding on two datasets; with one or
two in the calibration it is an assumption, and there is no interval for a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataselect.errors import InputError
from dataselect.transfer.curves import (
    COEFFICIENTS,
    FAMILIES,
    Curve,
    Family,
    NoFitError,
    PaperFamily,
    best_curve,
    r_squared,
)
from dataselect.transfer.spread import Later, NewData
from dataselect.transfer.worth import Worth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What a score and an accuracy depend on besides the data.

    None means unknown, as for a function that was fitted on a table of pairs alone.
    """

    target_size: int | None
    """Parameters of the target."""
    target_tokens: int | None
    """Tokens at the end of the target's training; calibration points may be earlier."""
    proxy_size: int | None
    """Parameters of the proxy."""
    proxy_tokens: int | None
    """Tokens at the end of the proxy's training; calibration points may be earlier."""
    traces: str | None
    """Content hash of the reasoning traces."""
    benchmark: str | None
    """Content hash of the benchmark's items."""
    tokenizer: str | None
    """Content hash of the proxy's tokenizer."""
    metric_version: int | None
    """Version of the metric."""


@dataclass(frozen=True)
class Provenance:
    """Where a function comes from."""

    setting: Setting
    """What its scores and accuracies were measured with."""
    calibration: str
    """The calibration runs, in words."""
    command: str
    """The command that fitted it."""
    method: str = ""
    """How scores were prepared and the curve was fitted, in words."""
    checkpoints: tuple[str, ...] = ()
    """Names of the checkpoints behind the points, each with its commit or a hash of its files;
    empty if unknown."""
    datasets: tuple[str, ...] = ()
    """Names of the datasets behind the points, the table's groups; empty if unknown. A candidate of
    such a name is not predicted but was fitted."""


@dataclass(frozen=True)
class TransferFunction:
    """A function fitted for one benchmark; scores in the metric's unit, accuracies in 0..1."""

    benchmark: str
    """Benchmark id."""
    curve: Curve
    """The curve fitted on all points."""
    points: tuple[tuple[float, float], ...]
    """The (score, accuracy) pairs fitted."""
    fitted_range: tuple[float, float]
    """Lowest and highest score of the points."""
    r2: float
    """R² on the points, as the paper reports it."""
    mae: float | None
    """Mean of the absolute `loo_residuals`; None without refits."""
    residual_sd: float
    """Standard deviation of the points about the curve, given its number of coefficients."""
    loo_curves: tuple[Curve, ...]
    """Refits, each without one point, one block of points or one dataset; empty where a prior
    replaces them."""
    loo_residuals: tuple[float, ...]
    """For each point, its residual under the refit without it; empty without refits."""
    skipped: dict[str, str]
    """By family that was not considered, why."""
    provenance: Provenance
    """Where the function comes from."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest accuracy that is ever predicted."""
    loo_refits: tuple[int, ...] = ()
    """For each point, the index of its refit in `loo_curves` where points are left out in blocks;
    empty with a refit for each point."""
    datasets: int | None = None
    """Number of datasets among the points. None: not said, as in files of schema 1 and 2, and
    intervals are then for more of the fitted data."""
    new_data: NewData | None = None
    """How far a dataset that was not fitted lies from the curve; None if that is not known."""
    later: Later | None = None
    """How far later checkpoints of a fitted run lie from the curve; None if that is not known."""
    worth: Worth | None = None
    """Whether the score says more than no score would; None if that was not asked."""

    def __post_init__(self) -> None:
        refits = len(self.loo_refits or self.loo_curves)
        if not self.points:
            raise ValueError("a function needs at least one point")
        if not refits == len(self.loo_residuals) == (len(self.points) if refits else 0):
            raise ValueError("points, loo_curves and loo_residuals must have one entry per point")
        if not refits and self.new_data is None:
            raise ValueError("a function without refits needs new_data")
        if not set(self.loo_refits) <= set(range(len(self.loo_curves))):
            raise ValueError("loo_refits must be places in loo_curves")
        if self.fitted_range[0] > self.fitted_range[1]:
            raise ValueError("fitted_range must rise")
        if not 0 <= self.bounds[0] <= self.bounds[1] <= 1:
            raise ValueError("bounds must rise within 0..1")

    @property
    def family(self) -> Family:
        """Name of the curve's family."""
        return self.curve.family

    @property
    def rising(self) -> bool:
        """Whether accuracy rises with the score; for a likelihood loss this indicates noise."""
        first, last = self.fitted_range
        low, high = self.curve(np.array([first, last if last > first else first + abs(first)]))
        return bool(high > low)

    @property
    def has_intervals(self) -> bool:
        """Whether anything is known about how far a prediction may be off.

        False for a function of one or two datasets without a prior: its points are of the same
        data, and say nothing about other data.
        """
        return self.new_data is not None or self.datasets is None

    def in_time(self) -> "TransferFunction":
        """The same function for later checkpoints of the runs that it was fitted on.

        Raises ValueError where nothing is known about these.
        """
        if not self.loo_curves:
            raise ValueError("nothing is known about later checkpoints")
        return replace(self, datasets=None, new_data=None)

    def predict(self, x: ArrayLike) -> Array:
        """Target accuracy at scores x, of the same shape, clipped to `bounds`."""
        return self._clipped(self.curve(np.asarray(x, dtype=np.float64)))

    def extrapolated(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether each score lies outside the fitted range."""
        low, high = self.fitted_range
        scores = np.asarray(x, dtype=np.float64)
        return np.asarray((scores < low) | (scores > high), dtype=np.bool_)

    def prediction_draws(self, x_draws: ArrayLike, rng: np.random.Generator) -> Array:
        """A plausible target accuracy for each draw of a candidate's score, in 0..1, of its shape.

        Covers score noise and the function's error; NaN where that is not known (`has_intervals`).
        """
        x = np.asarray(x_draws, dtype=np.float64)
        if not self.has_intervals:
            return np.full(x.shape, np.nan)
        if self.new_data is not None:
            drawn = self.predict(x) + self.new_data.deviations(x, rng)
        elif self.later is not None:
            scale = self.later.scale(self._beyond(x))
            drawn = self.predict(x) + scale * rng.standard_t(self.later.freedom, size=x.shape)
        else:
            drawn = self._refit_draws(x, rng)
        return np.asarray(np.clip(drawn, 0, 1), dtype=np.float64)

    def _refit_draws(self, x: Array, rng: np.random.Generator) -> Array:
        """Draws of refits with their residuals.

        The largest residual counts once more, for the new candidate, as finite-sample correction;
        so with few points an interval is about as wide as the worst error.
        """
        misses = np.abs(np.array(self.loo_residuals))
        picks = rng.integers(len(misses) + 1, size=x.shape)
        picks[picks == len(misses)] = misses.argmax()
        signs = rng.choice(np.array([-1.0, 1.0]), size=x.shape)
        predicted = np.empty_like(x)
        refits = self._refits()[picks]
        for i, curve in enumerate(self.loo_curves):
            predicted[refits == i] = self._clipped(curve(x[refits == i]))
        return np.asarray(predicted + signs * misses[picks])

    def comparison_draws(self, x_draws: ArrayLike, rng: np.random.Generator) -> Array:
        """Plausible accuracies, draws x candidates, to compare candidates within each draw.

        Candidates share the function, so each draw uses one refit for all of them, and only each
        candidate's own deviation (`scatter`): what all share cancels in a difference. Student's t,
        since the scatter is an estimate. Not clipped to 0..1; NaN without `has_intervals`.
        """
        x = np.asarray(x_draws, dtype=np.float64)
        if not self.has_intervals:
            return np.full(x.shape, np.nan)
        if self.new_data is not None:
            return np.asarray(self._shared(x, rng) + self.new_data.apart(x, rng))
        freedom = 2 * (len(self.points) - 1) / 3
        predicted = self._shared(x, rng)
        inflation = np.sqrt(freedom / rng.chisquare(freedom, size=(len(x), 1)))
        return np.asarray(predicted + self.scatter * inflation * rng.standard_normal(x.shape))

    def _shared(self, x: Array, rng: np.random.Generator) -> Array:
        """Predictions of one curve for all candidates of a draw, from another refit in each."""
        if not self.loo_curves or (self.new_data is not None and self.new_data.slope):
            return self.predict(x)  # the slope's error is drawn with the deviations
        refits = self._refits()[rng.integers(len(self.points), size=len(x))]
        predicted = np.empty_like(x)
        for i, curve in enumerate(self.loo_curves):
            predicted[refits == i] = self._clipped(curve(x[refits == i]))
        return predicted

    @property
    def scatter(self) -> float:
        """Standard deviation of accuracy about the curve among points of similar score.

        With datasets left out, the scale of their deviations. Else from the differences of
        residuals that are neighbours by score (Rice's estimator): where the whole curve is off,
        neighbours are off alike, and so are two candidates. What remains is the noise of a target's
        accuracy and the effect of its data that the score does not show.
        """
        if self.new_data is not None:
            return self.new_data.scatter
        order = np.argsort([x for x, _ in self.points], kind="stable")
        residuals = np.array(self.loo_residuals)[order]
        mean_square = np.mean(residuals**2)
        if len(residuals) < 2:
            return float(np.sqrt(mean_square))
        return float(np.sqrt(min(np.mean(np.diff(residuals) ** 2) / 2, mean_square)))

    def interval(
        self, x_draws: ArrayLike, confidence: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Percentile interval of `prediction_draws` for one candidate's draws of its score.

        For an average over benchmarks, average their `prediction_draws` first. Pass at least some
        hundreds of draws; repeat a score that is known exactly.
        """
        draws = self.prediction_draws(x_draws, rng)
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def intervals(self, x: ArrayLike, confidence: float) -> tuple[Array, Array]:
        """Lowest and highest accuracy at scores x known exactly, each of x's shape.

        The limit of `interval` for many draws, without randomness; NaN without `has_intervals`.
        """
        x = np.asarray(x, dtype=np.float64)
        if not self.has_intervals:
            return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        if self.new_data is not None:
            half = self.new_data.quantile(confidence) * self.new_data.scale(x)
        elif self.later is not None:
            half = self.later.quantile(confidence) * self.later.scale(self._beyond(x))
        else:
            return self._refit_intervals(x, confidence)
        middle = self.predict(x)
        return np.asarray(np.clip(middle - half, 0, 1)), np.asarray(np.clip(middle + half, 0, 1))

    def _refit_intervals(self, x: Array, confidence: float) -> tuple[Array, Array]:
        """Quantiles of each refit's prediction plus and minus its residual, the largest residual
        once more."""
        misses = np.abs(np.array(self.loo_residuals)).reshape(-1, *[1] * x.ndim)
        by_refit = np.array([self._clipped(curve(x)) for curve in self.loo_curves])
        picks = np.append(np.arange(len(misses)), misses.argmax())
        predicted, misses = by_refit[self._refits()[picks]], misses[picks]
        ends = np.clip(np.concatenate([predicted - misses, predicted + misses]), 0, 1)
        low, high = np.quantile(ends, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        return np.asarray(low), np.asarray(high)

    def _beyond(self, x: Array) -> Array:
        """Distance of scores x beyond the fitted ones, in widths of their range, of x's shape."""
        low, high = self.fitted_range
        away = np.maximum(np.maximum(low - x, x - high), 0)
        return np.asarray(away / (high - low) if high > low else away)

    def _refits(self) -> NDArray[np.int64]:
        """For each point, the index of its refit in `loo_curves`."""
        return np.array(self.loo_refits or range(len(self.loo_curves)), dtype=np.int64)

    def _clipped(self, accuracy: Array) -> Array:
        return np.asarray(np.clip(accuracy, *self.bounds), dtype=np.float64)


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    benchmark: str,
    provenance: Provenance,
    family: PaperFamily | Literal["best"] = "best",
) -> TransferFunction:
    """Fit target accuracies y (0..1) on proxy scores x, both of shape (n,).

    "best" takes the family with the highest R² on the points (the paper's rule), in each refit
    anew. Needs 4 points with different scores, or 5 for a named family of three coefficients, so
    that a refit without one of them is still overdetermined.

    Raises InputError when there are too few points, when accuracies are not shares, when a value is
    not finite, and when no family fits.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    families: Sequence[PaperFamily] = FAMILIES if family == "best" else (family,)
    check_points(x, y, min(COEFFICIENTS[f] for f in families) + 2, benchmark)
    try:
        curve, skipped = best_curve(x, y, families)
        loo_curves = tuple(
            best_curve(np.delete(x, i), np.delete(y, i), families)[0] for i in range(len(x))
        )
    except NoFitError as reason:
        raise InputError(
            f"transfer function of {benchmark}",
            f"no curve fits: {reason}",
            "choose another family or add calibration points",
        ) from reason
    unseen = np.array([np.clip(c(x[i]), 0, 1) for i, c in enumerate(loo_curves)])
    freedom = len(x) - COEFFICIENTS[curve.family]
    return TransferFunction(
        benchmark=benchmark,
        curve=curve,
        loo_curves=loo_curves,
        skipped=skipped,
        provenance=provenance,
        **quality(x, y, curve, unseen, freedom),
    )


class Quality(TypedDict):
    """How well a curve fits its points, by the names of `TransferFunction`."""

    points: tuple[tuple[float, float], ...]
    fitted_range: tuple[float, float]
    r2: float
    mae: float | None
    residual_sd: float
    loo_residuals: tuple[float, ...]


def quality(x: Array, y: Array, curve: Curve, unseen: Array, freedom: int) -> Quality:
    """Quality of a curve through points (x, y), both (n,).

    `unseen`: for each point, the prediction of the refit without it; shape (n,). `freedom`: number
    of points less number of coefficients.
    """
    return {
        "points": tuple((float(a), float(b)) for a, b in zip(x, y, strict=True)),
        "fitted_range": (float(x.min()), float(x.max())),
        "r2": r_squared(y, curve(x)),
        "mae": float(np.abs(y - unseen).mean()),
        "residual_sd": float(np.sqrt(((y - curve(x)) ** 2).sum() / max(1, freedom))),
        "loo_residuals": tuple(float(r) for r in y - unseen),
    }


def check_points(x: Array, y: Array, needed: int, benchmark: str) -> None:
    """Raise InputError unless x, y are finite, y in 0..1, and `needed` scores differ."""
    where = f"transfer function of {benchmark}"
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(
            where, f"{x.size} scores and {y.size} accuracies", "give one accuracy per score"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(where, "a calibration point is not finite", "leave that point out")
    if ((y < 0) | (y > 1)).any():
        raise InputError(where, "an accuracy is outside 0..1", "give shares, not percent")
    different = len(np.unique(x))
    if different < needed:
        raise InputError(
            where,
            f"{different} points with different scores, and {needed} are needed",
            "add calibration checkpoints",
        )
