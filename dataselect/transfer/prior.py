"""What other benchmarks and datasets say of slope and scatter, for few calibration datasets.

With one or two datasets the data cannot show how accuracy goes with the score from one dataset to
the next, nor how far targets lie from a curve. Other benchmarks can, since the slope of accuracy on
the *logarithm* of a likelihood loss has no unit: nats or bits, by token or by character, weighted
or not, a loss lower by a tenth is worth so many points. So the prior is on the line

    accuracy = a + b·ln(score) + deviation of the dataset

with b normal about the median slope of other benchmarks, the scale of the deviation as theirs, and
a free. Bayes' rule is in closed form (normal and inverse gamma), and prediction is Student's t. A
dataset counts as one observation, however many checkpoints it has.

As datasets grow the data take over: in slope and scatter by Bayes' rule, and in shape because from
three datasets on the line is averaged with the robust curve of the data, with a weight as if the
prior were `PRIOR_DATASETS` datasets.

Slopes are Theil–Sen's, the scatter is the scaled median absolute deviation, so that single broken
models do not matter. Not covered: scores that may be 0 or below, which have no logarithm.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import polygamma
from scipy.stats import f as f_distribution
from scipy.stats import theilslopes

from dataselect.errors import InputError
from dataselect.transfer.curves import Curve
from dataselect.transfer.datasets import numbered, seeds_averaged
from dataselect.transfer.function import Provenance, TransferFunction, check_points, quality
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.robust import MOST_REFITS, robust_curve
from dataselect.transfer.spread import LEAST_DATASETS, NewData

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PRIOR_DATASETS = 5
"""Datasets that the prior's line counts as, when it is averaged with the curve of the data."""
LEAST_SOURCES = 3
"""Benchmarks that a prior needs, to see how slopes differ from one to the next."""
LEAST_SOURCE_DATASETS = 5
"""Datasets that a benchmark needs, to have a slope and a scatter over datasets."""
_SLOPE_DOUBT = 0.03
"""Added to the spread of slopes: they are estimates."""
_FREEDOMS = (1.0, 30.0)
_MAD = 1.4826  # from median absolute deviation to standard deviation


@dataclass(frozen=True)
class PriorSource:
    """Slope and scatter of one benchmark over datasets: derived constants, no rows of its table."""

    table: str
    """The table that it was fitted on."""
    benchmark: str
    """Benchmark id."""
    datasets: int
    """Number of datasets, one model of each."""
    slope: float
    """Accuracy, 0..1, per unit of the score's natural logarithm."""
    scatter: float | None
    """Standard deviation of accuracy about the line over datasets; None where it was not over
    datasets, such as along a run."""


@dataclass(frozen=True)
class Prior:
    """A prior on the line of accuracy on the logarithm of a score."""

    name: str
    """Where it comes from, in words."""
    slope: float
    """Mean of the slope: accuracy, 0..1, per unit of the score's natural logarithm."""
    slope_sd: float
    """Its standard deviation."""
    scatter: float
    """Typical standard deviation of a dataset's accuracy about the line."""
    scatter_freedom: float
    """Degrees of freedom of that scale: small where it differs much between benchmarks."""
    sources: tuple[PriorSource, ...] = ()
    """The benchmarks behind it."""
    command: str = ""
    """The command that made it."""

    def __post_init__(self) -> None:
        if not (self.slope_sd > 0 and self.scatter > 0 and self.scatter_freedom > 0):
            raise ValueError("the spreads of a prior must be above 0")


def combine(name: str, sources: Sequence[PriorSource], command: str) -> Prior:
    """The prior that benchmarks make together. Raises InputError where they are too few."""
    scatters = np.array([each.scatter for each in sources if each.scatter])
    if len(sources) < LEAST_SOURCES or len(scatters) < LEAST_SOURCES:
        raise InputError(
            name,
            f"{len(scatters)} benchmarks have {LEAST_SOURCE_DATASETS} datasets or more, and a prior"
            f" needs {LEAST_SOURCES}",
            "give tables with more benchmarks and datasets ('group')",
        )
    slopes = np.array([each.slope for each in sources])
    return Prior(
        name=name,
        slope=float(np.median(slopes)),
        slope_sd=math.hypot(float(slopes.std(ddof=1)), _SLOPE_DOUBT),
        scatter=float(np.median(scatters)),
        scatter_freedom=_freedom(float(np.log(scatters**2).var(ddof=1))),
        sources=tuple(sources),
        command=command,
    )


def source(pairs: Pairs, table: str) -> PriorSource | None:
    """Slope and scatter of a benchmark over the last points of its datasets; None if too few.

    Raises InputError for scores that have no logarithm.
    """
    pairs = seeds_averaged(pairs)
    ids = numbered(pairs)
    last = np.array([np.flatnonzero(ids == k)[-1] for k in range(int(ids.max()) + 1)])
    if len(last) < LEAST_SOURCE_DATASETS:
        return None
    _check_scores(pairs.metric, pairs.benchmark)
    x, y = np.log(pairs.metric[last]), pairs.accuracy[last]
    if not np.ptp(x):
        return None
    slope = float(theilslopes(y, x).slope)
    residuals = y - slope * x
    scatter = _MAD * float(np.median(np.abs(residuals - np.median(residuals))))
    return PriorSource(table, pairs.benchmark, len(last), slope, scatter or None)


