"""Rank candidates from per-item scores, with the uncertainty of the ranking.

A score is a mean negative log-likelihood over a benchmark's items, so lower is better. Raw values
are never averaged across benchmarks, because the benchmark with the longest or strangest traces
would decide alone; each benchmark's scores are first turned into ranks over the candidates, or
divided by a unit of its own (`score_units`): the candidates' spread, which gives z-scores, or the
noise of items where candidates are few.

Uncertainty comes from a paired bootstrap over items: in each draw every candidate is scored on the
same resampled items, so the difficulty of the items cancels out of the differences, which are all
that a ranking needs. The unit is the observed one in every draw: re-estimated in each draw, a
standard deviation would turn any two candidates into exactly -1 and +1.
Standardised values are rounded to 12 decimals, so that the order of a sum cannot break a tie.

Not covered: resampling items accounts for the choice of items only. It does NOT cover the noise of
the training seed, nor the gap between proxy and target scale, and both can be larger. `widened`
adds draws of both to a ranking; `decisions.uncertainty` computes how large they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.bootstrap import DEFAULT, Bootstrap
from dataselect.decisions.resamples import resamples
from dataselect.decisions.score_units import ScoreUnits, own_units
from dataselect.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["mean_rank", "z_score"]
Array = NDArray[np.float64]

# Resampling counts held in memory at once (draws x items): 32 MiB as integers.
_CELLS = 2**22


@dataclass(frozen=True)
class Ranking:
    """Candidates in order, with bootstrap intervals over items."""

    table: "pd.DataFrame"
    """A row for each candidate, best first, with the columns `score`, `low`, `high` (percentile
    interval of the score), `p_top_k` (share of draws in which it is among the best k; candidates
    tied at the border share the places that are left, so the column sums to k) and `rank` (from 1;
    equal scores share the smaller rank and are ordered by `p_top_k`, then id)."""
    draws: Array
    """Scores in each draw, draws x candidates in the order of `table`."""
    wins: "pd.DataFrame"
    """Candidates x candidates: probability that the row is better than the column; a tied draw
    counts one half."""
    k: int
    """Number of candidates that `p_top_k` is for."""
    method: Method
    """How scores are aggregated over benchmarks."""
    confidence: float
    """Share of the draws between `low` and `high`, in 0..1."""
    units: ScoreUnits | None = None
    """What the scores of each benchmark were divided by; None for ranks."""
    ties: tuple[tuple[str, ...], ...] = ()
    """Candidates whose scores are equal as far as they are shown, and whose order is `before`'s."""


def aggregate(scores: "pd.DataFrame", method: Method = "z_score") -> "pd.Series":
    """One number per candidate from scores of candidates x benchmarks; lower is better.

    `mean_rank`: mean over benchmarks of the rank among the candidates, from 1, ties averaged.
    `z_score`: mean over benchmarks of the distance from the candidates' mean, in (population)
    standard deviations over the candidates; a benchmark on which all are equal counts 0.

    Raises InputError when a score is missing or not finite.
    """
    import pandas as pd

    _check_finite(scores, "scores")
    means = [scores[name].to_numpy(dtype=np.float64)[None, :] for name in scores.columns]
    values = _combine(means, means, method, _spreads(means))[0]
    return pd.Series(values, index=scores.index, name=method)


def observed_scores(
    tables: "Mapping[str, pd.DataFrame]", method: Method = "z_score"
) -> "pd.Series":
    """The scores that `bootstrap_rank` ranks by, by candidate, without its draws.

    `tables`: per benchmark, items x candidates, as there. Raises InputError as it does.
    """
    import pandas as pd

    candidates = _check_tables(tables)
    ordered = {name: tables[name][candidates] for name in sorted(tables)}
    means = [_row_of_means(table) for table in ordered.values()]
    sizes, centred, _ = _unit_sizes(ordered, means, method, None)
    values = _combine(means, means, method, sizes, centred)[0]
    return pd.Series(values, index=candidates, name=method)


