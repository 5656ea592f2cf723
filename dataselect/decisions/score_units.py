"""The unit of a benchmark's scores, in which they are averaged over benchmarks.

Nats per token of two benchmarks are not comparable, so each benchmark's scores are divided by a
unit of its own. The spread of the candidates is such a unit where there are several of them: then
a score is a z-score. Of two candidates it is none. Their z-scores are -1 and +1 whatever the scores
are, and two benchmarks that disagree make a tie of a large difference and a small one. So the unit
of a few candidates, and of the survivors of a stage before, is the noise of one item: how much the
difference of two candidates varies from item to item. It is known from two candidates and one seed,
does not depend on how far apart they are, and a benchmark with many items has no more weight than
one with few. A single benchmark needs no unit, and its scores stay in nats per token.

Not here: how scores in these units become a ranking (`ranking`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

UnitKind = Literal["candidates", "items", "nats"]

FEWEST_FOR_SPREAD = 4
"""Fewest candidates whose own spread is the unit. The standard deviation of two has one degree of
freedom and is half their difference; that of three is off by half of itself as often as not."""


@dataclass(frozen=True)
class ScoreUnits:
    """What the scores of each benchmark are divided by."""

    kind: UnitKind
    """"candidates": the standard deviation over the candidates, and scores are distances from their
    mean. "items": the noise of one item. "nats": nats per token as they are."""
    sizes: Mapping[str, float]
    """By benchmark, in nats per token; 0 where candidates do not differ, and then it counts 0."""
    earlier: bool = False
    """Whether they were measured on the candidates of the stage before, and not on those ranked."""


def own_units(tables: "Mapping[str, pd.DataFrame]") -> ScoreUnits:
    """Units from the ranked candidates themselves; `tables` are items x candidates by benchmark."""
    candidates = len(next(iter(tables.values())).columns)
    if candidates >= FEWEST_FOR_SPREAD:
        spreads = {name: float(table.mean().std(ddof=0)) for name, table in tables.items()}
        return ScoreUnits("candidates", spreads)
    return _item_units(tables)


def units_of_survivors(
    tables: "Mapping[str, pd.DataFrame]", earlier: "Mapping[str, pd.DataFrame]"
) -> ScoreUnits:
    """Units that do not come from the spread of survivors, which may be two.

    `earlier`: tables of all candidates of the stage before. The noise of items is measured on them
    where they have every benchmark, so that a survivor more or less changes no other one's score;
    else on the survivors.
    """
    if set(tables) <= set(earlier):
        units = _item_units({name: earlier[name] for name in tables})
        if all(size > 0 for size in units.sizes.values()):
            return ScoreUnits(units.kind, units.sizes, earlier=units.kind == "items")
    return _item_units(tables)


def spread_before(
    tables: "Mapping[str, pd.DataFrame]", earlier: "Mapping[str, pd.DataFrame]", units: ScoreUnits
) -> float:
    """The spread of all candidates of an earlier stage, in the unit of the survivors' scores.

    `tables` are the survivors', `units` what their scores are divided by. Where the earlier stage
    lacks a benchmark of theirs, its own are taken, each in the noise of one of its items.
    """
    if set(tables) <= set(earlier):
        return _spread(earlier, units.sizes)
    spread = _spread(earlier, {name: item_noise(table) for name, table in earlier.items()})
    if units.kind == "nats":
        (table,) = tables.values()
        spread *= item_noise(table)
    return spread


def spread_without_selection(scores: "pd.Series", earlier: "pd.Series") -> float:
    """The spread that the scores of all candidates would have, of whom some were selected.

    `scores`: of the selected. `earlier`: of all candidates, the scores that selected them, in any
    unit. As far as the two go together among the selected, the spread grows with that of all in
    `earlier` (Pearson's correction for selection); scores that are unlike `earlier` keep theirs.
    """
    own = float(scores.var(ddof=0))
    known = earlier[[name for name in scores.index if name in earlier.index]]
    kept = float(known.var(ddof=0)) if len(known) > 1 else 0.0
    if kept == 0:
        return math.sqrt(own)
    of_known = scores[known.index]
    slope = float(((known - known.mean()) * (of_known - of_known.mean())).mean()) / kept
    return math.sqrt(own + slope**2 * max(0.0, float(earlier.var(ddof=0)) - kept))


def _spread(tables: "Mapping[str, pd.DataFrame]", sizes: Mapping[str, float]) -> float:
    """Standard deviation over candidates of the mean over the benchmarks in `sizes`."""
    means = [tables[name].mean() / size for name, size in sizes.items() if size > 0]
    return float((sum(means[1:], means[0]) / len(sizes)).std(ddof=0)) if means else 0.0


def item_noise(table: "pd.DataFrame") -> float:
    """Standard deviation of one candidate's score on one item, without what candidates share.

    `table`: items x candidates. What is left of the scores after the mean of each item and of each
    candidate, by its degrees of freedom; 0 for a single item or candidate.
    """
    values = table.to_numpy(dtype=np.float64)
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    if freedom <= 0:
        return 0.0
    # Differences from the first candidate are exact for duplicates, and need no item mean.
    values = values - values[:, :1]
    left = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    noise = float(np.sqrt((left**2).sum() / freedom))
    return noise if noise > 1e-12 * float(np.abs(table.to_numpy()).max()) else 0.0


def _item_units(tables: "Mapping[str, pd.DataFrame]") -> ScoreUnits:
    if len(tables) == 1:
        return ScoreUnits("nats", dict.fromkeys(tables, 1.0))
    return ScoreUnits("items", {name: item_noise(table) for name, table in tables.items()})
