"""The search for the rungs of least expected regret at every cost.

Rung by rung: a part of a plan is judged by what it costs and by the regret of the best candidate
that it keeps, and parts that are worse in both than one that keeps as few are dropped. The best
plans of each cost are played again in fresh worlds, since the best of thousands in one set of
worlds is partly luck. The search does not depend on the budget, which only cuts what it finds; so a
larger budget never has a larger expected regret.

What is proposed at a budget is the cheapest plan within `TOLERANCE` of the least regret there.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.design.rungs import (
    Outcome,
    Rung,
    Rungs,
    at_random,
    costs,
    play,
    survivors,
)
from dataselect.decisions.design.score_model import ScoreModel
from dataselect.decisions.design.worlds import Worlds, draw_worlds

TOLERANCE = 0.01
"""Expected regret that is not worth more FLOPs, in units of the targets' spread."""
SEED_LEVELS = (1, 2, 3, 5)
"""Numbers of seeds that are tried."""
MOST_RUNGS = 3
"""Most rungs that are tried."""

_CELLS = (2**13, 2**17)
"""Draws x candidates of the search, and of the worlds in which its best plans are played."""
_DRAWS = ((200, 700), (2000, 11_000))
"""Fewest and most draws of each."""
_BIN = math.log(1.15)
"""Width of a class of cost, in the logarithm of FLOPs."""
_PLAYED_AGAIN = 3
"""Plans of each class of cost that are played in fresh worlds."""


@dataclass(frozen=True)
class Problem:
    """What is to be designed."""

    candidates: int
    """Number of candidates."""
    flops: tuple[float, ...]
    """Training FLOPs of one proxy, by size."""
    model: ScoreModel
    """How scores at these sizes come about."""
    seed_levels: tuple[int, ...] = SEED_LEVELS
    """Numbers of seeds that a rung may have, rising."""
    most_rungs: int = MOST_RUNGS
    """Most rungs of a plan."""
    last: Rung | None = None
    """The last rung of every plan, which keeps 1; None: whatever is best."""
    seed: int = 0
    """Seed of the simulation."""


@dataclass(frozen=True)
class Frontier:
    """The best plans by cost, and the worlds in which they were played."""

    plans: tuple[Outcome, ...]
    """By rising cost and falling regret."""
    random: Outcome
    """A choice at random."""
    worlds: Worlds
    """The worlds of all outcomes here, for plans to compare with."""

    def at(self, budget: float) -> Outcome | None:
        """The proposal for a budget in FLOPs; None if it pays for no plan."""
        paid = [each for each in self.plans if each.flops <= budget]
        if not paid:
            return None
        return next(each for each in paid if each.regret <= paid[-1].regret + TOLERANCE)


def search(problem: Problem) -> Frontier:
    """The plans of least expected regret at every cost."""
    worlds = _worlds(problem, 0)
    complete: list[_Part] = []
    parts = [_Part((), 0.0, math.inf)]
    for place in range(problem.most_rungs):
        keeps_several = place + 1 < problem.most_rungs
        if problem.last is not None:
            complete += [_closed(problem, worlds, part, problem.last) for part in parts]
            if not keeps_several:
                break
        found = [p for part in parts for p in _extended(problem, worlds, part, keeps_several)]
        if problem.last is None:
            complete += [part for part in found if part.keep == 1]
        parts = _undominated([part for part in found if part.keep > 1])
    fresh = _worlds(problem, 1)
    again = [play(rungs, fresh, problem.flops) for rungs in _shortlist(complete)]
    return Frontier(_frontier(again), at_random(fresh), fresh)


