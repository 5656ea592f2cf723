"""Transfer functions: from a proxy's score on a benchmark to the target's accuracy there.

A function is fitted on calibration runs (a proxy and a target trained on the same data, compared at
equal tokens) and is then applied to other candidates' proxies without further fitting (paper,
section 4.1 (ii) and (iii)). It is valid only in the setting that it was fitted in, so the setting
is stored with it and `applies` compares.

Uncertainty is in the style of jackknife+ (Barber et al., 2021): the curve is refitted, family
choice included, without each point in turn, and each refit is combined with its residual on the
point left out. A draw picks one of these at random, with either sign of the residual, on top of a
draw of the score itself. Training residuals would be too narrow, above all when extrapolating. On
the public OLMo ladder (60 series of one pair of models on one task, bits per byte), 90% intervals
of the paper's families contained .93 of the last 20% of the checkpoints, fitted on the rest, and
.78 of the last 40%; `robust` leaves points out in blocks (.94 and .92). So intervals do not repair
a long extrapolation; `extrapolated` marks it.

Comparing two candidates is a different question from predicting one. They share the function, and
a monotone one keeps their order wherever it lies; only the noise of their scores and each
candidate's own part of a residual can reverse it. `comparison_draws` has these alone.

Not covered: whether the calibration data are valid for a different candidate. That the same score
means the same accuracy on other data is the paper's finding on two datasets, and an assumption
here. With calibration runs on several data, their differences are in the residuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    mae: float
    """Mean of the absolute `loo_residuals`."""
    residual_sd: float
    """Standard deviation of the points about the curve, given its number of coefficients."""
    loo_curves: tuple[Curve, ...]
    """Refits, each without one point or one block of points."""
    loo_residuals: tuple[float, ...]
    """For each point, its residual under the refit without it."""
    skipped: dict[str, str]
    """By family that was not considered, why."""
    provenance: Provenance
    """Where the function comes from."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest accuracy that is ever predicted."""
    loo_refits: tuple[int, ...] = ()
    """For each point, the index of its refit in `loo_curves` where points are left out in blocks;
    empty with a refit for each point."""

    def __post_init__(self) -> None:
        curves = self.loo_refits or self.loo_curves
        if not len(self.points) == len(curves) == len(self.loo_residuals) > 0:
            raise ValueError("points, loo_curves and loo_residuals must have one entry per point")
        if not set(self.loo_refits) <= set(range(len(self.loo_curves))):
            raise ValueError("loo_refits must be places in loo_curves")
        if not self.fitted_range[0] < self.fitted_range[1]:
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
        low, high = self.curve(np.array(self.fitted_range))
        return bool(high > low)

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

        Covers score noise and the function's error. The largest residual counts once more, for the
        new candidate, as finite-sample correction; so with few points an interval is about as wide
        as the worst error.
        """
        x = np.asarray(x_draws, dtype=np.float64)
        misses = np.abs(np.array(self.loo_residuals))
        picks = rng.integers(len(misses) + 1, size=x.shape)
        picks[picks == len(misses)] = misses.argmax()
        signs = rng.choice(np.array([-1.0, 1.0]), size=x.shape)
        predicted = np.empty_like(x)
        refits = self._refits()[picks]
        for i, curve in enumerate(self.loo_curves):
            predicted[refits == i] = self._clipped(curve(x[refits == i]))
        return np.asarray(np.clip(predicted + signs * misses[picks], 0, 1), dtype=np.float64)

    def comparison_draws(self, x_draws: ArrayLike, rng: np.random.Generator) -> Array:
        """Plausible accuracies, draws x candidates, to compare candidates within each draw.

        Candidates share the function, so each draw uses one refit for all of them, and of the
        residuals only each candidate's own part (`scatter`): what all share cancels in a
        difference. Student's t, since the scatter is an estimate. Not clipped to 0..1.
        """
        x = np.asarray(x_draws, dtype=np.float64)
        refits = self._refits()[rng.integers(len(self.points), size=len(x))]
        predicted = np.empty_like(x)
        for i, curve in enumerate(self.loo_curves):
            predicted[refits == i] = self._clipped(curve(x[refits == i]))
        freedom = 2 * (len(self.points) - 1) / 3
        inflation = np.sqrt(freedom / rng.chisquare(freedom, size=(len(x), 1)))
        return np.asarray(predicted + self.scatter * inflation * rng.standard_normal(x.shape))

    @property
    def scatter(self) -> float:
        """Standard deviation of accuracy about the curve among points of similar score.

        From the differences of residuals that are neighbours by score (Rice's estimator): where the
        whole curve is off, neighbours are off alike, and so are two candidates. What remains is the
        noise of a target's accuracy and the effect of its data that the score does not show.
        """
        order = np.argsort([x for x, _ in self.points], kind="stable")
        residuals = np.array(self.loo_residuals)[order]
        neighbours = np.mean(np.diff(residuals) ** 2) / 2
        return float(np.sqrt(min(neighbours, np.mean(residuals**2))))

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

        The limit of `interval` for many draws, without randomness: the quantiles of each refit's
        prediction plus and minus its residual, with the largest residual once more.
        """
        x = np.asarray(x, dtype=np.float64)
        misses = np.abs(np.array(self.loo_residuals)).reshape(-1, *[1] * x.ndim)
        by_refit = np.array([self._clipped(curve(x)) for curve in self.loo_curves])
        picks = np.append(np.arange(len(misses)), misses.argmax())
        predicted, misses = by_refit[self._refits()[picks]], misses[picks]
        ends = np.clip(np.concatenate([predicted - misses, predicted + misses]), 0, 1)
        low, high = np.quantile(ends, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        return np.asarray(low), np.asarray(high)

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
    mae: float
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
        "residual_sd": float(np.sqrt(((y - curve(x)) ** 2).sum() / freedom)),
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
