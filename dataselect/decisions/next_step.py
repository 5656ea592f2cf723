"""What to do after a verdict: choose, or what would have to be spent to tell candidates apart.

A lead that is not sure can have three reasons, and each has its own remedy. The noise of seeds gets
less with more seeds, that of items with more items, and the gap between proxy and target with
neither: what is left of the probability when scores are known exactly is all that proxies of this
kind can give. So the order of questions is: would the first be ahead with the wanted confidence if
scores had no noise? If not, only other proxies can tell. With the items at hand and any number of
seeds? If so, the fewest seeds that do it are looked for. Else items are missing.

All of it takes the measured difference for the true one. That is the best guess and a kind one for
the first of several, so the seeds are what would be enough if the difference stays.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from dataselect.decisions.discrepancy import ahead_probability, normal_mean

Action = Literal["choose", "more_seeds", "more_items", "other_proxies"]
"""What would tell the first from the others."""

MOST_SEEDS = 64
"""Most seeds that a plan can have."""
MEASURING_SEEDS = 3
"""Seeds to begin with where their noise is not known."""
MOST_ITEMS = 100.0
"""Most times as many items that are looked at."""
EVER = math.inf
"""So many seeds, or times as many items, that their noise is gone."""


class Chance(Protocol):
    """The probability that the first candidate is ahead of another."""

    @property
    def seeds_known(self) -> bool:
        """Whether the noise of seeds is known; if not, it is left out."""

    def probability(self, seeds: float, items: float = 1.0) -> float:
        """Probability with this many seeds and this many times as many items, in 0..1."""


@dataclass(frozen=True)
class ScoreLead:
    """The first's lead in scores over another, with what may turn it, all in one unit."""

    difference: float
    """How far the first is ahead."""
    item_sd: float
    """Standard deviation of the difference over the choice of items."""
    seed_sd: float | None
    """Standard deviation of the difference with one seed of each; None if not known."""
    tau: float = 0.0
    """Scale of the gap between proxy and target; 0 for the scores alone."""
    tau_doubt: float = 0.0
    """Standard deviation of ln `tau`."""

    @property
    def seeds_known(self) -> bool:
        """Whether the noise of seeds is known."""
        return self.seed_sd is not None

    def probability(self, seeds: float, items: float = 1.0) -> float:
        """Probability that the first is ahead, at target size if there is a gap, in 0..1."""
        noise = math.hypot(self.item_sd / math.sqrt(items), (self.seed_sd or 0) / math.sqrt(seeds))
        if self.tau > 0:
            return normal_mean(
                lambda z: ahead_probability(
                    np.full(z.shape, self.difference), noise, self.tau * np.exp(self.tau_doubt * z)
                )
            )
        if noise > 0:
            return (1 + math.erf(self.difference / noise / math.sqrt(2))) / 2
        return 0.5 + math.copysign(0.5, self.difference) * (self.difference != 0)


@dataclass(frozen=True)
class NextStep:
    """What would tell the first from those that it cannot be told apart from."""

    action: Action
    """"choose" if it is told apart already."""
    undecided: tuple[str, ...] = ()
    """Candidates that it cannot be told apart from."""
    beyond: tuple[str, ...] = ()
    """Those of them that no score of these proxies could tell apart, however exact; empty for
    "other_proxies" where only more seeds and items than anybody has would be enough."""
    seeds: int | None = None
    """Seeds of each in all that would be enough; None if seeds are not the remedy."""
    items: float | None = None
    """Times as many items that would be enough; None if items are not the remedy."""
    probability: float | None = None
    """Least probability against the undecided that this reaches; for "other_proxies" the least
    that scores without noise reach. None for "choose", and where the noise is not known."""


def next_step(
    chances: Mapping[str, Chance], undecided: tuple[str, ...], seeds: int, confidence: float
) -> NextStep:
    """The remedy for the undecided, from their chances; `seeds` are those of each candidate now."""
    open_ = {name: chances[name] for name in undecided}
    if not open_:
        return NextStep("choose")

    def least(seeds: float, items: float) -> float:
        return min(each.probability(seeds, items) for each in open_.values())

    exact = {name: each.probability(EVER, EVER) for name, each in open_.items()}
    beyond = tuple(name for name, p in exact.items() if p < confidence)
    if beyond:
        return NextStep("other_proxies", undecided, beyond, probability=min(exact.values()))
    if not all(each.seeds_known for each in open_.values()):
        # What more items would give is known only as far as seeds change nothing.
        times = None if least(EVER, 1) >= confidence else _items(least, EVER, confidence)
        return NextStep("more_seeds", undecided, seeds=max(seeds + 1, MEASURING_SEEDS), items=times)
    if least(EVER, 1) >= confidence:
        for more in range(seeds + 1, MOST_SEEDS + 1):
            if (reached := least(more, 1)) >= confidence:
                return NextStep("more_seeds", undecided, seeds=more, probability=reached)
    # Items alone, or with twice as many seeds, four times, ... where those are part of the noise.
    more = seeds
    while more <= MOST_SEEDS:
        if (times := _items(least, more, confidence)) is not None:
            total = more if more > seeds else None
            reached = least(more, times)
            return NextStep("more_items", undecided, seeds=total, items=times, probability=reached)
        more *= 2
    return NextStep("other_proxies", undecided, probability=min(exact.values()))


class _Least(Protocol):
    def __call__(self, seeds: float, items: float) -> float: ...


def _items(least: _Least, seeds: float, confidence: float) -> float | None:
    """The fewest times as many items that reach the confidence, rounded up to a tenth."""
    if least(seeds, MOST_ITEMS) < confidence:
        return None
    low, high = 1.0, MOST_ITEMS
    for _ in range(12):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if least(seeds, middle) >= confidence else (middle, high)
    return math.ceil(high * 10) / 10


@dataclass(frozen=True)
class CutDoubt:
    """The chance that a cut lost the best candidate, and what would lower it."""

    p_kept: float
    """Probability that the best is among the survivors of all cuts, in 0..1."""
    keep: int
    """How many of the first would have to be kept for the wanted confidence."""
    more: int
    """How many of these were pruned."""
    p_then: float
    """Probability that the best is among the survivors and these."""


def cut_doubt(
    p_best: Mapping[str, float],
    survivors: Sequence[str],
    confidence: float,
    others: float = 1.0,
) -> CutDoubt | None:
    """The doubt about a cut; None if the best is among the survivors with the confidence.

    `p_best`: by candidate in the order of the stage that pruned, the probability to be the best,
    which add up to 1. `others`: the probability that the other cuts kept the best; where this alone
    is below the confidence, the cut is widened as if it were the only one.
    """
    held = kept = sum(p_best[name] for name in survivors)
    if held * others >= confidence:
        return None
    enough = confidence / others if others > confidence else confidence
    more = 0
    for place, (name, chance) in enumerate(p_best.items(), start=1):
        if name not in survivors:
            held, more = held + chance, more + 1
            if held >= enough:
                return CutDoubt(kept * others, place, more, held * others)
    return None


def enough_flops(
    lead_at: Callable[[float], Sequence[Chance]], low: float, high: float, confidence: float
) -> float | None:
    """The fewest training FLOPs of a proxy between `low` and `high` that tell candidates apart.

    `lead_at` gives their chances with one seed of such proxies. None if the largest do not.
    """

    def told(flops: float) -> bool:
        return all(each.probability(1) >= confidence for each in lead_at(flops))

    if not low < high or not told(high):
        return None
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if told(middle) else (middle, high)
    return high