def _worlds(problem: Problem, stage: int) -> Worlds:
    """Worlds for the search (stage 0), and fresh ones for its best plans (1)."""
    fewest, most = _DRAWS[stage]
    draws = min(max(_CELLS[stage] // problem.candidates, fewest), most)
    return draw_worlds(
        problem.model, problem.candidates, problem.seed_levels, draws, 2 * problem.seed + stage
    )


@dataclass(frozen=True)
class _Part:
    """The first rungs of a plan, or all of them."""

    rungs: Rungs
    flops: float
    """Training FLOPs so far."""
    regret: float
    """Expected regret of the best candidate that is left: no later rung can give it back."""

    @property
    def keep(self) -> int:
        return self.rungs[-1].keep


def _extended(
    problem: Problem, worlds: Worlds, part: _Part, keeps_several: bool
) -> Iterable[_Part]:
    """The part with one more rung, of every size, number of seeds and keep."""
    last = part.rungs[-1] if part.rungs else Rung(0, 0, problem.candidates)
    least = problem.flops[last.size] if part.rungs else 0.0
    left = survivors(part.rungs, worlds)
    truth = np.take_along_axis(worlds.truth, left, axis=1)
    top = float(worlds.truth.max(axis=1).mean())
    keeps = _keeps(last.keep) if keeps_several else [1]
    for size in _useful(problem):
        flops = problem.flops[size]
        for seeds in problem.seed_levels:
            # A later rung sees more: a larger proxy, or more seeds of the same.
            if flops < least or (size == last.size and seeds <= last.seeds):
                continue
            score = np.take_along_axis(worlds.score(size, seeds), left, axis=1)
            order = np.argsort(-score, axis=1) if keeps_several else _first(score)
            reached = np.maximum.accumulate(np.take_along_axis(truth, order, axis=1), axis=1)
            regret = top - reached.mean(axis=0)
            for keep in keeps:
                rungs = (*part.rungs, Rung(size, seeds, keep))
                cost = sum(costs(rungs, problem.flops, problem.candidates))
                yield _Part(rungs, cost, float(regret[keep - 1]))


def _closed(problem: Problem, worlds: Worlds, part: _Part, last: Rung) -> _Part:
    """The part with the last rung that is given."""
    rungs = (*part.rungs, last)
    left = survivors(rungs, worlds)
    chosen = np.take_along_axis(worlds.truth, left, axis=1)[:, 0]
    regret = float((worlds.truth.max(axis=1) - chosen).mean())
    return _Part(rungs, sum(costs(rungs, problem.flops, problem.candidates)), regret)


def _useful(problem: Problem) -> list[int]:
    """Sizes without those that cost more than another whose scores are as good."""
    model, kept = problem.model, list[int]()
    for size in sorted(range(len(problem.flops)), key=lambda each: problem.flops[each]):
        if not any(
            model.error_sd[one] <= model.error_sd[size] + 1e-6
            and model.seed_sd[one] <= model.seed_sd[size] + 1e-6
            for one in kept
        ):
            kept.append(size)
    return kept


def _first(score: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.asarray(score.argmax(axis=1)[:, None])


def _keeps(candidates: int) -> list[int]:
    """Numbers to keep: 1 to 6, 8, 10, then half as many more each time, below `candidates`."""
    found = [keep for keep in (1, 2, 3, 4, 5, 6, 8, 10) if keep == 1 or keep < candidates]
    while (keep := round(found[-1] * 1.5)) < candidates and found[-1] >= 10:
        found.append(keep)
    return found


def _undominated(parts: list[_Part]) -> list[_Part]:
    """Those than which no other keeps as few, costs as little and loses hardly more."""
    kept: list[_Part] = []
    least: dict[int, float] = {}  # by keep, of those so far, which all cost less
    for part in sorted(parts, key=lambda each: (each.flops, each.regret, each.keep)):
        reached = min((r for keep, r in least.items() if keep <= part.keep), default=math.inf)
        if part.regret < reached - TOLERANCE / 2:
            kept.append(part)
            least[part.keep] = part.regret
    return kept


def _shortlist(complete: Iterable[_Part]) -> list[Rungs]:
    """The plans of least regret in each class of cost, where none cheaper is better by far."""
    classes: dict[int, list[_Part]] = {}
    for each in complete:
        classes.setdefault(math.floor(math.log(each.flops) / _BIN), []).append(each)
    found, least = [], math.inf
    for place in sorted(classes):
        best = sorted(classes[place], key=lambda one: (one.regret, one.flops))[:_PLAYED_AGAIN]
        found += [one.rungs for one in best if one.regret <= least + TOLERANCE]
        least = min(least, best[0].regret)
    return found


def _frontier(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    kept: list[Outcome] = []
    for each in sorted(outcomes, key=lambda one: (one.flops, one.regret)):
        if not kept or each.regret < kept[-1].regret:
            kept.append(each)
    return tuple(kept)
