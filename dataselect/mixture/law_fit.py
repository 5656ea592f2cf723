"""Fit a law to all metrics at once: the most probable parameters, by damped least squares.

Metrics are independent problems of one shape, so their steps are taken together in batched linear
algebra; 13 metrics on 512 runs take under a second. The weight of the prior against the data is the
variance of the noise, estimated from the residuals during the fit, so nothing has to be tuned.
From several starts a few steps each show which is best, and only that one is followed.

Metrics of one swarm resemble each other: the same sources are rich or poor for most of them, with
much the same exponents. So with several metrics the parameters of the first fit become the
prior of each (empirical Bayes, done twice), which makes few runs enough.

Not covered: uncertainty of parameters; that of predictions comes from cross-validation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dposv, dpotrf, dpotri

from dataselect.mixture.law_curves import Curve, Index, Point
from dataselect.mixture.laws import Law, Prior

Array = NDArray[np.float64]

_TRIAL, _MOST_STEPS = 20, 80
"""Steps from each start, and from the best of them."""
_SETTLED = 1e-5
"""A fit ends at a step that lowers the loss by less than this part."""
_FIRST_NOISE = 0.01
_NOISE_EVERY = 5
"""The noise is estimated once in so many steps, and no fit ends before it was."""
_MOST_SLOPES = 2**21
_POOLED_FROM = 5
"""Fewest metrics whose spread says something about a further one."""
_POOLINGS = 2


@dataclass(frozen=True)
class FittedLaw:
    """A law fitted to each metric: costs are centre + scale × law."""

    law: Law
    """The form of the law, the same for all metrics."""
    parameters: Array
    """(metrics, parameters)."""
    centre: Array
    """Means of the costs over the runs, (metrics,)."""
    scale: Array
    """Standard deviations of the costs, (metrics,)."""

    def predict(self, shares: Array) -> Array:
        """Costs of mixtures, shape (mixtures, metrics)."""
        values = self.law.values(self.parameters, shares)
        return self.centre + self.scale * values.T


def fit_law(law: Law, shares: Array, costs: Array) -> FittedLaw:
    """Fit to costs of shape (runs, metrics), lower being better."""
    centre, scale = costs.mean(axis=0), costs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    targets = ((costs - centre) / scale).T
    metrics, sources = len(targets), shares.shape[1]
    vague = law.prior(sources)
    prior = _repeated(vague, metrics)
    noise = np.full(metrics, _FIRST_NOISE)
    tried = [
        _least_squares(law, shares, targets, prior, _Fits(start, noise), _TRIAL)
        for start in law.starts(targets, sources)
    ]
    best = np.argmin([_misfit(law, shares, targets, prior, fits) for fits in tried], axis=0)
    fits = _Fits(
        np.stack([each.parameters for each in tried])[best, np.arange(metrics)],
        np.stack([each.noise for each in tried])[best, np.arange(metrics)],
    )
    fits = _least_squares(law, shares, targets, prior, fits, _MOST_STEPS)
    if metrics >= _POOLED_FROM:
        for _ in range(_POOLINGS):
            prior = _repeated(_pooled(fits.parameters, vague), metrics)
            fits = _least_squares(law, shares, targets, prior, fits, _MOST_STEPS)
    return FittedLaw(law, fits.parameters, centre, scale)


@dataclass(frozen=True)
class _Fits:
    """Where fits of all metrics are."""

    parameters: Array
    """(metrics, parameters)."""
    noise: Array
    """Variance of the noise in standard units, (metrics,)."""


def _repeated(prior: Prior, times: int) -> Prior:
    return Prior(np.tile(prior.mean, (times, 1)), np.tile(prior.precision, (times, 1)))


def _pooled(parameters: Array, vague: Prior) -> Prior:
    """The prior of a further metric's parameters, given those of all metrics.

    Never wider than before, nor narrower than a quarter of that: some metric may differ from all
    others. Offset and scale are not pooled.
    """
    with np.errstate(divide="ignore"):
        widest = vague.precision**-0.5
    sd = np.clip(parameters.std(axis=0), widest / 4, widest)
    mean = np.where(np.isfinite(widest), np.median(parameters, axis=0), vague.mean)
    return Prior(mean, np.where(np.isfinite(widest), sd**-2.0, 0.0))


def _misfit(law: Law, shares: Array, targets: Array, prior: Prior, fits: _Fits) -> Array:
    """The criterion to compare fits with the same prior by, (metrics,); lower is better."""
    runs, parameters = targets.shape[1], fits.parameters
    squares = ((targets - law.curve(shares).at(parameters).values) ** 2).sum(axis=1)
    unlikely = (prior.precision * (parameters - prior.mean) ** 2).sum(axis=1)
    misfit: Array = runs * np.log(squares / runs + 1e-12) + unlikely
    return misfit


def _least_squares(
    law: Law, shares: Array, targets: Array, prior: Prior, start: _Fits, steps: int
) -> _Fits:
    """Fits after so many steps from a start at most."""
    curve = law.curve(shares)
    # A few metrics at a time, so that their slopes stay in the processor's cache.
    count = max(1, _MOST_SLOPES // (len(shares) * start.parameters.shape[1]))
    found = [
        _some_least_squares(
            curve,
            targets[some],
            Prior(prior.mean[some], prior.precision[some]),
            _Fits(start.parameters[some], start.noise[some]),
            steps,
        )
        for begin in range(0, len(targets), count)
        for some in [slice(begin, begin + count)]
    ]
    return _Fits(
        np.concatenate([each.parameters for each in found]),
        np.concatenate([each.noise for each in found]),
    )


def _some_least_squares(
    curve: Curve, targets: Array, prior: Prior, start: _Fits, steps: int
) -> _Fits:
    parameters, noise, runs = start.parameters.copy(), start.noise.copy(), targets.shape[1]
    active, damping = np.arange(len(targets)), np.full(len(targets), 0.01)
    point = curve.at(parameters)
    left = targets - point.values
    normal = _NormalEquations(len(targets), parameters.shape[1], runs)
    normal.renew(active, active, point, left)
    for step_number in range(steps):
        at, mean, precision = parameters[active], prior.mean[active], prior.precision[active]
        if step_number % _NOISE_EVERY == _NOISE_EVERY - 1:
            noise[active] = _noise(left[active], normal.curvature[active], precision, noise[active])
        weight = noise[active][:, None] * precision
        gradient = normal.descent[active] - weight * (at - mean)
        damped = normal.curvature[active]
        diagonal = np.einsum("mii->mi", damped)
        diagonal += weight
        diagonal += damping[active][:, None] * np.maximum(diagonal, 1e-8)
        step = _solved(damped, gradient)
        step *= np.minimum(1, 2 / np.maximum(np.abs(step[:, 1:]).max(axis=1), 1e-12))[:, None]
        point = curve.at(at + step)
        left_after = targets[active] - point.values
        before = _loss(left[active], at, mean, weight)
        after = _loss(left_after, at + step, mean, weight)
        down = after < before
        moved = active[down]
        parameters[moved], left[moved] = (at + step)[down], left_after[down]
        damping[active] = np.clip(damping[active] * np.where(down, 0.3, 5.0), 1e-8, 1e8)
        gain = np.where(down, (before - after) / np.maximum(before, 1e-12), 1.0)
        settled = (gain < _SETTLED) & (step_number > _NOISE_EVERY)
        tried, going = active, ~(settled | (damping[active] > 1e7))
        active = active[going]
        if not len(active):
            break
        # Where a step was refused, slopes are still those of before.
        renewed = down & going
        if renewed.any():
            normal.renew(tried[renewed], np.flatnonzero(renewed), point, left)
    return _Fits(parameters, noise)


class _NormalEquations:
    """Slopes times slopes, and times what is left of the targets, by metric.

    One metric's slopes at a time are written to the same memory, which stays in the processor's
    cache: fresh pages would cost as much as what is computed. Of symmetric matrices only the
    triangle below the diagonal is kept, which is what LAPACK reads as the upper one, since its
    order is the other one.
    """

    def __init__(self, metrics: int, parameters: int, runs: int) -> None:
        self._slopes = np.zeros((parameters, runs))
        self.curvature = np.zeros((metrics, parameters, parameters))
        self.descent = np.zeros((metrics, parameters))

    def renew(self, metrics: Index, places: Index, point: Point, left: Array) -> None:
        """Those of some metrics, which have these places in `point`; `left` is of all metrics."""
        for k, place in zip(metrics, places, strict=True):
            point.slopes(place, self._slopes)
            dsyrk(1.0, self._slopes.T, trans=1, c=self.curvature[k].T, overwrite_c=1)
            self.descent[k] = self._slopes @ left[k]


def _solved(matrices: Array, targets: Array) -> Array:
    """Solutions of positive definite systems, given lower triangles (metrics, n, n)."""
    found = np.empty_like(targets)
    for k, (matrix, target) in enumerate(zip(matrices, targets, strict=True)):
        _, found[k], failed = dposv(matrix.T, target)
        if failed:
            found[k] = np.linalg.solve(_whole(matrix), target)
    return found


def _noise(left: Array, curvature: Array, precision: Array, noise: Array) -> Array:
    """Variance of the noise: squared residuals over the degrees of freedom that remain."""
    ridge = noise[:, None] * precision + 1e-9
    used = np.array([_freedom(*each) for each in zip(curvature, ridge, strict=True)])
    runs = left.shape[1]
    free = np.maximum(runs - np.minimum(used, 0.8 * runs), 1)
    variance: Array = np.clip((left**2).sum(axis=1) / free, 1e-6, 1.0)
    return variance


def _freedom(curvature: Array, ridge: Array) -> float:
    """Trace of (curvature + ridge)⁻¹ curvature: n less that of (curvature + ridge)⁻¹ ridge."""
    damped = curvature.copy()
    np.einsum("ii->i", damped)[:] += ridge
    factor, failed = dpotrf(damped.T)
    if failed:
        inverse = np.linalg.inv(_whole(damped))
    else:
        inverse, _ = dpotri(factor)
    return float(len(ridge) - np.diag(inverse) @ ridge)


def _whole(triangle: Array) -> Array:
    whole: Array = np.tril(triangle) + np.tril(triangle, -1).T
    return whole


def _loss(left: Array, at: Array, mean: Array, weight: Array) -> Array:
    loss: Array = (left**2).sum(axis=1) + (weight * (at - mean) ** 2).sum(axis=1)
    return loss
