"""What several seeds of the same run say: a mean, and how noisy one of them is.

Values are arrays of candidates x seeds, with NaN for a seed that a candidate lacks. The noise is
pooled over candidates, because two or three seeds of one say next to nothing about it.
"""

import numpy as np
import pandas as pd
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


def by_place(runs: pd.Series) -> Array:
    """Runs indexed by candidate, seed and step as candidates x seeds x steps.

    Seeds and steps are matched by their order and not by their value, since checkpoints that others
    trained were saved at steps of their own. Counted from the last, so that what a candidate lacks
    is early; what not all of a seed's candidates have, and candidates without all seeds, are left
    out. Empty where nothing is left.
    """
    lists = {
        name: [list(steps) for _, steps in own.groupby(level="seed")]
        for name, own in runs.sort_index().groupby(level="candidate")
    }
    seeds = max(map(len, lists.values()), default=0)
    whole = [own for own in lists.values() if len(own) == seeds]
    steps = min((len(each) for own in whole for each in own), default=0)
    values = [[each[-steps:] for each in own] for own in whole]
    return np.array(values, dtype=np.float64).reshape(len(whole), seeds, steps)
