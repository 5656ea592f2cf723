"""Intervals for a share of pairs, when the pairs share candidates.

Pairs of n candidates are not independent, so a share of them is known less well than their number
suggests. A bootstrap over candidates measures the variance of the share, which gives the number of
independent pairs that they are worth. The interval is the score (Wilson) interval for that number,
with Student's t on n - 1 degrees of freedom because the variance was estimated.

Percentiles of the same draws are the usual choice and fail in the most important case: when all
pairs of a sample come out right, every draw is 1 and so is the interval. Here the number of
independent pairs is at most what the variance shows and, where there is no variance to measure,
n / 2, the smallest possible: the variance of a mean over pairs is at most 2 / n of that of one pair
(Hoeffding, 1948, theorem 5.2). `benchmarks/agreement` has the coverage of both.

Not covered: other differences between this set of candidates and the next, such as seeds or
families of similar candidates.
"""

import math

from dataselect.decisions.student_t import half_width


def independent_pairs(share: float, variance: float, candidates: int) -> float:
    """The number of independent pairs that a share of the pairs of `candidates` is worth.

    Infinite for a share without variance, such as that of a proxy that ties all: it is certain.
    """
    spread = share * (1 - share)
    fewest = candidates / 2
    if not spread:
        return fewest
    return max(spread / variance, fewest) if variance else math.inf


def share_interval(
    share: float, variance: float, candidates: int, confidence: float
) -> tuple[float, float]:
    """Interval in 0..1 around a share of the pairs of `candidates` candidates.

    `variance` is the variance of the share under resampling of candidates.
    """
    spread = share * (1 - share)
    each = 1 / independent_pairs(share, variance, candidates)
    t = half_width(candidates - 1, confidence)
    middle = (share + t**2 * each / 2) / (1 + t**2 * each)
    half = t * math.sqrt(spread * each + (t * each / 2) ** 2) / (1 + t**2 * each)
    # After rounding, too, the interval contains the share.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
