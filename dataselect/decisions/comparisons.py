"""Compare a table of proxy scores with a table of target scores, in every way that they allow.

Proxy sizes are compared one by one and never pooled, since small sizes can invert the order. Seeds
are averaged, and the noise that they show is reported. A candidate without a value is left out of
that comparison, with a note.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dataselect.decisions.agreement import Agreement, decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.kept_pairs import (
    KeptPairs,
    SeedNoise,
    StatedPairs,
    stated_pairs,
    surest_pairs,
)
from dataselect.decisions.noise_ceiling import NoiseCeiling, noise_ceiling
from dataselect.decisions.seeds import pooled_sd, seed_means
from dataselect.decisions.sign_stability import SignStability, sign_stability
from dataselect.decisions.table_pairs import (
    FEWEST,
    by_seed,
    candidates_of,
    check_units,
    names_of,
    paired_columns,
    shared_candidates,
    sizes_of,
)
from dataselect.decisions.top_choice import TopChoice, top_choice
from dataselect.errors import InputError
from dataselect.formats.column_names import better_when, check_names
from dataselect.formats.score_table import ScoreTable
from dataselect.wording import nearest, quoted

LABELS = ("seed", "size")
"""Columns of both tables that are not metrics."""

_TOP = (1, 3, 5)


@dataclass(frozen=True)
class Settings:
    """How to compare two tables."""

    lower_is_better: bool | tuple[str, ...] = False
    """Whether lower proxy scores are better, or the proxy metrics of which that is so."""
    target_lower_is_better: bool | tuple[str, ...] = False
    """Whether lower target scores are better, or the target columns of which that is so."""
    top: tuple[int, ...] = ()
    """Numbers of best candidates to compute the regret for; empty: those of 1, 3 and 5 that are
    fewer than the candidates."""
    draws: int = 2000
    """Number of bootstrap draws over candidates."""
    seed: int = 0
    """Seed of the bootstrap."""
    confidence: float = 0.9
    """Coverage of the intervals, in 0..1."""
    trust_direction: bool = False
    """Whether directions are right although a column's name contradicts them."""


@dataclass(frozen=True)
class ProxyScores:
    """What the proxies of a comparison measured, in the unit of the metric."""

    scores: Mapping[str, float]
    """Mean over the seeds, by candidate."""
    spread: float
    """Standard deviation of `scores` over the candidates."""
    seeds: int
    """Number of seeds of the candidate that has fewest."""
    seed_sd: float | None
    """Standard deviation of one seed, pooled over candidates; None if no candidate has two."""


