"""The walk over packed texts: what a group begins with once, then its rows in batches."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dataselect.scoring.advance import advance
from dataselect.scoring.likelihood.likelihoods import Likelihoods
from dataselect.scoring.likelihood.packing import Group, Row, batches

T = TypeVar("T")
Losses = Iterable[tuple[int, NDArray[np.float64]]]
"""Index of a pair, and nats of each token of its continuation."""


def grouped_nll(
    groups: Sequence[Group],
    count: int,
    tokens_per_batch: int,
    max_keys: int,
    begin: Callable[[tuple[int, ...]], T],
    losses: Callable[[Sequence[Row], int, T], Losses],
) -> Likelihoods:
    """Likelihoods of `count` pairs that were packed into `groups`.

    `begin` computes a prefix, which may be empty; `losses` those of rows after a prefix of so many
    tokens, with what `begin` gave. Batches: see `packing.batches`.
    """
    nll: list[NDArray[np.float64]] = [np.empty(0)] * count
    tokens = done = 0
    for group in groups:
        prefix = len(group.prefix)
        begun = begin(group.prefix)
        tokens += prefix
        for rows in batches(group, tokens_per_batch, max_keys):
            for number, found in losses(rows, prefix, begun):
                nll[number] = found
                done += 1
            advance(done, count)
            tokens += sum(row.width for row in rows)
    return Likelihoods(nll, tokens)
