"""The curve families that map a proxy's score to target accuracy.

Four are the paper's (section 4.1 (ii)) and are fitted here. The fifth, a sigmoid, is fitted in
`sigmoid`, because its fit needs the chance level and the direction; its value is computed here, so
that a file of functions has one kind of curve.

Fitting is least squares in closed form. For the exponential, a + b·exp(c·u), a and b are linear for
a given c, so only c is searched, over a bounded grid that is then refined. That finds the global
optimum with no starting point, where general curve fitting of all three stalls or diverges. The
bound keeps an exponential from exploding just outside its points.

A curve must be monotone over its points: a better score has to mean a better prediction, else the
function re-orders candidates where it was fitted. Only a quadratic can fail this; it is then
refused with the reason. Beyond its points a quadratic is flat from its turning point on. A rising
curve is not refused here, since for some scores higher is better.

Not covered: the choice among families, which is in `function.fit` and `robust`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

PaperFamily = Literal["linear", "logarithmic", "exponential", "quadratic"]
Family = Literal["linear", "logarithmic", "exponential", "quadratic", "sigmoid"]
Array = NDArray[np.float64]

# From simple to flexible: of equally good fits the first is taken.
FAMILIES: tuple[PaperFamily, ...] = get_args(PaperFamily)
COEFFICIENTS: dict[Family, int] = {
    "linear": 2,
    "logarithmic": 2,
    "exponential": 3,
    "quadratic": 3,
    "sigmoid": 4,
}

# Bounds on |c| times the width of the fitted range: below them the curve is all but a straight
# line; at the upper one its slope changes by a factor of exp(6), about 400, from end to end.
_STEEPNESS = (0.02, 6.0)
_LARGEST_EXPONENT = 500.0  # far outside the points, exp would overflow
_LEAST_SHARE = 0.002  # one item of 500


class NoFitError(ValueError):
    """A family cannot be fitted to these points; the message is the reason."""


@dataclass(frozen=True)
class Curve:
    """A fitted curve in u = x - origin, with coefficients c0, c1 (, c2).

    linear c0 + c1·u; quadratic c0 + c1·u + c2·u²; exponential c0 + c1·exp(c2·u);
    logarithmic c0 + c1·ln(x / origin), for x > 0; sigmoid c0 + c1 / (1 + exp(-c2·(u - c3))).
    """

    family: Family
    """Name of the formula."""
    origin: float
    """Mean of the fitted x."""
    coefficients: tuple[float, ...]
    """c0, c1, ... of the formula."""
    knots: tuple[tuple[float, float], ...] = ()
    """(x, level) of an isotonic regression, by rising x; empty without one. With knots the curve is
    the mean of the formula and the line through the knots."""
    tail: float | None = None
    """How the curve goes on beyond its best knot: from its value there, by the mean of the
    formula's change and that of a straight line in the logit of accuracy, of which this is the
    slope. None: the line through the knots is flat there, as in files of schema 1 and 2. It always
    is beyond the worst knot."""
    other: "Curve | None" = None
    """A second curve that this one is averaged with."""
    share: float = 0.0
    """Weight of `other`, 0..1."""

    def __post_init__(self) -> None:
        if len(self.coefficients) != COEFFICIENTS[self.family]:
            raise ValueError(f"a {self.family} curve has {COEFFICIENTS[self.family]} coefficients")
        if self.family == "logarithmic" and self.origin <= 0:
            raise ValueError("a logarithmic curve needs an origin above 0")
        if any(a[0] >= b[0] for a, b in pairwise(self.knots)):
            raise ValueError("the knots of a curve must rise")
        if not 0 <= self.share <= 1:
            raise ValueError("the share of a second curve must lie within 0..1")

    def __call__(self, x: Array) -> Array:
        """Values at x, of the same shape, not clipped."""
        x = np.asarray(x, dtype=np.float64)
        own = self._alone(x)
        if self.other is None:
            return own
        return np.asarray((1 - self.share) * own + self.share * self.other(x))

    def _alone(self, x: Array) -> Array:
        """The values without the second curve."""
        if not self.knots:
            return self.formula(x)
        places, levels = np.array(self.knots).T
        if self.tail is None:
            return np.asarray((self.formula(x) + np.interp(x, places, levels)) / 2)
        edge = np.clip(x, places[0], places[-1])
        inside = (self.formula(edge) + np.interp(edge, places, levels)) / 2
        start = _within(inside)
        line = 1 / (1 + (1 / start - 1) * np.exp(-_exponent(self.tail * (x - edge))))
        rise = np.maximum(line - start, 0)  # on the worse side only the formula goes on
        return np.asarray(inside + (self.formula(x) - self.formula(edge) + rise) / 2)

    def formula(self, x: Array) -> Array:
        """Values of the family's formula alone, without the knots."""
        c = self.coefficients
        if self.family == "logarithmic":
            return c[0] + c[1] * np.log(np.maximum(x, np.finfo(np.float64).tiny) / self.origin)
        u = x - self.origin
        if self.family == "exponential":
            return c[0] + c[1] * np.exp(np.minimum(c[2] * u, _LARGEST_EXPONENT))
        if self.family == "sigmoid":
            return np.asarray(c[0] + c[1] / (1 + np.exp(_exponent(-c[2] * (u - c[3])))))
        if self.family == "quadratic" and c[2]:
            turn = -c[1] / (2 * c[2])
            # The origin lies among the fitted points, so its side of the turn is theirs.
            u = np.minimum(u, turn) if turn > 0 else np.maximum(u, turn)
            return c[0] + c[1] * u + c[2] * u**2
        return c[0] + c[1] * u


