"""Fit a law to all metrics at once: the most probable parameters, by damped least squares.

Metrics are independent problems of one shape, so their steps are taken together in batched linear
algebra; 13 metrics on 512 runs take under a second. The weight of the prior against the data is the
variance of the noise, estimated from the residuals during the fit, so nothing has to be tuned.

Metrics of one swarm resemble each other: the same sources are rich or poor for most of them, with
much the same exponents. So with several metrics the parameters of the first fit become the
prior of each (empirical Bayes, done twice), which makes few runs enough.

Not covered: uncertainty of parameters; that of predictions comes from cross-validation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from dataselect.mixture.law_curves import Curve
from dataselect.mixture.laws import Law, Prior

Array = NDArray[np.float64]

_MOST_STEPS = 80
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
    best = np.full(metrics, np.inf)
    parameters = np.zeros((metrics, len(vague.mean)))
    for start in law.starts(targets, sources):
        found, fit = _least_squares(law, shares, targets, prior, start)
        better = fit < best
        parameters[better], best[better] = found[better], fit[better]
    if metrics >= _POOLED_FROM:
        for _ in range(_POOLINGS):
            prior = _repeated(_pooled(parameters, vague), metrics)
            parameters, _ = _least_squares(law, shares, targets, prior, parameters)
    return FittedLaw(law, parameters, centre, scale)


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


def _least_squares(
    law: Law, shares: Array, targets: Array, prior: Prior, start: Array
) -> tuple[Array, Array]:
    """Parameters, and the criterion to compare fits with the same prior by (lower is better)."""
    curve = law.curve(shares)
    # A few metrics at a time, so that their slopes stay in the processor's cache.
    count = max(1, _MOST_SLOPES // (len(shares) * start.shape[1]))
    found = [
        _some_least_squares(
            curve,
            targets[some],
            Prior(prior.mean[some], prior.precision[some]),
            start[some],
        )
        for begin in range(0, len(targets), count)
        for some in [slice(begin, begin + count)]
    ]
    return np.concatenate([each for each, _ in found]), np.concatenate([fit for _, fit in found])


def _some_least_squares(
    curve: Curve, targets: Array, prior: Prior, start: Array
) -> tuple[Array, Array]:
    parameters, runs = start.copy(), targets.shape[1]
    active = np.arange(len(targets))
    noise, damping = np.full(len(targets), 0.01), np.full(len(targets), 0.01)
    identity = np.eye(parameters.shape[1])
    point = curve.at(parameters)
    left = targets - point.values
    curvature, descent = _products(point.slopes(), left)
    for step_number in range(_MOST_STEPS):
        at, mean, precision = parameters[active], prior.mean[active], prior.precision[active]
        if step_number % 5 == 4:
            noise[active] = _noise(left[active], curvature[active], precision, noise[active])
        weight = noise[active][:, None] * precision
        gradient = descent[active] - weight * (at - mean)
        damped = curvature[active] + weight[:, :, None] * identity
        diagonal = np.maximum(np.einsum("mii->mi", damped), 1e-8)
        damped += (damping[active][:, None] * diagonal)[:, :, None] * identity
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
        settled = (gain < 1e-6) & (step_number > 15)
        tried, going = active, ~(settled | (damping[active] > 1e7))
        active = active[going]
        if not len(active):
            break
        # Where a step was refused, slopes are still those of before.
        renewed = down & going
        if renewed.any():
            slopes = point.of(renewed).slopes()
            at_new = tried[renewed]
            curvature[at_new], descent[at_new] = _products(slopes, left[at_new])
    squares = (left**2).sum(axis=1)
    misfit = runs * np.log(squares / runs + 1e-12)
    return parameters, misfit + (prior.precision * (parameters - prior.mean) ** 2).sum(axis=1)


def _products(slopes: Array, left: Array) -> tuple[Array, Array]:
    """Slopes times slopes, and slopes times what is left of the targets."""
    turned = slopes.transpose(0, 2, 1)
    return np.matmul(turned, slopes), np.matmul(turned, left[:, :, None])[:, :, 0]


def _solved(matrices: Array, targets: Array) -> Array:
    """Solutions of positive definite systems (metrics, n, n), by Cholesky's half of the work."""
    found = np.empty_like(targets)
    for k, (matrix, target) in enumerate(zip(matrices, targets, strict=True)):
        # The transpose is the same matrix in the order of LAPACK.
        _, found[k], failed = dposv(matrix.T, target, lower=1)
        if failed:
            found[k] = np.linalg.solve(matrix, target)
    return found


def _noise(left: Array, curvature: Array, precision: Array, noise: Array) -> Array:
    """Variance of the noise: squared residuals over the degrees of freedom that remain."""
    identity = np.eye(curvature.shape[1])
    whole = curvature + ((noise[:, None] * precision) + 1e-9)[:, :, None] * identity
    used = np.trace(np.linalg.solve(whole, curvature), axis1=1, axis2=2)
    runs = left.shape[1]
    free = np.maximum(runs - np.minimum(used, 0.8 * runs), 1)
    variance: Array = np.clip((left**2).sum(axis=1) / free, 1e-6, 1.0)
    return variance


def _loss(left: Array, at: Array, mean: Array, weight: Array) -> Array:
    loss: Array = (left**2).sum(axis=1) + (weight * (at - mean) ** 2).sum(axis=1)
    return loss
