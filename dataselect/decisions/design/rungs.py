"""Rungs: what is trained for how many candidates, what it costs, and what comes of it.

A rung trains proxies of one size for the candidates that are left, and keeps the best by their mean
score. The last rung keeps one, the choice. A later rung of the same size uses the proxies that are
trained already and pays for further seeds only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.design.worlds import Worlds


@dataclass(frozen=True)
class Rung:
    """One rung of a plan."""

    size: int
    """Place of the proxy in the list of sizes."""
    seeds: int
    """Proxies of each candidate."""
    keep: int
    """Candidates that go on; 1 in the last rung."""


Rungs = tuple[Rung, ...]


def costs(rungs: Rungs, flops: Sequence[float], candidates: int) -> tuple[float, ...]:
    """Training FLOPs of each rung; `flops` by size, of one proxy."""
    found, left = [], candidates
    trained: dict[int, int] = {}
    for rung in rungs:
        more = max(rung.seeds - trained.get(rung.size, 0), 0)
        found.append(left * more * flops[rung.size])
        trained[rung.size] = max(rung.seeds, trained.get(rung.size, 0))
        left = rung.keep
    return tuple(found)


@dataclass(frozen=True)
class Outcome:
    """What a plan is expected to come to."""

    rungs: Rungs
    """The plan; empty for a choice at random."""
    costs: tuple[float, ...]
    """Training FLOPs of each rung."""
    regret: float
    """Expected truth of the best less that of the choice, in units of the targets' spread."""
    regret_se: float
    """Standard error of `regret` over the simulated worlds."""
    p_survives: tuple[float, ...]
    """Probability that the best of all survives each rung; the last: that it is the choice."""

    @property
    def flops(self) -> float:
        """Training FLOPs in all."""
        return float(sum(self.costs))

    @property
    def p_best(self) -> float:
        """Probability that the choice is the best of all."""
        return self.p_survives[-1]


def survivors(rungs: Rungs, worlds: Worlds) -> NDArray[np.intp]:
    """Draws x kept: the candidates that the last of these rungs keeps; all without any rung."""
    left = np.broadcast_to(np.arange(worlds.candidates), worlds.truth.shape)
    for rung in rungs:
        left = _kept(rung, left, worlds)
    return left


def play(rungs: Rungs, worlds: Worlds, flops: Sequence[float]) -> Outcome:
    """The outcome of a plan in these worlds."""
    best = worlds.truth.argmax(axis=1)[:, None]
    left, survives = survivors((), worlds), []
    for rung in rungs:
        left = _kept(rung, left, worlds)
        survives.append(float((left == best).any(axis=1).mean()))
    chosen = np.take_along_axis(worlds.truth, left[:, :1], axis=1)
    regret = worlds.truth.max(axis=1) - chosen[:, 0]
    return Outcome(
        rungs,
        costs(rungs, flops, worlds.candidates),
        float(regret.mean()),
        float(regret.std() / np.sqrt(len(regret))),
        tuple(survives),
    )


def _kept(rung: Rung, left: NDArray[np.intp], worlds: Worlds) -> NDArray[np.intp]:
    score = np.take_along_axis(worlds.score(rung.size, rung.seeds), left, axis=1)
    first = np.argpartition(-score, min(rung.keep, score.shape[1]) - 1, axis=1)
    return np.take_along_axis(left, first[:, : rung.keep], axis=1)


def at_random(worlds: Worlds) -> Outcome:
    """The outcome of a choice at random, which costs nothing."""
    regret = worlds.truth.max(axis=1) - worlds.truth.mean(axis=1)
    se = float(regret.std() / np.sqrt(len(regret)))
    return Outcome((), (), float(regret.mean()), se, (1 / worlds.candidates,))