def bootstrap_means(table: "pd.DataFrame", draws: int, rng: np.random.Generator) -> Array:
    """Means over resampled items, draws x candidates, from a table of items x candidates.

    Every candidate gets the same resampled items. A resample is a vector of multinomial counts, so
    all means are one matrix product, done in blocks of bounded size. A product's last bits depend
    on a column's place in it, so equal candidates share one column, and columns are sorted: equal
    ones tie, and the order of candidates changes nothing.
    """
    values, place = np.unique(table.to_numpy(dtype=np.float64), axis=1, return_inverse=True)
    place = place.reshape(-1)
    items = len(values)
    block = max(1, _CELLS // items)
    return np.concatenate(
        [
            (resamples(items, min(block, draws - start), rng) @ values / items)[:, place]
            for start in range(0, draws, block)
        ]
    )


def bootstrap_rank(
    tables: "Mapping[str, pd.DataFrame]",
    method: Method = "z_score",
    *,
    k: int,
    bootstrap: Bootstrap = DEFAULT,
    units: ScoreUnits | None = None,
    before: Sequence[str] = (),
) -> Ranking:
    """Rank candidates by their aggregated score with a paired bootstrap over items.

    `tables`: per benchmark, items x candidates of per-item scores, lower is better, with the same
    candidates in each; benchmarks are resampled independently. `k`: the number of places for
    `p_top_k`, from 1 to the number of candidates. `units`: what scores are divided by; by default
    `own_units` of the tables. `before`: candidates in the order of an earlier ranking, which
    decides between scores that are equal as far as they are shown (`ties`).

    Raises InputError when there is no benchmark or item, when the benchmarks differ in candidates,
    when a score is missing or not finite, and when `k` is out of range.
    """
    import pandas as pd

    candidates = _check_tables(tables)
    if not 1 <= k <= len(candidates):
        raise InputError(
            "keep", f"{k} of {len(candidates)} candidates", f"choose 1 to {len(candidates)}"
        )

    rng = np.random.default_rng(bootstrap.seed)
    # Sorted, so that the order in which benchmarks are listed does not change the draws.
    ordered = {name: tables[name][candidates] for name in sorted(tables)}
    observed = [_row_of_means(table) for table in ordered.values()]
    sizes, centred, used = _unit_sizes(ordered, observed, method, units)
    score = _combine(observed, observed, method, sizes, centred)[0]
    sampled = _combine(
        [bootstrap_means(table, bootstrap.draws, rng) for table in ordered.values()],
        observed,
        method,
        sizes,
        centred,
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
    ties: tuple[tuple[str, ...], ...] = ()
    if before:
        by_score = [str(candidates[place]) for place in order]
        width = 10.0 ** -decimals(used) / 2
        by_score, ties = break_ties(by_score, score[order], before, width)
        order = np.array([candidates.index(name) for name in by_score])
    sampled = sampled[:, order]
    names = table.index[order]
    return Ranking(
        table=table.iloc[order],
        draws=sampled,
        wins=pd.DataFrame(win_probabilities(sampled), index=names, columns=names),
        k=k,
        method=method,
        confidence=bootstrap.confidence,
        units=used,
        ties=ties,
    )


def decimals(units: ScoreUnits | None) -> int:
    """Decimals that scores in these units are shown with."""
    return 3 if units is not None and units.kind == "nats" else 2


def break_ties(
    names: Sequence[str], scores: Array, before: Sequence[str], width: float
) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    """Names with scores that differ by less than `width` in the order of `before`; and these ties.

    `names` are by rising score. A tie is its first member and those that follow within the width;
    names that `before` lacks come last in it.
    """
    place = {name: number for number, name in enumerate(before)}
    groups: list[list[str]] = []
    first = -np.inf
    for name, score in zip(names, scores.tolist(), strict=True):
        if score - first < width:
            groups[-1].append(name)
        else:
            groups.append([name])
            first = score
    ordered = [sorted(group, key=lambda name: place.get(name, len(place))) for group in groups]
    return [name for group in ordered for name in group], tuple(
        tuple(group) for group in ordered if len(group) > 1
    )


def aggregate_runs(
    runs: "Mapping[str, pd.DataFrame]",
    observed: "Mapping[str, pd.Series]",
    method: Method = "z_score",
    units: ScoreUnits | None = None,
) -> "pd.DataFrame":
    """Each run's aggregate, runs x candidates, in the unit of the aggregate of `observed`.

    `runs`: per benchmark, runs x candidates of means; `observed`: per benchmark, the candidates'
    means over all runs, whose spread is the unit unless `units` are given. So the values of runs
    compare with each other; they are distances from each run's mean over the candidates.
    """
    import pandas as pd

    first = next(iter(runs.values()))
    means = [runs[name][first.columns].to_numpy(dtype=np.float64) for name in sorted(runs)]
    known = [
        observed[name][first.columns].to_numpy(dtype=np.float64)[None, :] for name in sorted(runs)
    ]
    sizes = _spreads(known)
    if units is not None and method == "z_score":
        sizes = [units.sizes[name] for name in sorted(runs)]
    values = _combine(means, known, method, sizes)
    return pd.DataFrame(values, index=first.index, columns=first.columns)


def widened(ranking: Ranking, noise: Array, gap: Array) -> Ranking:
    """The ranking with two more sources of error, each draws x candidates in its table's order.

    `noise` is an error of the score and widens `low` and `high`. `gap` lies between the score and
    the target, so it changes only `p_top_k` and `wins`. Scores and order stay.
    """
    import pandas as pd

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


def _row_of_means(table: "pd.DataFrame") -> Array:
    """Means over items, 1 x candidates."""
    return np.asarray(table.to_numpy(dtype=np.float64).mean(axis=0)[None, :])


def _spreads(observed: list[Array]) -> list[float]:
    return [float(each.std()) for each in observed]


def _unit_sizes(
    tables: "Mapping[str, pd.DataFrame]",
    observed: list[Array],
    method: Method,
    units: ScoreUnits | None,
) -> tuple[list[float], bool, ScoreUnits | None]:
    """Unit of each benchmark, whether scores are from the candidates' mean, and the units."""
    if method == "mean_rank":
        return _spreads(observed), True, None
    used = own_units(tables) if units is None else units
    if used.kind == "candidates" and units is None:
        return _spreads(observed), True, used
    return [used.sizes[name] for name in tables], used.kind == "candidates", used


def _combine(
    means: list[Array],
    observed: list[Array],
    method: Method,
    sizes: list[float],
    centred: bool = True,
) -> Array:
    """Aggregate scores, draws x candidates, from an array of means of that shape per benchmark.

    `sizes`: unit of each benchmark; `centred`: scores are distances from the candidates' mean.
    """
    standard = [
        _standardise(m, o, size, centred) for m, o, size in zip(means, observed, sizes, strict=True)
    ]
    if method == "mean_rank":
        standard = [better + (tied + 1) / 2 for better, tied in map(_places, standard)]
    return np.asarray(np.round(np.mean(np.stack(standard), axis=0), 12), dtype=np.float64)


def _standardise(means: Array, observed: Array, size: float, centred: bool) -> Array:
    if size <= 1e-12 * float(np.abs(observed).max()):
        return np.zeros_like(means)
    # What a draw's items change for all candidates alike is no error of their comparison.
    relative = means - means.mean(axis=1, keepdims=True)
    if not centred:
        relative = relative + observed.mean()
    return np.asarray(np.round(relative / size, 12), dtype=np.float64)


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


def _check_tables(tables: "Mapping[str, pd.DataFrame]") -> list[Any]:
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


def _check_finite(scores: "pd.DataFrame", where: str) -> None:
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
