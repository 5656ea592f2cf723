"""Student's t with a whole number of degrees of freedom: probabilities and quantiles.

They are those of `scipy.special.stdtr` and `stdtrit`, which take a sixth of the time of `agree` to
load. With whole degrees of freedom the distribution is a finite sum of powers of a cosine
(Abramowitz and Stegun, 26.7.3 and 26.7.4), and a quantile the root of an increasing function.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_HALVINGS = 64


def t_probability(freedom: int, t: Array) -> Array:
    """The probability that a variable is below t, which is 0 or more and may be infinite."""
    found: Array = (1 + _within(np.arctan(t / math.sqrt(freedom)), freedom)) / 2
    return found


@lru_cache(maxsize=256)
def t_quantile(freedom: int, probability: float) -> float:
    """The t that a variable stays below with this probability, from 0.5 up to below 1."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        if _within(np.array(angle), freedom) < 2 * probability - 1:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: Array, freedom: int) -> Array:
    """Probability of |t| < √freedom · tan(angle)."""
    cosine, odd = np.cos(angle), freedom % 2
    if freedom == 1:
        alone: Array = angle * 2 / math.pi
        return alone
    term = cosine if odd else np.ones_like(cosine)
    total = term
    for k in range(1, (freedom - odd) // 2):
        term = term * cosine**2 * ((2 * k - 1 + odd) / (2 * k + odd))
        total = total + term
    found: Array = np.sin(angle) * total
    return (angle + found) * 2 / math.pi if odd else found
