"""A Gaussian process over roots of the shares, with one length scale for each source.

The distance between two mixtures is taken between square or fourth roots of their shares: the
first tokens of a source change a model more than later ones. The likelihood decides which root
fits. The kernel is Matérn 5/2 plus a linear one. Lengths, sizes and noise are the most probable
under weak priors, fitted on at most `_FITTED_ON` runs by L-BFGS-B with exact gradients; predictions
use all runs.

The log-probability is up to hundreds of times as curved along the signal or the linear part as
along a length. So the search is in units in which it is expected to be equally curved everywhere,
at its start: half the steps, and more probable ends.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsymm, dsyr, dsyrk
from scipy.linalg.lapack import dlauum, dpotrf, dpotrs, dtrtri
from scipy.optimize import Bounds, minimize

Array = NDArray[np.float64]

ROOTS = (0.25, 0.5)
_FITTED_ON = 192
_TRIAL, _REST = 8, 20
"""Steps for each root, and more for the one with which the runs are most probable."""
_SETTLED = 5e-4
"""A search ends at a step that gains less than this part of the log-probability (or of 1)."""
_SAMPLED = 8
"""Sources whose lengths' curvature stands for all; it hardly differs at the start."""
_JITTER = 1e-8
_SIZES = {"signal": (0.0, 1.0), "noise": (-2.0, 1.5), "linear": (-1.0, 1.5)}
"""Mean and standard deviation of the priors of the kernel's log sizes, in standard units."""
_LENGTH_SPREAD = 1.5
_BLOCK = 2048


@dataclass(frozen=True)
class FittedProcess:
    """A Gaussian process for each metric."""

    runs: Array
    """Shares of the runs fitted to, (runs, sources)."""
    roots: Array
    """The root taken of shares, (metrics,): 0.25 or 0.5."""
    sizes: Array
    """(metrics, sources + 3): logs of the lengths, then of signal, noise and linear part."""
    centre: Array
    """Means of the costs over the runs, (metrics,)."""
    scale: Array
    """Standard deviations of the costs, (metrics,)."""
    alphas: Array
    """Inverse covariance times the standardised costs, (runs, metrics)."""

    def predict(self, shares: Array) -> Array:
        """Costs of mixtures, shape (mixtures, metrics)."""
        found = np.empty((len(shares), len(self.roots)))
        for root in np.unique(self.roots):
            known = _coordinates(self.runs, self.runs, root)
            for begin in range(0, len(shares), _BLOCK):
                block = slice(begin, begin + _BLOCK)
                asked = _coordinates(shares[block], self.runs, root)
                for k in np.flatnonzero(self.roots == root):
                    found[block, k] = _kernel(asked, known, self.sizes[k]) @ self.alphas[:, k]
        return self.centre + self.scale * found


def fit_process(shares: Array, costs: Array, seed: int) -> FittedProcess:
    """Fit to costs of shape (runs, metrics)."""
    centre, scale = costs.mean(axis=0), costs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    targets = (costs - centre) / scale
    some = np.random.default_rng(seed).permutation(len(shares))[:_FITTED_ON]
    count = shares.shape[1]
    first = np.array([*[0.5 * np.log(count)] * count, *(mean for mean, _ in _SIZES.values())])
    at = {root: _runs_at(_coordinates(shares, shares, root)[some], first) for root in ROOTS}
    roots, sizes = [], []
    for target in targets[some].T:
        _, found, root = min(
            ((*_more_probable(runs, target, first, _TRIAL), root) for root, runs in at.items()),
            key=lambda each: each[0],
        )
        roots.append(root)
        sizes.append(_more_probable(at[root], target, found, _REST)[1])
    return with_sizes(shares, costs, np.array(roots), np.array(sizes))


def with_sizes(shares: Array, costs: Array, roots: Array, sizes: Array) -> FittedProcess:
    """The processes with these roots and sizes, given the runs."""
    centre, scale = costs.mean(axis=0), costs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    alphas = np.empty_like(costs)
    for k, (root, size) in enumerate(zip(roots, sizes, strict=True)):
        at = _coordinates(shares, shares, root)
        covariance = _kernel(at, at, size)
        covariance[np.diag_indices(len(at))] += np.exp(2 * size[-2]) + _JITTER
        alphas[:, k] = cho_solve(
            cho_factor(covariance, lower=True), (costs[:, k] - centre[k]) / scale[k]
        )
    return FittedProcess(shares, roots, sizes, centre, scale, alphas)