@dataclass(frozen=True)
class Comparison:
    """A proxy metric, at one size if there are sizes, against one column of the target."""

    metric: str
    """Column of the proxy table."""
    size: str | None
    """Size of the proxies; None without a column `size`."""
    target: str
    """Column of the target table."""
    candidates: int
    """Number of candidates compared."""
    agreement: Agreement
    """Decision accuracy and Kendall's tau."""
    proxies: ProxyScores
    """The scores that were compared."""
    top: tuple[TopChoice, ...]
    """Regret and hit rate of the proxy's best k, by rising k."""
    kept: tuple[KeptPairs, ...]
    """Decision accuracy among the surest pairs."""
    stated: tuple[StatedPairs, ...] | None
    """Decision accuracy against stated probability; None if no candidate has two proxy seeds."""


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of two tables."""

    by_name: Mapping[str, Comparison]
    """Named by metric, then `@size` if there are sizes, and ` -> target` if a metric is compared
    with several targets."""
    ceilings: Mapping[str, NoiseCeiling]
    """By target column, for targets with seeds."""
    stability: Mapping[str, SignStability]
    """By proxy metric, for metrics with two sizes or more."""
    candidates: int
    """Number of candidates that both tables have."""
    notes: tuple[str, ...]
    """What was left out, and why."""
    target_size: str | None = None
    """Size of the targets; None without a column `size`."""


def compare_tables(proxy: ScoreTable, target: ScoreTable, settings: Settings) -> Comparisons:
    """Compare every proxy metric with its target column, both tables read with `LABELS`.

    Raises InputError when the tables share fewer than three candidates, when no columns match, when
    the target has several sizes, when nothing can be compared, when the name of a column that is
    compared contradicts the stated direction, and when a `top` exceeds the number of candidates.
    """
    notes = [*proxy.notes, *target.notes]
    if len(sizes_of(target)) > 1:
        raise InputError(target.path, "its rows are of several sizes", "keep the rows of one")
    pairs = paired_columns(proxy, target, notes)
    _check_stated("--lower", settings.lower_is_better, proxy)
    _check_stated("--target-lower", settings.target_lower_is_better, target)
    check_units(proxy, {metric for metric, _ in pairs})
    check_units(target, {column for _, column in pairs})
    shared = shared_candidates(proxy, target, notes)
    sizes: list[str | None] = [*sizes_of(proxy)] or [None]
    scores = {
        (metric, size): by_seed(proxy, metric, size, shared)
        for metric in dict.fromkeys(metric for metric, _ in pairs)
        for size in sizes
    }
    truths = {
        column: by_seed(target, column, None, shared)
        for column in dict.fromkeys(column for _, column in pairs)
    }
    several = len({metric for metric, _ in pairs}) < len(pairs)
    comparisons: dict[str, Comparison] = {}
    for metric, column in pairs:
        for size in sizes:
            name = metric + (f"@{size}" if size else "") + (f" -> {column}" if several else "")
            x, y = _known(name, scores[metric, size], truths[column], notes)
            if _comparable(name, y, notes):
                comparisons[name] = _compare(name, (metric, size, column), x, y, settings)
                notes += _turned(name, metric, column, comparisons[name].agreement)
    if not comparisons:
        raise InputError(proxy.path, f"nothing can be compared ({notes[-1]})", "give more values")
    if not settings.trust_direction:
        _check_directions(proxy, target, pairs, settings)
    ceilings = {column: noise_ceiling(values.to_numpy()) for column, values in truths.items()}
    return Comparisons(
        comparisons,
        {column: ceiling for column, ceiling in ceilings.items() if ceiling is not None},
        {
            metric: _stability({str(size): scores[metric, size] for size in sizes})
            for metric, _ in pairs
            if len(sizes) > 1
        },
        len(shared),
        tuple(notes),
        next(iter(sizes_of(target)), None),
    )


def _check_directions(
    proxy: ScoreTable, target: ScoreTable, pairs: Sequence[tuple[str, str]], settings: Settings
) -> None:
    """Raise InputError where a name of a column that is compared contradicts its direction."""
    metrics, columns = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    check_names(proxy.path, metrics, settings.lower_is_better, each="--lower")
    check_names(
        target.path,
        columns,
        settings.target_lower_is_better,
        option="--target-lower-is-better",
        each="--target-lower",
    )


def _sign(stated: bool | tuple[str, ...], column: str) -> int:
    """Factor that makes higher values of a column better."""
    return -1 if stated is True or (stated is not False and column in stated) else 1


def _check_stated(option: str, stated: bool | tuple[str, ...], table: ScoreTable) -> None:
    """Raise InputError for a column named in `option` that the table does not have."""
    for name in () if isinstance(stated, bool) else stated:
        if name not in table.metrics:
            fix = nearest(name, table.metrics) or f"its metrics are {names_of(table.metrics)}"
            raise InputError(option, f"{table.path.name} has no metric {quoted(name)}", fix)


def _turned(name: str, metric: str, column: str, agreement: Agreement) -> list[str]:
    """A note where the order is reversed beyond chance and a direction is not in the names."""
    interval = agreement.decision_accuracy_interval
    unknown = [each for each in dict.fromkeys((metric, column)) if better_when(each) is None]
    if interval is None or interval[1] >= 0.5 or not unknown:
        return []
    which = " and ".join(map(quoted, unknown))
    return [
        f"{name}: below chance, so check the direction that was stated for {which}, whose name"
        " does not say it"
    ]


def _compare(
    name: str,
    labels: tuple[str, str | None, str],
    scores: pd.DataFrame,
    truths: pd.DataFrame,
    settings: Settings,
) -> Comparison:
    """One comparison; values are candidates x seeds, with at least one for each candidate."""
    metric, _, column = labels
    means = seed_means(scores.to_numpy())
    proxy = means * _sign(settings.lower_is_better, metric)
    target = seed_means(truths.to_numpy()) * _sign(settings.target_lower_is_better, column)
    count = len(proxy)
    if most := [k for k in settings.top if k > count]:
        raise InputError("--top", f"{most[0]} of {count} candidates ({name})", "ask for fewer")
    sd, freedom = pooled_sd(scores.to_numpy())
    seeds = scores.notna().sum(axis=1).to_numpy(dtype=float)
    noise = SeedNoise(sd, freedom, seeds) if freedom else None
    tops = sorted(set(settings.top)) or [k for k in _TOP if k < count]
    return Comparison(
        *labels,
        candidates=count,
        agreement=decision_accuracy(
            pd.Series(proxy),
            pd.Series(target),
            lower_is_better=False,
            bootstrap=Bootstrap(settings.draws, settings.seed, settings.confidence),
        ),
        proxies=ProxyScores(
            {str(name): float(mean) for name, mean in zip(scores.index, means, strict=True)},
            float(means.std()),
            int(seeds.min()),
            sd if freedom else None,
        ),
        top=tuple(top_choice(proxy, target, k) for k in tops),
        kept=surest_pairs(proxy, target, noise),
        stated=stated_pairs(proxy, target, noise) if noise else None,
    )


def _known(
    name: str, scores: pd.DataFrame, truths: pd.DataFrame, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the candidates that have values in both tables."""
    known = scores.notna().any(axis=1) & truths.notna().any(axis=1)
    if not known.all():
        lacking = candidates_of(list(scores.index[~known]))
        notes.append(f"{name}: {lacking} without a value left out")
    for what, values in (("proxy", scores), ("target", truths)):
        counts = values[known].notna().sum(axis=1)
        if counts.nunique() > 1:
            notes.append(f"{name}: the {what} has {counts.min()} to {counts.max()} seeds")
    return scores[known], truths[known]


def _comparable(name: str, truths: pd.DataFrame, notes: list[str]) -> bool:
    if len(truths) < FEWEST:
        notes.append(f"{name}: not compared, since fewer than {FEWEST} candidates have values")
        return False
    if len(set(seed_means(truths.to_numpy()))) == 1:
        notes.append(f"{name}: not compared, since the target is the same for all")
        return False
    return True


def _stability(by_size: Mapping[str, pd.DataFrame]) -> SignStability:
    """Over the candidates that have a value at every size."""
    scores = np.array([seed_means(values.to_numpy()) for values in by_size.values()])
    return sign_stability(scores[:, np.isfinite(scores).all(axis=0)], list(by_size))
