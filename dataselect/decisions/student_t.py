"""Quantiles of Student's t with a whole number of degrees of freedom.

They are those of `scipy.special.stdtrit`, which takes a sixth of the time of `agree` to load. With
whole degrees of freedom the distribution is a finite sum of powers of a cosine (Abramowitz and
Stegun, 26.7.3 and 26.7.4), and the quantile the root of an increasing function.
"""

import math
from functools import lru_cache

_HALVINGS = 64


@lru_cache(maxsize=256)
def t_quantile(freedom: int, probability: float) -> float:
    """The t that a variable stays below with this probability, from 0.5 up to below 1."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        if _within(angle, freedom) < 2 * probability - 1:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """Probability of |t| < √freedom · tan(angle)."""
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(1, (freedom - odd) // 2):
        term *= square * (2 * k - 1 + odd) / (2 * k + odd)
        total += term
    if odd:
        rest = math.sin(angle) * total if freedom > 1 else 0.0
        return (angle + rest) * 2 / math.pi
    return math.sin(angle) * total
