"""Every metric's ranking side by side: is rBridge's weight worth it over the plain likelihood here?

Two metrics of the same items are compared pair of candidates by pair. That they order some pairs
otherwise means little by itself, because other items would reorder pairs of either; so each pair
gets the probability that the two disagree on it, from draws that resample the same items for both,
and is counted as a difference only where that probability is high. Beside it stands what the first
metric's own ranking keeps of itself on items drawn anew.

Whether a difference is a gain only known targets can tell. Where there are some, each metric's
decision accuracy is compared with the first's on the same resampled candidates.

Not covered: seeds. What the items cannot tell apart, seeds may reorder; with several, the scores
are means over them and the comparison is of these means.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataselect.decisions.agreement import (
    AccuracyDifference,
    Agreement,
    accuracy_difference,
    decision_accuracy,
)
from dataselect.decisions.bootstrap import DEFAULT, Bootstrap
from dataselect.decisions.ranking import Array, Method, bootstrap_rank
from dataselect.errors import InputError

FEWEST = 3
"""Candidates with a known target below which nothing is said of decision accuracy."""

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class MetricRanking:
    """One metric against the first: a row of the comparison.

    `scores` by candidate, lower is better, and their `ranks` from 1. `same_order` is the share of
    the pairs that both put in the same order (ties one half) and `kendall_tau` is tau-b, both None
    where one of them ties all. `expected_same_order` is the mean of `same_order` over draws, for
    the first metric with its own ranking. `differing`: pairs that the two put in opposite order
    with at least the confidence asked for, better of the first metric first.
    """

    scores: Mapping[str, float]
    ranks: Mapping[str, int]
    same_order: float | None
    kendall_tau: float | None
    expected_same_order: float
    differing: tuple[tuple[str, str], ...]
    agreement: Agreement | None
    gain: AccuracyDifference | None
    """The first metric's decision accuracy less this one's; None for itself."""


@dataclass(frozen=True)
class Ablation:
    """All metrics, that of the ranking (`first`) first; `known` candidates have a target."""

    first: str
    metrics: Mapping[str, MetricRanking]
    items: Mapping[str, int]
    pairs: int
    known: int
    confidence: float


def ablation(
    tables: Mapping[str, Tables],
    method: Method = "z_score",
    *,
    target: Mapping[str, float] | None = None,
    bootstrap: Bootstrap = DEFAULT,
) -> Ablation:
    """Compare the first metric of `tables` with each other one.

    `tables`: by metric and benchmark, items x candidates, lower is better; items that one of the
    metrics lacks are left out for all. `target`: known accuracies, higher is better.

    Raises InputError when a benchmark has no item in common, and as `bootstrap_rank` does.
    """
    shared = _on_shared_items(tables)
    first, *_ = shared
    rankings = {
        # The same seed on tables of the same shape draws the same items for every metric.
        metric: bootstrap_rank(each, method, k=1, bootstrap=bootstrap)
        for metric, each in shared.items()
    }
    names = sorted(rankings[first].table.index)
    scores = {metric: each.table["score"][names] for metric, each in rankings.items()}
    orders = {
        metric: _pair_orders(each.draws[:, [list(each.table.index).index(name) for name in names]])
        for metric, each in rankings.items()
    }
    truth = _known(target, names)
    found = {}
    for metric, series in scores.items():
        agreed = None if metric == first else _agreement(series, -scores[first])
        against = _pair_orders(scores[first].to_numpy()[None]) if metric == first else orders[first]
        product = orders[metric] * against
        sure = np.flatnonzero((product < 0).mean(axis=0) >= bootstrap.confidence)
        found[metric] = MetricRanking(
            scores={str(name): float(value) for name, value in series.items()},
            ranks={str(n): int(place) for n, place in series.rank(method="min").items()},
            same_order=agreed.decision_accuracy if agreed else None,
            kendall_tau=agreed.kendall_tau if agreed else None,
            expected_same_order=float((1 + product).mean() / 2),
            differing=() if metric == first else _pairs(names, scores[first], sure),
            agreement=_agreement(series, truth, bootstrap),
            gain=None if metric == first else _gain(scores[first], series, truth, bootstrap),
        )
    return Ablation(
        first=first,
        metrics=found,
        items={name: len(table) for name, table in shared[first].items()},
        pairs=len(names) * (len(names) - 1) // 2,
        known=0 if truth is None else len(truth),
        confidence=bootstrap.confidence,
    )


def _on_shared_items(tables: Mapping[str, Tables]) -> dict[str, dict[str, pd.DataFrame]]:
    benchmarks = list(next(iter(tables.values())))
    shared: dict[str, dict[str, pd.DataFrame]] = {metric: {} for metric in tables}
    for name in benchmarks:
        each = [by_benchmark[name] for by_benchmark in tables.values()]
        finite = [table.index[np.isfinite(table.to_numpy()).all(axis=1)] for table in each]
        items = finite[0][np.all([finite[0].isin(one) for one in finite], axis=0)]
        if not len(items):
            raise InputError(
                f"benchmark {name!r}",
                "no item has a score by every metric",
                "compare metrics that were measured on the same items",
            )
        for metric, table in zip(tables, each, strict=True):
            shared[metric][name] = table.loc[items]
    return shared


def _pair_orders(scores: Array) -> Array:
    """Signs of the differences, draws x pairs."""
    first, second = np.triu_indices(scores.shape[1], 1)
    return np.asarray(np.sign(scores[:, first] - scores[:, second]), dtype=np.float64)


def _pairs(names: list[str], scores: pd.Series, places: np.ndarray) -> tuple[tuple[str, str], ...]:
    first, second = np.triu_indices(len(names), 1)
    pairs = [(names[first[place]], names[second[place]]) for place in places]
    return tuple((a, b) if scores[a] <= scores[b] else (b, a) for a, b in pairs)


def _known(target: Mapping[str, float] | None, names: list[str]) -> pd.Series | None:
    known = {name: target[name] for name in names if name in target} if target else {}
    if len(known) < FEWEST or len(set(known.values())) == 1:
        return None
    return pd.Series(known)


def _agreement(
    scores: pd.Series, truth: pd.Series | None, bootstrap: Bootstrap | None = None
) -> Agreement | None:
    if truth is None or truth.nunique() == 1:
        return None
    return decision_accuracy(scores[truth.index], truth, bootstrap=bootstrap)


def _gain(
    first: pd.Series, other: pd.Series, truth: pd.Series | None, bootstrap: Bootstrap
) -> AccuracyDifference | None:
    if truth is None:
        return None
    return accuracy_difference(
        first[truth.index],
        other[truth.index],
        truth,
        bootstrap=bootstrap,
    )
