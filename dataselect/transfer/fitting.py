"""Fitting the robust function to the pairs of one benchmark, from the table to the function.

Seeds of a checkpoint are averaged, scores with their neighbours along a run, the floor is looked
up. Then comes the curve of the data (`robust`) or, with a prior, of both (`prior`), with what it
says of new datasets and of later checkpoints.

Not covered: judging it, which is in `protocols`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.chance import known_chance
from dataselect.transfer.datasets import named, numbered, runs_in_order, seeds_averaged
from dataselect.transfer.function import Provenance, TransferFunction, check_points
from dataselect.transfer.held_out import Method, Predictor, RowMethod
from dataselect.transfer.isotonic import fit_steps, step_values
from dataselect.transfer.neighbours import WINDOW, averaged, blocks
from dataselect.transfer.pairs import Index, Pairs
from dataselect.transfer.prior import Prior, curve_with_prior, fit_with_prior
from dataselect.transfer.robust import (
    LEAST_POINTS,
    bounds,
    curve_of,
    fit_robust,
    robust_curve,
    sigmoid_curve,
)
from dataselect.transfer.rolling import fit_later
from dataselect.transfer.spread import LEAST_DATASETS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """Pairs of one benchmark, ready to be fitted."""

    raw: Pairs
    """With the seeds of a checkpoint averaged."""
    pairs: Pairs
    """The same with scores averaged over neighbouring checkpoints."""
    averaged: int
    """Number of points whose score is a mean over neighbours."""
    chance: float | None
    """Accuracy of guessing in 0..1; None if unknown."""
    floor_from: str
    """Where the floor comes from, in words."""


def prepare(pairs: Pairs, prior: Prior | None = None) -> Prepared:
    """Average what is to be averaged. Raises InputError when there are too few points."""
    raw = seeds_averaged(pairs)
    check_points(raw.metric, raw.accuracy, 1 if prior else LEAST_POINTS, raw.benchmark)
    scores = averaged(raw.metric, raw.tokens, raw.groups)
    chance, origin = raw.chance, "the chance column"
    if chance is None:
        chance, origin = known_chance(raw.benchmark), "a known benchmark's chance"
    if chance is None:
        origin = "fitted"
    changed = int((scores != raw.metric).sum())
    return Prepared(raw, replace(raw, metric=scores), changed, chance, origin)


def fit_function(
    pairs: Pairs,
    provenance: Provenance,
    *,
    falling: bool,
    prior: Prior | None = None,
    offsets: bool = False,
) -> TransferFunction:
    """The function of one benchmark, not judged; `falling` says that lower scores are better.

    `offsets` gives each dataset a height of its own; not with a prior.

    Raises InputError when there are too few points: three, or one with a prior.
    """
    prepared = prepare(pairs, prior)
    way = RobustWay.of(prepared, provenance, falling=falling, prior=prior, offsets=offsets)
    return way.fit(prepared.pairs)


@dataclass(frozen=True)
class RobustWay:
    """How prepared pairs of one benchmark, or some of them, are fitted."""

    provenance: Provenance
    """Where the functions come from."""
    chance: float | None
    """Accuracy of guessing in 0..1; None if unknown."""
    falling: bool
    """Whether lower scores are better."""
    prior: Prior | None
    """The prior on slope and scatter, if any."""
    offsets: bool = False
    """Whether each dataset has a height of its own in the fit; not with a prior."""

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        provenance: Provenance,
        *,
        falling: bool,
        prior: Prior | None,
        offsets: bool = False,
    ) -> "RobustWay":
        """The way for these pairs, with its words in the provenance."""
        method = _method(prepared, prior, falling=falling, offsets=offsets)
        return cls(replace(provenance, method=method), prepared.chance, falling, prior, offsets)

    def fit(self, pairs: Pairs) -> TransferFunction:
        """The function of prepared pairs."""
        x, y, ids = pairs.metric, pairs.accuracy, numbered(pairs)
        provenance = replace(self.provenance, datasets=named(pairs))
        if self.prior is not None:
            return fit_with_prior(
                x,
                y,
                benchmark=pairs.benchmark,
                provenance=provenance,
                chance=self.chance,
                falling=self.falling,
                datasets=ids,
                prior=self.prior,
            )
        function = fit_robust(
            x,
            y,
            benchmark=pairs.benchmark,
            provenance=provenance,
            chance=self.chance,
            falling=self.falling,
            blocks=blocks(pairs.tokens, pairs.groups),
            datasets=ids,
            offsets=self.offsets,
        )
        method = robust_methods(self.chance, falling=self.falling)["robust"]
        runs = list(runs_in_order(pairs, falling=self.falling))
        inside = np.array(function.loo_residuals)
        return replace(function, later=fit_later(method, x, y, runs, inside))

    @property
    def least_datasets(self) -> int:
        """Datasets from which on whole ones are left out in cross-validation."""
        return LEAST_DATASETS if self.prior is None else 2

    @property
    def least_scores(self) -> int:
        """Different scores that a function needs."""
        return LEAST_POINTS if self.prior is None else 1

    def usable(self, pairs: Pairs) -> Callable[[Index], bool]:
        """Whether rows are enough for a curve, without a refit."""
        least = min(self.least_scores, 2)
        return lambda rows: len(np.unique(pairs.metric[rows])) >= least

    def by_rows(self, pairs: Pairs) -> RowMethod:
        """The curve fitted on some rows, without what its intervals need."""
        x, y, ids = pairs.metric, pairs.accuracy, numbered(pairs)
        plain = robust_methods(self.chance, falling=self.falling)["robust"]

        def method(fitted: Index, predicted: Index) -> Array:
            if self.prior is None and self.offsets:
                curve = curve_of(
                    x[fitted], y[fitted], ids[fitted], self.chance, falling=self.falling
                )
                return np.clip(curve(x[predicted]), *bounds(y[fitted]))
            if self.prior is None:
                return plain(x[fitted], y[fitted])(x[predicted])
            own = np.unique(ids[fitted], return_inverse=True)[1]
            curve = curve_with_prior(
                x[fitted], y[fitted], own, self.prior, self.chance, falling=self.falling
            )
            return np.clip(curve(x[predicted]), 0, 1)

        return method


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


def _method(prepared: Prepared, prior: Prior | None, *, falling: bool, offsets: bool) -> str:
    scores = (
        f"scores averaged over up to {WINDOW} neighbouring checkpoints of a run, symmetrically"
        if prepared.averaged
        else "scores not averaged"
    )
    better = "lower" if falling else "higher"
    how = f"mean of a sigmoid (floor: {prepared.floor_from}) and isotonic regression; {scores}"
    if offsets:
        how += "; each dataset with a height of its own, shrunk"
    if prior is not None:
        how = f"a line in log score with the prior {prior.name}, from three datasets on with {how}"
    return f"robust: {how}; {better} scores are better; datasets or blocks left out for intervals"
