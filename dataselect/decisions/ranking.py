"""Rank candidates from per-item scores, with the uncertainty of the ranking.

A score is a mean negative log-likelihood over a benchmark's items, so lower is better. Raw values
are never averaged across benchmarks, because the benchmark with the longest or strangest traces
would decide alone; each benchmark's scores are first turned into ranks or z-scores over the
candidates.

Uncertainty comes from a paired bootstrap over items: in each draw every candidate is scored on the
same resampled items, so the difficulty of the items cancels out of the differences, which are all
that a ranking needs. The z-score's standard deviation is the observed one in every draw: it is the
unit, and re-estimated in each draw it would turn any two candidates into exactly -1 and +1.
Standardised values are rounded to 12 decimals, so that the order of a sum cannot break a tie.

Not covered: resampling items accounts for the choice of items only. It does NOT cover the noise of
the training seed, nor the gap between proxy and target scale, and both can be larger. `widened`
adds draws of both to a ranking; `decisions.uncertainty` computes how large they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataselect.decisions.bootstrap import DEFAULT, Bootstrap
from dataselect.errors import InputError

Method = Literal["mean_rank", "z_score"]
Array = NDArray[np.float64]

# Resampling counts held in memory at once (draws x items): 32 MiB as integers.
_CELLS = 2**22


@dataclass(frozen=True)
class Ranking:
    """Candidates in order, with bootstrap intervals over items."""

    table: pd.DataFrame
    """A row for each candidate, best first, with the columns `score`, `low`, `high` (percentile
    interval of the score), `p_top_k` (share of draws in which it is among the best k; candidates
    tied at the border share the places that are left, so the column sums to k) and `rank` (from 1;
    equal scores share the smaller rank and are ordered by `p_top_k`, then id)."""
    draws: Array
    """Scores in each draw, draws x candidates in the order of `table`."""
    wins: pd.DataFrame
    """Candidates x candidates: probability that the row is better than the column; a tied draw
    counts one half."""
    k: int
    """Number of candidates that `p_top_k` is for."""
    method: Method
    """How scores are aggregated over benchmarks."""
    confidence: float
    """Share of the draws between `low` and `high`, in 0..1."""


def aggregate(scores: pd.DataFrame, method: Method = "z_score") -> pd.Series:
    """One number per candidate from scores of candidates x benchmarks; lower is better.

    `mean_rank`: mean over benchmarks of the rank among the candidates, from 1, ties averaged.
    `z_score`: mean over benchmarks of the distance from the candidates' mean, in (population)
    standard deviations over the candidates; a benchmark on which all are equal counts 0.

    Raises InputError when a score is missing or not finite.
    """
    _check_finite(scores, "scores")
    means = [scores[name].to_numpy(dtype=np.float64)[None, :] for name in scores.columns]
    values = _combine(means, means, method)[0]
    return pd.Series(values, index=scores.index, name=method)


def bootstrap_means(table: pd.DataFrame, draws: int, rng: np.random.Generator) -> Array:
    """Means over resampled items, draws x candidates, from a table of items x candidates.

    Every candidate gets the same resampled items. A resample is a vector of multinomial counts, so
    all means are one matrix product, done in blocks of bounded size.
    """
    values = table.to_numpy(dtype=np.float64)
    items = len(values)
    block = max(1, _CELLS // items)
    even = np.full(items, 1 / items)
    return np.concatenate(
        [
            rng.multinomial(items, even, size=min(block, draws - start)) @ values / items
            for start in range(0, draws, block)
        ]
    )


def bootstrap_rank(
    tables: Mapping[str, pd.DataFrame],
    method: Method = "z_score",
    *,
    k: int,
    bootstrap: Bootstrap = DEFAULT,
) -> Ranking:
    """Rank candidates by their aggregated score with a paired bootstrap over items.

    `tables`: per benchmark, items x candidates of per-item scores, lower is better, with the same
    candidates in each; benchmarks are resampled independently. `k`: the number of places for
    `p_top_k`, from 1 to the number of candidates.

    Raises InputError when there is no benchmark or item, when the benchmarks differ in candidates,
    when a score is missing or not finite, and when `k` is out of range.
    """
    candidates = _check_tables(tables)
    if not 1 <= k <= len(candidates):
        raise InputError(
            "keep", f"{k} of {len(candidates)} candidates", f"choose 1 to {len(candidates)}"
        )

    rng = np.random.default_rng(bootstrap.seed)
    # Sorted, so that the order in which benchmarks are listed does not change the draws.
    ordered = [tables[name][candidates] for name in sorted(tables)]
    observed = [t.to_numpy(dtype=np.float64).mean(axis=0)[None, :] for t in ordered]
    score = _combine(observed, observed, method)[0]
    sampled = _combine(
        [bootstrap_means(t, bootstrap.draws, rng) for t in ordered], observed, method
    )

    low, high = np.quantile(
        sampled, [(1 - bootstrap.confidence) / 2, (1 + bootstrap.confidence) / 2], axis=0
    )
    table = pd.DataFrame(
        {
            "score": score,
            "low": low,
            "high": high,
            "p_top_k": _top_k(sampled, k).mean(axis=0),
            "rank": _places(score[None, :])[0][0].astype(np.int64) + 1,
        },
        index=pd.Index(candidates, name="candidate"),
    )
    order = np.lexsort((np.array(candidates, dtype=np.str_), -table["p_top_k"], table["score"]))
    sampled = sampled[:, order]
    names = table.index[order]
    return Ranking(
        table=table.iloc[order],
        draws=sampled,
        wins=pd.DataFrame(win_probabilities(sampled), index=names, columns=names),
        k=k,
        method=method,
        confidence=bootstrap.confidence,
    )


def aggregate_runs(
    runs: Mapping[str, pd.DataFrame], observed: Mapping[str, pd.Series], method: Method = "z_score"
) -> pd.DataFrame:
    """Each run's aggregate, runs x candidates, in the unit of the aggregate of `observed`.

    `runs`: per benchmark, runs x candidates of means; `observed`: per benchmark, the candidates'
    means over all runs, whose spread is the unit of the z-score. So the values of runs compare with
    each other and with `aggregate` of `observed`.
    """
    first = next(iter(runs.values()))
    means = [runs[name][first.columns].to_numpy(dtype=np.float64) for name in sorted(runs)]
    units = [observed[name][first.columns].to_numpy(dtype=np.float64) for name in sorted(runs)]
    values = _combine(means, [unit[None, :] for unit in units], method)
    return pd.DataFrame(values, index=first.index, columns=first.columns)


def widened(ranking: Ranking, noise: Array, gap: Array) -> Ranking:
    """The ranking with two more sources of error, each draws x candidates in its table's order.

    `noise` is an error of the score and widens `low` and `high`. `gap` lies between the score and
    the target, so it changes only `p_top_k` and `wins`. Scores and order stay.
    """
    noisy = ranking.draws + noise
    with_gap = noisy + gap
    tail = (1 - ranking.confidence) / 2
    low, high = np.quantile(noisy, [tail, 1 - tail], axis=0)
    names = ranking.table.index
    return replace(
        ranking,
        table=ranking.table.assign(low=low, high=high, p_top_k=_top_k(with_gap, ranking.k).mean(0)),
        draws=noisy,
        wins=pd.DataFrame(win_probabilities(with_gap), index=names, columns=names),
    )


def _combine(means: list[Array], observed: list[Array], method: Method) -> Array:
    """Aggregate scores, draws x candidates, from an array of means of that shape per benchmark."""
    standard = [_standardise(m, o) for m, o in zip(means, observed, strict=True)]
    if method == "mean_rank":
        standard = [better + (tied + 1) / 2 for better, tied in map(_places, standard)]
    return np.asarray(np.round(np.mean(np.stack(standard), axis=0), 12), dtype=np.float64)


def _standardise(means: Array, observed: Array) -> Array:
    spread = float(observed.std())
    if spread <= 1e-12 * float(np.abs(observed).max()):
        return np.zeros_like(means)
    centred = means - means.mean(axis=1, keepdims=True)
    return np.asarray(np.round(centred / spread, 12), dtype=np.float64)


def _places(scores: Array) -> tuple[Array, Array]:
    """Numbers of candidates better than each, and equal to it (itself included), in each draw.

    The loop over candidates avoids an array of draws x candidates x candidates.
    """
    better, tied = np.empty_like(scores), np.empty_like(scores)
    for i in range(scores.shape[1]):
        own = scores[:, i : i + 1]
        better[:, i] = (scores < own).sum(axis=1)
        tied[:, i] = (scores == own).sum(axis=1)
    return better, tied


def _top_k(scores: Array, k: int) -> Array:
    """Share, in 0..1, of each candidate in the best k of each draw; ties at the border split it."""
    better, tied = _places(scores)
    return np.clip((k - better) / tied, 0, 1)


def win_probabilities(scores: Array) -> Array:
    """Candidates x candidates: share of the draws in which the row's score is lower.

    `scores`: draws x candidates. A tied draw counts one half.
    """
    rows = []
    for i in range(scores.shape[1]):
        own = scores[:, i : i + 1]
        rows.append((own < scores).mean(axis=0) + (own == scores).mean(axis=0) / 2)
    return np.stack(rows)


def _check_tables(tables: Mapping[str, pd.DataFrame]) -> list[Any]:
    if not tables:
        raise InputError("benchmarks", "there is none to rank by", "score at least one")
    first_name, first = next(iter(tables.items()))
    candidates = list(first.columns)
    for name, table in tables.items():
        if table.empty:
            raise InputError(f"benchmark {name!r}", "it has no scored item", "check its exclusions")
        if differing := set(candidates) ^ set(table.columns):
            raise InputError(
                f"benchmark {name!r}",
                f"its candidates are not those of {first_name!r} ({_names(differing)})",
                "score every candidate on every benchmark",
            )
        _check_finite(table, f"benchmark {name!r}")
    return candidates


def _check_finite(scores: pd.DataFrame, where: str) -> None:
    bad = ~np.isfinite(scores.to_numpy(dtype=np.float64))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            where,
            f"{int(bad.sum())} scores are missing or not finite "
            f"(first: {scores.index[row]!r}, {scores.columns[column]!r})",
            "leave the item out for every candidate, or the candidate out",
        )


def _names(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
