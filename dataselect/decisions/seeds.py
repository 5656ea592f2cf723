"""What several seeds of the same run say: a mean, and how noisy one of them is.

Values are arrays of candidates x seeds, with NaN for a seed that a candidate lacks. The noise is
pooled over candidates, because two or three seeds of one say next to nothing about it.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def seed_means(values: Array) -> Array:
    """Mean of each candidate's seeds, NaN for one without any.

    Rounded to 12 digits, so that the order of a sum cannot break a tie.
    """
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0).sum(axis=1)
    found = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return np.array([float(f"{value:.12g}") for value in found])


def pooled_sd(values: Array) -> tuple[float, int]:
    """Standard deviation of one seed and its degrees of freedom; 0 and 0 without repeats."""
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    freedom = int((counts[counts > 1] - 1).sum())
    if not freedom:
        return 0.0, 0
    means = np.where(known, values, 0).sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(known, values - means[:, None], 0) ** 2
    return float(np.sqrt(squares.sum() / freedom)), freedom
