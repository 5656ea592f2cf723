"""How much the choice of the frontier model changes a ranking.

The paper found no meaningful difference between three frontier models (appendix C). This module
measures whether that holds for the models and items at hand. The rankings of the same models by two
frontier models' traces are compared pair by pair, and so is each ranking with itself on resampled
items, and where there are several with that of another training seed: a frontier model that changes
no more pairs than that makes no measurable difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import Method, Ranking, aggregate, bootstrap_rank
from dataselect.errors import InputError

SURE = 0.95
"""An order that this share of the draws of items has is beyond their noise."""

Tables = Mapping[str, pd.DataFrame]
"""Items x models of rBridge, lower is better, by benchmark."""


@dataclass(frozen=True)
class ChangedPair:
    """Two models that two frontier models' traces put in opposite orders."""

    by_first: str
    """Ahead by the first frontier model's traces."""
    by_second: str
    """Ahead by the second's."""
    p_first: float
    """Share of resampled items on which `by_first` is ahead by the first frontier model."""
    p_second: float
    """Likewise of `by_second` by the second."""

    @property
    def beyond_items(self) -> bool:
        """Whether the items leave neither of the two orders in doubt."""
        return min(self.p_first, self.p_second) >= SURE


@dataclass(frozen=True)
class FrontierAgreement:
    """Agreement of the rankings of the same models by two frontier models' traces."""

    first: str
    """Frontier model of the first ranking."""
    second: str
    """Frontier model of the second ranking."""
    same_order: float
    """Share of the pairs of models that both put in the same order, ties one half."""
    kendall_tau: float
    """Tau-b of the two rankings."""
    resampled: tuple[float, float]
    """Share of its own pairs that each ranking keeps on resampled items: the noise of the items
    alone."""
    pairs: int
    """How many pairs the first ranking puts in an order."""
    changed: tuple[ChangedPair, ...]
    """The pairs in opposite orders, the surest first."""


@dataclass(frozen=True)
class FrontierComparison:
    """Rankings of the same models by the traces of several frontier models."""

    rankings: Mapping[str, Ranking]
    """By frontier model."""
    averaged: Ranking
    """By the mean of an item's scores over the frontier models."""
    agreements: tuple[FrontierAgreement, ...]
    """Of every two frontier models."""


def compare_frontiers(
    tables: Mapping[str, Tables],
    draws: int = 1000,
    seed: int = 0,
    method: Method = "z_score",
) -> FrontierComparison:
    """Compare the rankings by every two frontier models.

    `tables`, by frontier model, have the same benchmarks, items and models, at least two of each
    model and frontier model. Benchmarks are averaged as in a run, by `method`. Raises InputError
    when all models have the same score on one frontier model's traces.
    """
    # The same draws of items for every frontier model, since the seed is the same.
    bootstrap = Bootstrap(draws, seed)
    rankings = {
        name: bootstrap_rank(by_benchmark, method, k=1, bootstrap=bootstrap)
        for name, by_benchmark in tables.items()
    }
    for name, ranking in rankings.items():
        if ranking.table["score"].nunique() == 1:
            raise InputError(
                f"traces of {name}", "all models have the same score", "compare models that differ"
            )
    averaged = bootstrap_rank(_mean_of(list(tables.values())), method, k=1, bootstrap=bootstrap)
    agreements = tuple(
        _compare(first, second, rankings[first], rankings[second])
        for first, second in combinations(tables, 2)
    )
    return FrontierComparison(rankings, averaged, agreements)


def seed_agreement(runs: Mapping[str, pd.Series], method: Method = "z_score") -> float | None:
    """Share of the pairs that two training seeds put in the same order, mean over all two seeds.

    `runs`: by benchmark, the means over items indexed by candidate, seed and step; steps are
    averaged. Candidates that lack a seed are left out. None without two seeds of two candidates.
    """
    levels = ["candidate", "seed"]
    means = pd.DataFrame({name: each.groupby(level=levels).mean() for name, each in runs.items()})
    seed_of = means.index.get_level_values("seed")
    by_seed = [means[seed_of == seed].droplevel("seed") for seed in seed_of.unique()]
    whole = [name for name in by_seed[0].index if all(name in each.index for each in by_seed)]
    if len(by_seed) < 2 or len(whole) < 2:
        return None
    scores = [aggregate(each.loc[whole], method) for each in by_seed]
    shares = [
        decision_accuracy(second, -first).decision_accuracy
        for first, second in combinations(scores, 2)
        if first.nunique() > 1
    ]
    return float(np.mean(shares)) if shares else None


def _mean_of(tables: list[Tables]) -> dict[str, pd.DataFrame]:
    first, *others = tables
    return {
        name: sum((each[name] for each in others), table) / len(tables)
        for name, table in first.items()
    }


def _compare(first: str, second: str, one: Ranking, other: Ranking) -> FrontierAgreement:
    scores, others = one.table["score"], other.table["score"]
    agreement = decision_accuracy(others, -scores)
    changed = [
        ChangedPair(a, b, float(one.wins.loc[a, b]), float(other.wins.loc[b, a]))
        for a, b in combinations(scores.index, 2)
        if scores[a] < scores[b] and others[b] < others[a]
    ]
    changed.sort(key=lambda pair: -min(pair.p_first, pair.p_second))
    return FrontierAgreement(
        first,
        second,
        agreement.decision_accuracy,
        agreement.kendall_tau,
        (_kept(one), _kept(other)),
        agreement.pairs,
        tuple(changed),
    )


def _kept(ranking: Ranking) -> float:
    """Mean probability of the order of each pair that the ranking does not tie."""
    scores = ranking.table["score"]
    pairs = [(a, b) for a, b in combinations(scores.index, 2) if scores[a] != scores[b]]
    return float(np.mean([ranking.wins.loc[a, b] for a, b in pairs]))
