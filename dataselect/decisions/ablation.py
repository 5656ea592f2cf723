"""The rankings by all metrics side by side: do rBridge's token weights beat the plain likelihood?

Two metrics of the same items are compared on each pair of candidates. A different order of some
pairs means little by itself, because other items would reorder pairs under either metric. So each
pair gets the probability that the two metrics disagree on it, from draws that resample the same
items for both, and counts as a difference only if that probability is high. For comparison, the
first metric's ranking is compared with itself on resampled items.

Only known targets can show whether a difference is a gain. Where there are some, each metric's
decision accuracy is compared with the first's on the same resampled candidates.

Each metric's own first candidate comes with the probability that it is the best at target size, as
far as the gap of that metric is known: of most metrics nothing is published, and their probability
rests on a wide guess.

Not covered by the comparison of orders: the noise of seeds, which may reorder candidates further.
With several seeds the scores are means over them, and these means are compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from dataselect.decisions.agreement import (
    AccuracyDifference,
    Agreement,
    accuracy_difference,
    decision_accuracy,
)
from dataselect.decisions.bootstrap import DEFAULT, Bootstrap
from dataselect.decisions.discrepancy import Basis, Gap
from dataselect.decisions.ranking import Array, Method, Ranking, bootstrap_rank
from dataselect.decisions.uncertainty import assumed, best_probabilities
from dataselect.errors import InputError

FEWEST = 3
"""Fewest candidates with a known target for which decision accuracy is computed."""

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class MetricRanking:
    """One metric's ranking, compared with the first metric's."""

    scores: Mapping[str, float]
    """Aggregate score by candidate; lower is better."""
    ranks: Mapping[str, int]
    """Rank by candidate, from 1."""
    same_order: float | None
    """Share of the pairs that both put in the same order, ties one half; None for the first metric
    and if the first ties all."""
    kendall_tau: float | None
    """Tau-b of the two rankings; None as `same_order`."""
    expected_same_order: float
    """Mean of `same_order` over the draws; for the first metric, with its own observed ranking."""
    differing: tuple[tuple[str, str], ...]
    """Pairs that the two put in opposite order with at least the given confidence, the first
    metric's better candidate first."""
    agreement: Agreement | None
    """Agreement with the known targets; None if there are too few."""
    p_first: float | None
    """Probability that its first candidate is the best at target size, with the usual noise of
    seeds and the metric's gap; None where none was given."""
    basis: Basis | None
    """What that gap rests on; None where none was given."""
    gain: AccuracyDifference | None
    """The first metric's decision accuracy less this one's; None for the first and without enough
    known targets."""


@dataclass(frozen=True)
class Ablation:
    """The rankings by all metrics, compared with the ranking that decides."""

    first: str
    """The metric of the ranking that decides."""
    metrics: Mapping[str, MetricRanking]
    """By metric, `first` first."""
    items: Mapping[str, int]
    """Number of items compared on, by benchmark."""
    pairs: int
    """Number of pairs of candidates."""
    known: int
    """Candidates with a known target; 0 if too few for an agreement."""
    confidence: float
    """Probability at which a pair counts as differing, in 0..1."""


def ablation(
    tables: Mapping[str, Tables],
    method: Method = "z_score",
    *,
    target: Mapping[str, float] | None = None,
    bootstrap: Bootstrap = DEFAULT,
    gaps: Mapping[str, Gap] = MappingProxyType({}),
    seeds: int = 1,
) -> Ablation:
    """Compare the first metric of `tables` with each other one.

    `tables`: by metric and benchmark, items x candidates, lower is better; items that one of the
    metrics lacks are left out for all. `target`: known accuracies by candidate, higher is better.
    `gaps`: by metric, between its score and the target. `seeds`: number that scores are means of.

    Raises InputError when the metrics share no item of a benchmark, and as `bootstrap_rank` does.
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
    metrics = {}
    for metric, series in scores.items():
        agreed = None if metric == first else _agreement(series, -scores[first])
        against = _pair_orders(scores[first].to_numpy()[None]) if metric == first else orders[first]
        product = orders[metric] * against
        sure = np.flatnonzero((product < 0).mean(axis=0) >= bootstrap.confidence)
        metrics[metric] = MetricRanking(
            scores={str(name): float(value) for name, value in series.items()},
            ranks={str(n): int(place) for n, place in series.rank(method="min").items()},
            same_order=agreed.decision_accuracy if agreed else None,
            kendall_tau=agreed.kendall_tau if agreed else None,
            expected_same_order=float((1 + product).mean() / 2),
            differing=() if metric == first else _pairs(names, scores[first], sure),
            agreement=_agreement(series, truth, bootstrap),
            p_first=_p_first(rankings[metric], gaps.get(metric), seeds, bootstrap.seed),
            basis=gaps[metric].basis if metric in gaps else None,
            gain=None if metric == first else _gain(scores[first], series, truth, bootstrap),
        )
    return Ablation(
        first=first,
        metrics=metrics,
        items={name: len(table) for name, table in shared[first].items()},
        pairs=len(names) * (len(names) - 1) // 2,
        known=0 if truth is None else len(truth),
        confidence=bootstrap.confidence,
    )


def _p_first(ranking: Ranking, gap: Gap | None, seeds: int, seed: int) -> float | None:
    if gap is None:
        return None
    chances = best_probabilities(ranking, assumed(ranking, gap, seeds), seed)
    return next(iter(chances.values()))


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
