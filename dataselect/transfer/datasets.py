"""The datasets of a table of pairs: which rows belong together, and seeds of one checkpoint.

A group is a dataset. Its rows are checkpoints of one run, or seeds of one checkpoint: rows at equal
tokens, or without tokens at equal accuracy. Seeds are averaged, since a dataset with three seeds is
one piece of evidence, and a candidate's score is a mean over its seeds as well.

Rows without a group count as one dataset, for nothing says that they are not.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dataselect.transfer.pairs import Pairs

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def numbered(pairs: Pairs) -> Index:
    """The number of each row's dataset, from 0 in the order of rows; shape (n,)."""
    places = {name: place for place, name in enumerate(dict.fromkeys(pairs.groups))}
    return np.array([places[name] for name in pairs.groups], dtype=np.int64)


def named(pairs: Pairs) -> tuple[str, ...]:
    """Names of the datasets, in the order of rows; empty where rows have no group."""
    return tuple(name for name in dict.fromkeys(pairs.groups) if name)


def seeds_averaged(pairs: Pairs) -> Pairs:
    """One row for the seeds of each checkpoint, in the order of their first rows."""
    rows: dict[tuple[str, float, float], list[int]] = {}
    for i, group in enumerate(pairs.groups):
        tokens = float(pairs.tokens[i])
        known = not math.isnan(tokens)
        key = (group, tokens if known else -1.0, -1.0 if known else float(pairs.accuracy[i]))
        # Without a group rows at equal tokens may be of different runs.
        rows.setdefault(key if group else ("", float(i), 0.0), []).append(i)
    if len(rows) == len(pairs):
        return pairs
    kept = [of_one[0] for of_one in rows.values()]

    def mean(values: Array) -> Array:
        return np.array([values[of_one].mean() for of_one in rows.values()])

    label = pairs.label_nll
    return replace(
        pairs.take(np.array(kept)),
        metric=mean(pairs.metric),
        accuracy=mean(pairs.accuracy),
        label_nll=None if label is None else mean(label),
    )


def runs_in_order(pairs: Pairs, *, falling: bool) -> Iterator[Index]:
    """Rows of each dataset in the order of training.

    By tokens or, if some are unknown, from worst to best score (`falling`: lower is better).
    """
    names = np.array(pairs.groups)
    for name in dict.fromkeys(pairs.groups):
        rows = np.flatnonzero(names == name)
        order = pairs.tokens[rows]
        if np.isnan(order).any():
            order = -pairs.metric[rows] if falling else pairs.metric[rows]
        yield rows[np.argsort(order, kind="stable")]