def fit_curve(x: Array, y: Array, family: PaperFamily) -> Curve:
    """Least-squares curve of one family through points (x, y), both of shape (n,).

    Raises NoFitError with the reason: too few different x, a logarithm of x <= 0, or a quadratic
    that turns within the range of x.
    """
    needed = COEFFICIENTS[family] + 1
    if len(np.unique(x)) < needed:
        raise NoFitError(f"needs {needed} different scores")
    low, high, origin = float(x.min()), float(x.max()), float(x.mean())
    if family == "logarithmic":
        if low <= 0:
            raise NoFitError("needs scores above 0")
        return Curve(family, origin, _polynomial(np.log(x / origin), y, 1))
    width = high - low
    u = (x - origin) / width
    if family == "exponential":
        c0, c1, rate = _exponential(u, y)
        return Curve(family, origin, (c0, c1, rate / width))
    scaled = _polynomial(u, y, 1 if family == "linear" else 2)
    coefficients = tuple(c / width**power for power, c in enumerate(scaled))
    if family == "quadratic":
        slopes = [scaled[1] + 2 * scaled[2] * (end - origin) / width for end in (low, high)]
        if slopes[0] * slopes[1] < 0:
            raise NoFitError("turns within the fitted range")
    return Curve(family, origin, coefficients)


def best_curve(
    x: Array, y: Array, families: Sequence[PaperFamily] = FAMILIES
) -> tuple[Curve, dict[str, str]]:
    """The curve with the highest R² on its own points, and why families were skipped.

    Raises NoFitError when no family fits.
    """
    best: Curve | None = None
    best_r2 = -np.inf
    skipped: dict[str, str] = {}
    for family in families:
        try:
            curve = fit_curve(x, y, family)
        except NoFitError as reason:
            skipped[family] = str(reason)
            continue
        r2 = r_squared(y, curve(x))
        # The margin is for rounding: on straight points a quadratic "wins" by 1e-16.
        if r2 > best_r2 + 1e-9:
            best, best_r2 = curve, r2
    if best is None:
        reasons = ", ".join(f"{family} {reason}" for family, reason in skipped.items())
        raise NoFitError(reasons)
    return best, skipped


def logit_slope(x: Array, y: Array) -> float:
    """Least-squares slope of the logit of accuracies y on x, both of shape (n,); x must differ."""
    share = _within(y)
    centred = x - x.mean()
    return float(centred @ np.log(share / (1 - share)) / (centred @ centred))


def r_squared(y: Array, fitted: Array) -> float:
    """Share of the variance of y that is explained; 0 when y does not vary."""
    variation = float(((y - y.mean()) ** 2).sum())
    if not variation:
        return 0.0
    return 1 - float(((y - fitted) ** 2).sum()) / variation


def _within(share: Array) -> Array:
    """Shares kept off 0 and 1, where their logit is infinite."""
    return np.asarray(np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE))


def _exponent(x: Array) -> Array:
    """Exponents that do not overflow."""
    return np.asarray(np.clip(x, -_LARGEST_EXPONENT, _LARGEST_EXPONENT))


def _polynomial(u: Array, y: Array, degree: int) -> tuple[float, ...]:
    solution = np.linalg.lstsq(np.vander(u, degree + 1, increasing=True), y, rcond=None)[0]
    return tuple(float(c) for c in solution)


def _exponential(u: Array, y: Array) -> tuple[float, float, float]:
    """c0, c1 and the rate; u spans a width of 1."""
    least, most = _STEEPNESS
    magnitudes = np.geomspace(least, most, 40)
    rates = np.concatenate([-magnitudes[::-1], magnitudes])
    for _ in range(4):
        basis = np.exp(np.outer(rates, u))
        basis_mean = basis.mean(axis=1, keepdims=True)
        centred = basis - basis_mean
        slopes = centred @ (y - y.mean()) / (centred**2).sum(axis=1)
        errors = ((y - y.mean() - slopes[:, None] * centred) ** 2).sum(axis=1)
        best = int(errors.argmin())
        c1, rate = float(slopes[best]), float(rates[best])
        c0 = float(y.mean()) - c1 * float(basis_mean[best, 0])
        around = np.linspace(rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)], 41)
        rates = around[np.abs(around) >= least]
    return c0, c1, rate
