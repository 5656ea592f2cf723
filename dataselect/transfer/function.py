"""Transfer functions: from a proxy's score on a benchmark to the target's accuracy there.

A function is fitted on calibration runs, a proxy and a target trained on the same data with equal
tokens at each point, and is then applied to other candidates' proxies with no further fitting
(paper, section 4.1 (ii) and (iii)). It holds only for the setting that it was fitted in, so the
setting travels with it and `applies` compares.

Uncertainty is in the style of jackknife+ (Barber et al., 2021): the curve is refitted, family
choice included, without each point in turn, and each refit is taken with the residual it leaves on
the point it has not seen. A draw picks one of these at random, with either sign of the residual, on
top of a draw of the score itself. Training residuals would be too narrow, above all when
extrapolating. On the public OLMo ladder (60 series of one pair of models on one task, bits per
byte), 90% intervals of the paper's families held .93 of the last 20% of the checkpoints, fitted on
the rest, and .78 of the last 40%; `robust` leaves points out in blocks (.94 and .92). So intervals
do not repair a long extrapolation; `extrapolated` marks it.

To compare two candidates is another question than to predict one. They stand under one function,
and a monotone one keeps their order wherever it lies; what can turn it is noise of their scores and
the part of a residual that each has for itself. `comparison_draws` has these alone.

Not covered: whether the calibration data speak for a different candidate. That the same score means
the same accuracy on other data is the paper's finding on two datasets, and an assumption here. With
calibration runs on several data, how far they differ is in the residuals.
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
    """What a score and an accuracy depend on besides the data; sizes in parameters.

    `traces`, `benchmark` and `tokenizer` are content hashes. Token counts are those at the end of
    training; calibration points may come from earlier. What is None is not known, as for a
    function that was fitted on a bare table of pairs.
    """

    target_size: int | None
    target_tokens: int | None
    proxy_size: int | None
    proxy_tokens: int | None
    traces: str | None
    benchmark: str | None
    tokenizer: str | None
    metric_version: int | None


@dataclass(frozen=True)
class Provenance:
    """Where a function comes from: its setting, the calibration data and the command.

    `method` says in words how scores were prepared and the curve was fitted; `checkpoints` names
    those behind the points, each with its commit or a hash of its files, where they are known.
    """

    setting: Setting
    calibration: str
    command: str
    method: str = ""
    checkpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransferFunction:
    """A fitted function for one benchmark; scores in the proxy metric's unit, accuracies in 0..1.

    `points` are the (score, accuracy) pairs fitted; `fitted_range` the lowest and highest score.
    `r2` is on these points, as the paper reports it; `mae` is the mean of the absolute
    `loo_residuals`, each of a point under `loo_curves`' refit without it; `residual_sd` allows for
    the number of coefficients. `skipped` says why families were not considered. `bounds` are the
    lowest and highest accuracy that is ever predicted. Where points are left out in blocks,
    `loo_refits` has each point's place in `loo_curves`; else it is empty, with a refit per point.
    """

    benchmark: str
    curve: Curve
    points: tuple[tuple[float, float], ...]
    fitted_range: tuple[float, float]
    r2: float
    mae: float
    residual_sd: float
    loo_curves: tuple[Curve, ...]
    loo_residuals: tuple[float, ...]
    skipped: dict[str, str]
    provenance: Provenance
    bounds: tuple[float, float] = (0.0, 1.0)
    loo_refits: tuple[int, ...] = ()

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
        """Whether accuracy rises with the score; for a likelihood loss that means noise."""
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
        """One plausible target accuracy per draw of a candidate's score, in 0..1, shape kept.

        Covers score noise and the function's error. The n + 1st residual, of the candidate not yet
        seen, stands for the finite-sample correction and is taken to be as large as the largest;
        so with few points an interval is about as wide as the worst miss.
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
        """Plausible accuracies of several candidates, draws x candidates, to be compared in a draw.

        Candidates share the function, so all of a draw are under the same refit, and of a residual
        they get no more than what each has for itself (`scatter`): what all share cancels in a
        difference. Student's t, since the scatter is an estimate. Not clipped to 0..1.
        """
        x = np.asarray(x_draws, dtype=np.float64)
        refits = self._refits()[rng.integers(len(self.points), size=len(x))]
        predicted = np.empty_like(x)
        for i, curve in enumerate(self.loo_curves):
            predicted[refits == i] = self._clipped(curve(x[refits == i]))
        freedom = 2 * (len(self.points) - 1) / 3
        unsure = np.sqrt(freedom / rng.chisquare(freedom, size=(len(x), 1)))
        return np.asarray(predicted + self.scatter * unsure * rng.standard_normal(x.shape))

    @property
    def scatter(self) -> float:
        """Standard deviation of accuracy about the curve among points of like score.

        From the differences of residuals that follow each other by score (Rice's estimator): where
        the whole curve is off, neighbours are off alike, and so are two candidates. What is left
        is the noise of a target's accuracy, and what its data do that the score does not show.
        """
        order = np.argsort([x for x, _ in self.points], kind="stable")
        residuals = np.array(self.loo_residuals)[order]
        neighbours = np.mean(np.diff(residuals) ** 2) / 2
        return float(np.sqrt(min(neighbours, np.mean(residuals**2))))

    def interval(
        self, x_draws: ArrayLike, confidence: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Percentile interval of `prediction_draws` for one candidate's draws of its score.

        For an average over benchmarks, average their `prediction_draws` first. Take some hundreds
        of draws at least; a score known exactly is passed repeated.
        """
        draws = self.prediction_draws(x_draws, rng)
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def intervals(self, x: ArrayLike, confidence: float) -> tuple[Array, Array]:
        """Lowest and highest accuracy at scores x known exactly, each of x's shape.

        The limit of `interval` for many draws, with no randomness: the quantiles of every refit's
        prediction plus and minus its residual, the largest residual once more.
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
        """Of each point, the place of its refit in `loo_curves`."""
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

    "best" takes the family with the highest R² on the points (the paper's rule); a named family is
    refitted as itself. Needs 4 points with different scores, or 5 for a named family of three
    coefficients, so that a refit without one of them is still overdetermined.

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
    seen = np.array([np.clip(c(x[i]), 0, 1) for i, c in enumerate(loo_curves)])
    freedom = len(x) - COEFFICIENTS[curve.family]
    return TransferFunction(
        benchmark=benchmark,
        curve=curve,
        loo_curves=loo_curves,
        skipped=skipped,
        provenance=provenance,
        **quality(x, y, curve, seen, freedom),
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
    """Of a curve through points (x, y), both (n,); `unseen` (n,) are predictions by refits without
    the point."""
    return {
        "points": tuple((float(a), float(b)) for a, b in zip(x, y, strict=True)),
        "fitted_range": (float(x.min()), float(x.max())),
        "r2": r_squared(y, curve(x)),
        "mae": float(np.abs(y - unseen).mean()),
        "residual_sd": float(np.sqrt(((y - curve(x)) ** 2).sum() / freedom)),
        "loo_residuals": tuple(float(r) for r in y - unseen),
    }


def check_points(x: Array, y: Array, needed: int, benchmark: str) -> None:
    """Raise InputError unless x and y are pairs of numbers, shares, and `needed` scores differ."""
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