def make_prior(benchmarks: Mapping[str, Pairs], table: str, command: str) -> Prior:
    """A prior from a table of pairs. Raises InputError where it has too little."""
    found: Iterable[PriorSource | None] = (source(each, table) for each in benchmarks.values())
    return combine(table, [each for each in found if each is not None], command)


def line(x: Array, y: Array, datasets: Index, prior: Prior) -> tuple[Curve, NewData]:
    """The line by Bayes' rule, and how far a new dataset lies from it.

    Scores x above 0, accuracies y and the number of each point's dataset, all (n,).
    """
    counts = np.bincount(datasets)
    weights = 1 / counts[datasets]
    amount = float((counts > 0).sum())
    logs = np.log(x)
    centre, height = float(weights @ logs) / amount, float(weights @ y) / amount
    u, v = logs - centre, y - height
    precision = (prior.scatter / prior.slope_sd) ** 2  # of the slope, in units of the scatter
    spread = precision + float(weights @ u**2)
    slope = (precision * prior.slope + float(weights @ (u * v))) / spread
    misfit = float(weights @ v**2) + precision * prior.slope**2 - spread * slope**2
    freedom = prior.scatter_freedom + amount - 1
    square = (prior.scatter_freedom * prior.scatter**2 + max(misfit, 0.0)) / freedom
    scatter = math.sqrt(square)
    return Curve("logarithmic", math.exp(centre), (height, slope)), NewData(
        freedom=freedom,
        scatter=scatter,
        level=scatter / math.sqrt(amount),
        slope=scatter / math.sqrt(spread),
        centre=centre,
        conflict=_conflict(max(misfit, 0.0), amount - 1, prior) if amount > 1 else None,
    )


def _conflict(misfit: float, freedom: float, prior: Prior) -> float:
    """Probability, by the prior, of as large a sum of squares of deviations from its line."""
    return float(
        f_distribution.sf(misfit / freedom / prior.scatter**2, freedom, prior.scatter_freedom)
    )


def curve_with_prior(
    x: Array, y: Array, datasets: Index, prior: Prior, chance: float | None, *, falling: bool
) -> Curve:
    """The curve of the data averaged with the prior's line; with few datasets the line alone."""
    straight, _ = line(x, y, datasets, prior)
    count = len(np.unique(datasets))
    if count < LEAST_DATASETS or len(np.unique(x)) < LEAST_DATASETS:
        return straight
    share = PRIOR_DATASETS / (PRIOR_DATASETS + count)
    return replace(robust_curve(x, y, chance, falling=falling), other=straight, share=share)


def fit_with_prior(
    x: ArrayLike,
    y: ArrayLike,
    *,
    benchmark: str,
    provenance: Provenance,
    chance: float | None,
    falling: bool,
    datasets: Index,
    prior: Prior,
) -> TransferFunction:
    """Fit target accuracies y (0..1) on proxy scores x, both (n,), from one point on.

    `datasets`: the number of each point's dataset, from 0. Raises InputError for scores that are
    not above 0, and for a prior of scores in the other direction.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check_points(x, y, 1, benchmark)
    _check_scores(x, benchmark)
    check_direction(prior, falling=falling)
    count = len(np.unique(datasets))
    blocks = datasets % MOST_REFITS
    refits: tuple[Curve, ...] = ()
    unseen = np.empty_like(y)
    if count > 1:
        for k in range(int(blocks.max()) + 1):
            kept = blocks != k
            others = np.unique(datasets[kept], return_inverse=True)[1]
            refit = curve_with_prior(x[kept], y[kept], others, prior, chance, falling=falling)
            unseen[~kept] = np.clip(refit(x[~kept]), 0, 1)
            refits += (refit,)
    curve = curve_with_prior(x, y, datasets, prior, chance, falling=falling)
    found = quality(x, y, curve, unseen, len(x) - 2)
    if not refits:
        found = {**found, "mae": None, "loo_residuals": ()}
    return TransferFunction(
        benchmark=benchmark,
        curve=curve,
        loo_curves=refits,
        skipped={},
        provenance=provenance,
        loo_refits=tuple(int(k) for k in blocks) if refits else (),
        datasets=count,
        new_data=line(x, y, datasets, prior)[1],
        **found,
    )


def check_direction(prior: Prior, *, falling: bool) -> None:
    """Raise InputError unless the prior's slope has the direction of the score."""
    if (prior.slope < 0) != falling:
        ours, theirs = ("lower", "higher") if falling else ("higher", "lower")
        raise InputError(
            "--prior",
            f"{prior.name} is for scores where {theirs} is better, and of these {ours} is",
            "leave out the prior, or make one from scores of this kind",
        )


def _check_scores(x: Array, benchmark: str) -> None:
    if (x <= 0).any():
        raise InputError(
            f"transfer function of {benchmark}",
            "a score is not above 0, so it has no logarithm, which a prior is about",
            "leave out the prior, or give a loss as the score",
        )


def _freedom(log_variance: float) -> float:
    """Degrees of freedom of scales whose squares' logarithms have this variance.

    Of an inverse chi-square that variance is trigamma(freedom / 2), which falls with the freedom.
    """
    low, high = _FREEDOMS
    for _ in range(60):
        middle = math.sqrt(low * high)
        if float(polygamma(1, middle / 2)) > log_variance:
            low = middle
        else:
            high = middle
    return round(math.sqrt(low * high), 2)