def _coordinates(shares: Array, runs: Array, root: float) -> Array:
    """Roots of the shares, standardised by those of the runs."""
    of_runs = runs**root
    spread = of_runs.std(axis=0)
    coordinates: Array = (shares**root - of_runs.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return coordinates


def _kernel(a: Array, b: Array, sizes: Array) -> Array:
    lengths, signal, linear = np.exp(-sizes[:-3]), np.exp(2 * sizes[-3]), np.exp(2 * sizes[-1])
    near_a, near_b = a * lengths, b * lengths
    square = (near_a**2).sum(axis=1)[:, None] + (near_b**2).sum(axis=1)[None]
    distance = np.sqrt(5 * np.maximum(square - 2 * near_a @ near_b.T, 0))
    kernel: Array = signal * (1 + distance + distance**2 / 3) * np.exp(-distance)
    kernel += linear * (a @ b.T)
    return kernel


@dataclass(frozen=True, eq=False)
class _Runs:
    """The runs that sizes are fitted to, what does not depend on the sizes, and room for the rest.

    Every trial of sizes writes to the same matrices: fresh pages of memory would cost as much as
    what is computed.
    """

    at: Array
    """Coordinates, (runs, sources)."""
    squares: Array
    """Their squares."""
    with_ones: Array
    """Coordinates and a column of ones, (runs, sources + 1)."""
    products: Array
    """Scalar products of coordinates, (runs, runs)."""
    units: Array
    """What the search takes for 1 of each size, (sources + 3,)."""
    prior: Array
    """Means and standard deviations of the sizes' priors, (2, sources + 3)."""
    room: Array
    """Three matrices to overwrite, (3, runs, runs)."""


def _runs_at(at: Array, first: Array) -> _Runs:
    number = len(at)
    with_ones = np.asfortranarray(np.hstack([at, np.ones((number, 1))]))
    lengths = [(0.0, _LENGTH_SPREAD)] * at.shape[1]
    prior = np.array([*lengths, *_SIZES.values()]).T
    room = np.zeros((3, number, number))
    return _Runs(at, at**2, with_ones, at @ at.T, _units(at, first), prior, room)


def _units(at: Array, sizes: Array) -> Array:
    """By size, how far the log-probability is expected to fall by a half: 1 / √curvature.

    Costs do not enter. Without its prior a size θ has the curvature ½ tr (K⁻¹ ∂K/∂θ)², K the
    covariance (Fisher's information).
    """
    lengths, (signal, noise, linear) = np.exp(-2 * sizes[:-3]), np.exp(2 * sizes[-3:])
    distance = np.zeros((len(at), len(at)))
    _distances(at * np.sqrt(5 * lengths), distance)
    distance = np.tril(distance) + np.tril(distance).T
    decay = np.exp(-distance)
    matern, products = signal * (1 + distance + distance**2 / 3) * decay, linear * (at @ at.T)
    own = noise * np.eye(len(at))
    inverse = np.linalg.inv(matern + products + own)

    def curvature(slopes: Array) -> float:
        turned = inverse @ slopes
        return 0.5 * float(np.vdot(turned, turned.T))

    used = np.flatnonzero(at.any(axis=0))
    sample = used[np.linspace(0, len(used) - 1, _SAMPLED).astype(int)] if len(used) else used
    slope = 5 / 3 * signal * (1 + distance) * decay
    of_lengths = [
        curvature(lengths[k] * slope * (at[:, k, None] - at[None, :, k]) ** 2) for k in sample
    ]
    of_length = sum(of_lengths) / max(len(of_lengths), 1) + _LENGTH_SPREAD**-2
    of_others = [
        curvature(2 * part) + spread**-2
        for part, (_, spread) in zip((matern, own, products), _SIZES.values(), strict=True)
    ]
    return np.array([*[of_length] * (len(sizes) - 3), *of_others]) ** -0.5


def _more_probable(runs: _Runs, target: Array, start: Array, steps: int) -> tuple[float, Array]:
    """Negative log-probability and sizes that are more probable, after so many steps at most."""
    count, units = runs.at.shape[1], runs.units
    lowest = np.array([*[-4.0] * count, -5.0, -6.0, -8.0]) / units
    highest = np.array([*[6.0] * count, 4.0, 1.0, 3.0]) / units

    def improbability(scaled: Array) -> tuple[float, Array]:
        value, gradient = _improbability(scaled * units, runs, target)
        return value, gradient * units

    found = minimize(
        improbability,
        start / units,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(lowest, highest),
        options={"maxiter": steps, "ftol": _SETTLED},
    )
    return float(found.fun), np.asarray(found.x) * units


def _improbability(sizes: Array, runs: _Runs, target: Array) -> tuple[float, Array]:
    """Negative log-probability of the sizes given the costs, and its gradient.

    No array of (sources, runs, runs) is made: squared distances are products, and so is what the
    gradient needs of them, for symmetric v
    Σ_ij v_ij (a_ik − a_jk)² = 2 Σ_i a_ik² Σ_j v_ij − 2 Σ_i a_ik (v a)_ik.
    """
    count, number = runs.at.shape[1], len(target)
    lengths, (signal, noise, linear) = np.exp(-2 * sizes[:count]), np.exp(2 * sizes[count:])
    distance, slope, other = runs.room
    _distances(runs.at * np.sqrt(5 * lengths), distance)
    decay = np.exp(np.negative(distance, out=other), out=other)
    np.add(distance, 1, out=slope)
    slope *= decay
    distance *= distance
    distance *= decay
    distance *= signal / 3
    covariance = distance
    covariance += np.multiply(slope, signal, out=other)
    covariance += np.multiply(runs.products, linear, out=other)
    covariance.flat[:: number + 1] += noise + _JITTER
    # What LAPACK reads as the upper triangle is the lower one in C's order.
    factor, failed = dpotrf(covariance.T, lower=0, clean=1, overwrite_a=1)
    if failed:
        return 1e10, np.zeros_like(sizes)
    alpha, _ = dpotrs(factor, target, lower=0)
    value = 0.5 * target @ alpha + np.log(factor.diagonal()).sum()
    _invert_upper(factor, other.T)
    weight, _ = dlauum(other.T, lower=0, overwrite_c=1)
    # Its lower triangle holds zeros, so that sums over all are sums over the upper one.
    weight = dsyr(-1.0, alpha, lower=0, a=weight, overwrite_a=1).T
    diagonal = weight.diagonal()
    trace = diagonal.sum()
    gradient = np.empty_like(sizes)
    gradient[count + 1] = noise * trace
    both = 2 * np.vdot(weight, runs.products) - diagonal @ runs.products.diagonal()
    gradient[count + 2] = linear * both
    # All parts together sum to what the covariance gives with its own inverse.
    rest = gradient[count + 1] + _JITTER * trace + gradient[count + 2]
    gradient[count] = number - target @ alpha - rest
    by_square = np.multiply(weight, slope, out=slope)
    # A run has no distance to itself.
    by_square.flat[:: number + 1] = 0
    by_at = dsymm(1.0, by_square.T, runs.with_ones, lower=0)
    slopes = by_at[:, -1] @ runs.squares - np.einsum("ik,ik->k", runs.at, by_at[:, :-1])
    gradient[:count] = 5 / 3 * signal * lengths * slopes
    mean, spread = runs.prior
    away = (sizes - mean) / spread
    return float(value + 0.5 * away @ away), gradient + away / spread


def _distances(at: Array, out: Array) -> None:
    """Distances between all rows of `at`, by one product: |a|² + |b|² − 2 a·b.

    Those above the diagonal are not computed; what is there only stays finite.
    """
    norms = np.einsum("ij,ij->i", at, at)
    dsyrk(-2.0, at.T, trans=1, c=out.T, overwrite_c=1)
    out += norms[:, None]
    out += norms
    np.maximum(out, 0, out=out)
    out.flat[:: len(at) + 1] = 0
    np.sqrt(out, out=out)


def _invert_upper(triangle: Array, out: Array) -> None:
    """The inverse of an upper triangle, by halves: products are faster than LAPACK's inversion."""
    half = len(triangle) // 2
    first, _ = dtrtri(triangle[:half, :half], lower=0)
    last, _ = dtrtri(triangle[half:, half:], lower=0)
    out[:half, :half], out[half:, half:], out[half:, :half] = first, last, 0
    out[:half, half:] = -(first @ triangle[:half, half:]) @ last
