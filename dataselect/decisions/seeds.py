"""Mean and noise over several seeds of the same run.

Values are arrays of candidates x seeds, with NaN for a seed that a candidate lacks. The noise is
pooled over candidates, because two or three seeds of one candidate are too few to estimate it.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def seed_means(values: Array) -> Array:
    """Mean over each candidate's seeds, NaN for a candidate without any.

    Rounded to 12 digits, so that the order of a sum cannot break a tie.
    """
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0).sum(axis=1)
    means = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return np.array([float(f"{mean:.12g}") for mean in means])


def pooled_sd(values: Array) -> tuple[float, int]:
    """Standard deviation of one seed, pooled over candidates, and its degrees of freedom.

    0 and 0 if no candidate has two seeds.
    """
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    freedom = int((counts[counts > 1] - 1).sum())
    if not freedom:
        return 0.0, 0
    means = np.where(known, values, 0).sum(axis=1) / np.maximum(counts, 1)
    squares = np.where(known, values - means[:, None], 0) ** 2
    return float(np.sqrt(squares.sum() / freedom)), freedom


def by_place(runs: "pd.Series") -> Array:
    """Runs indexed by candidate, seed and step, as an array of candidates x seeds x steps.

    Seeds and steps are matched by order, not by value, since runs trained elsewhere may have been
    saved at other steps. Steps are counted from the last, and early ones that some run lacks are
    left out, as are candidates that lack a seed. Empty if nothing is left.
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
