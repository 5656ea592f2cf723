"""Neighbouring checkpoints of one run: averaging their scores, and leaving them out in blocks.

A checkpoint's score fluctuates about the run's trend, and noise in the score flattens a fitted
curve. So each score is averaged with those of the checkpoints before and after it. The window is
symmetric and shrinks towards both ends of the run: an asymmetric one would give the last checkpoint
the score of an earlier one. Accuracies are not averaged: they are what is predicted.

Averaged scores of neighbours share checkpoints, and their errors are correlated: where accuracy
deviates from a curve, it does so for several checkpoints in a row. A point left out alone is
therefore not unseen. So a run is left out in blocks of a window's length, but never of more than a
fifth of all points: a refit without more would be too unlike the fit on all. Runs of very many
points are left out in longer blocks, so that there are about 50 refits and not hundreds.

Not covered: points with no known tokens, which have no neighbours.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

WINDOW = 5
_MOST_REFITS = 50


def averaged(scores: Array, tokens: Array, groups: Sequence[str], window: int = WINDOW) -> Array:
    """Scores, each averaged over its window in its group in the order of tokens; shape (n,).

    Tokens are nan where unknown. A group with two points of equal tokens has no known order, so its
    scores are not averaged.
    """
    result = scores.astype(np.float64)
    for run in _runs(tokens, groups):
        sums = np.concatenate([[0.0], np.cumsum(scores[run])])
        place = np.arange(len(run))
        reach = np.minimum(window // 2, np.minimum(place, place[::-1]))
        inner = reach > 0  # the ends stay unchanged, to the last bit
        place, reach = place[inner], reach[inner]
        result[run[inner]] = (sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1)
    return result


def blocks(tokens: Array, groups: Sequence[str], window: int = WINDOW) -> Index:
    """For each point, the number of the block that it is left out with; shape (n,), from 0.

    Points in no ordered run are left out one by one, or in 50 blocks if there are more.
    """
    count = len(tokens)
    size = max(1, min(window, count // 5), math.ceil(count / _MOST_REFITS))
    block = np.full(count, -1)
    blocks_so_far = 0
    for run in _runs(tokens, groups):
        for part in np.array_split(run, math.ceil(len(run) / size)):
            block[part] = blocks_so_far
            blocks_so_far += 1
    single = np.flatnonzero(block < 0)
    block[single] = blocks_so_far + np.arange(len(single)) % _MOST_REFITS
    return block


def _runs(tokens: Array, groups: Sequence[str]) -> Iterator[Index]:
    """Positions of each group's points in the order of tokens; groups with ties are skipped."""
    names = np.array(groups)
    for name in dict.fromkeys(groups):
        rows = np.flatnonzero((names == name) & np.isfinite(tokens))
        if 0 < len(np.unique(tokens[rows])) == len(rows):
            yield rows[np.argsort(tokens[rows])]
