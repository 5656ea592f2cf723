"""Small swarms whose truth is known."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture import stack
from dataselect.mixture.design import design
from dataselect.mixture.swarm import Swarm

Array = NDArray[np.float64]
SOURCES = ("web", "code", "books", "wiki")
METRICS = ("qa_loss", "code_loss")
WORTH = np.array([[1.0, 0.2, 0.5, 3.0], [0.5, 4.0, 0.1, 0.3]])


def losses(shares: Array) -> Array:
    """The effective-data law with β = 0.6 and α = 0.5."""
    data = 0.05 + (shares**0.6) @ WORTH.T
    law: Array = 1.5 + 1.2 * data**-0.5
    return law


def made(runs: int, noise: float, seed: int = 0) -> Swarm:
    shares = design(np.array([0.6, 0.2, 0.15, 0.05]), runs, seed)
    values = losses(shares)
    values += noise * np.random.default_rng(seed).standard_normal(values.shape)
    return Swarm(tuple(f"r{i}" for i in range(runs)), SOURCES, METRICS, shares, values)


@contextmanager
def few_folds() -> Iterator[None]:
    """Models fitted meanwhile hold out four folds in place of ten, for half the time."""
    whole = stack.deal
    stack.deal = lambda shares, seed: whole(shares, seed) % 4
    try:
        yield
    finally:
        stack.deal = whole
