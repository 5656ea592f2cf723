"""Intervals for a share of pairs, when the pairs share candidates.

Pairs of n candidates are not independent, so a share of them is known less well than their number
suggests. A bootstrap over candidates measures how much less, as a variance; the variance says to
how many independent pairs they amount, and the interval is the score (Wilson) interval for so
many, with Student's t on n - 1 degrees of freedom because the variance was estimated.

Percentiles of the same draws are the usual choice and fail where people look most: when all
pairs of a sample come out right, every draw says 1 and so does the interval. Here the pairs never
amount to more than their spread shows, and where there is no spread to measure, to n / 2, the least
there can be: the variance of a mean over pairs is at most 2 / n of that of one pair (Hoeffding,
1948, theorem 5.2). `benchmarks/agreement` has the coverage of both.

Not covered: what else differs between this set of candidates and the next, such as seeds or
families of candidates that resemble each other.
"""

import math

from scipy.special import stdtrit


def share_interval(
    share: float, variance: float, candidates: int, confidence: float
) -> tuple[float, float]:
    """Interval in 0..1 around a share of the pairs of so many candidates.

    `variance` is that of the share under resampling of candidates.
    """
    spread = share * (1 - share)
    most = 2 / candidates
    # What one over the number of independent pairs would be. A share that varies with no
    # candidate, as of a proxy that ties all, is certain.
    each = min(variance / spread, most) if spread else most
    t = float(stdtrit(candidates - 1, (1 + confidence) / 2))
    middle = (share + t**2 * each / 2) / (1 + t**2 * each)
    half = t * math.sqrt(spread * each + (t * each / 2) ** 2) / (1 + t**2 * each)
    # The ends hold the share itself also after rounding.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
