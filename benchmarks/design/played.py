"""Plans played on published runs: who is chosen, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from errors import TARGET, Array
from numpy.typing import NDArray
from published import SIZES, Published

from dataselect.decisions.design.rungs import Rungs

POOL = 12
ORDERS = 6
"""Orders of the three seeds that each pool is played with."""


@dataclass(frozen=True)
class Game:
    """A pool of candidates, and the order in which seeds are used."""

    pool: NDArray[np.intp]
    """Places of the recipes."""
    seeds: NDArray[np.intp]
    """Orders x sizes x seeds."""


def games(pools: Sequence[NDArray[np.intp]], rng: np.random.Generator) -> list[Game]:
    """A game for each pool."""
    even = np.tile(np.arange(3), (ORDERS, len(SIZES), 1))
    return [Game(pool, rng.permuted(even, axis=2)) for pool in pools]


def pools_with(
    family: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Pools that hold every recipe of a family, and others at random."""
    own, others = np.flatnonzero(family), np.flatnonzero(~family)
    return [
        np.sort(np.concatenate([own, rng.choice(others, POOL - len(own), replace=False)]))
        for _ in range(count)
    ]


def random_pools(recipes: int, count: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Pools of any recipes."""
    return [np.sort(rng.choice(recipes, POOL, replace=False)) for _ in range(count)]


def regrets(
    published: Published, game: Game, rungs: Rungs | None, without: int | None = None
) -> tuple[Array, Array]:
    """Of each order of seeds: regret in points, and whether the choice is the best.

    `rungs` None or empty: a choice at random. `without`: a recipe that is taken out of the pool.
    """
    pool = game.pool[game.pool != without] if without is not None else game.pool
    truth = 100 * published.targets[TARGET].to_numpy()[pool]
    if not rungs:
        return (
            np.full(ORDERS, truth.max() - truth.mean()),
            np.full(ORDERS, 1 / len(pool)),
        )
    found, hits = np.empty(ORDERS), np.empty(ORDERS)
    for order in range(ORDERS):
        left = np.arange(len(pool))
        for rung in rungs:
            seeds = game.seeds[order, rung.size, : rung.seeds]
            scores = published.runs[rung.size][np.ix_(pool[left], seeds)].mean(axis=1)
            left = left[np.argsort(scores, kind="stable")[: rung.keep]]
        found[order] = truth.max() - truth[left[0]]
        hits[order] = found[order] == 0
    return found, hits
