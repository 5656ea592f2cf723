"""Compare a table of proxy scores with a table of target scores, in every way that they allow.

Proxy sizes are compared one by one and never pooled, since small sizes can invert the order. Seeds
are averaged, and the noise that they show is reported. A candidate without a value is left out of
that comparison, with a note.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.agreement import Agreement, agreement_of
from dataselect.decisions.baseline_gains import Gain, Measured, counting_of, gains, is_lower
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
from dataselect.formats.column_names import better_when, check_names, counting_column
from dataselect.formats.score_table import ScoreTable
from dataselect.wording import nearest, quoted

Array = NDArray[np.float64]

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
    only: tuple[str, ...] = ()
    """Proxy metrics to compare, by their columns; empty for all."""
    target_only: tuple[str, ...] = ()
    """Target columns to compare with; empty for all."""
    ablate: bool = False
    """Whether each metric is compared with a baseline on the same candidates: with counting words
    where there are scores by it, else with the first metric."""

    @property
    def bootstrap(self) -> Bootstrap:
        """Of the intervals over candidates."""
        return Bootstrap(self.draws, self.seed, self.confidence)


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
    chosen: tuple[str, ...]
    """The best candidate by the proxy, several where they tie."""
    regret: float
    """Of choosing it, in the target's unit."""
    best: tuple[str, ...]
    """The best candidate by the target, several where they tie."""


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
    gains: Mapping[str, Gain]
    """By name of a comparison, how it compares with the baseline; empty without an ablation."""
    counting: Mapping[str, str]
    """By target column, the name of the comparison that stands for counting words; empty where
    nothing was scored by it."""
    notes: tuple[str, ...]
    """What was left out, and why."""
    target_size: str | None = None
    """Size of the targets; None without a column `size`."""


def compare_tables(
    proxy: ScoreTable, target: ScoreTable, settings: Settings, counts: ScoreTable | None = None
) -> Comparisons:
    """Compare every proxy metric with its target column, all tables read with `LABELS`.

    `counts` has scores by counting words of the same candidates.

    Raises InputError when the tables share fewer than three candidates, when no columns match, when
    the target has several sizes, when nothing can be compared, when the name of a column that is
    compared contradicts the stated direction, when `counts` has no score by counting or rows that
    the proxies are not told apart by, and when a `top` exceeds the number of candidates.
    """
    proxy = _chosen("--only", proxy, settings.only)
    target = _chosen("--target-only", target, settings.target_only)
    notes = [*proxy.notes, *target.notes, *(() if counts is None else counts.notes)]
    if len(sizes_of(target)) > 1:
        raise InputError(target.path, "its rows are of several sizes", "keep the rows of one")
    _check_stated("--lower", settings.lower_is_better, proxy)
    _check_stated("--target-lower", settings.target_lower_is_better, target)
    measured: dict[str, Measured] = {}
    candidates, stability = _measure(proxy, target, settings, notes, measured)
    if counts is not None:
        _measure(_only_counts(counts, measured), target, settings, notes, measured)
    comparisons: dict[str, Comparison] = {}
    for name, each in measured.items():
        if _comparable(name, each.truths, notes):
            comparisons[name] = _compare(name, each, settings)
            notes += _turned(name, each.metric, each.target, comparisons[name].agreement)
    if not comparisons:
        raise InputError(proxy.path, f"nothing can be compared ({notes[-1]})", "give more values")
    if not settings.trust_direction:
        _check_directions(proxy, target, comparisons.values(), settings)
    truths = {
        each.target: by_seed(target, each.target, None, candidates) for each in measured.values()
    }
    ceilings = {column: noise_ceiling(values) for column, values in truths.items()}
    kept = {name: measured[name] for name in comparisons}
    return Comparisons(
        comparisons,
        {column: ceiling for column, ceiling in ceilings.items() if ceiling is not None},
        stability,
        len(candidates),
        gains(kept, settings.bootstrap) if settings.ablate else {},
        counting_of(kept),
        tuple(notes),
        next(iter(sizes_of(target)), None),
    )


def _measure(
    proxy: ScoreTable,
    target: ScoreTable,
    settings: Settings,
    notes: list[str],
    measured: dict[str, Measured],
) -> tuple[list[str], dict[str, SignStability]]:
    """Add what a table's metrics measure; its candidates, and the stability over its sizes."""
    pairs = paired_columns(proxy, target, notes)
    check_units(proxy, {metric for metric, _ in pairs})
    check_units(target, {column for _, column in pairs})
    shared = shared_candidates(proxy, target, notes)
    sizes: list[str | None] = [*sizes_of(proxy)] or [None]
    metrics = [metric for metric, _ in pairs]
    scores = {
        (metric, size): by_seed(proxy, metric, size, shared)
        for metric in dict.fromkeys(metrics)
        for size in sizes
    }
    for metric, column in pairs:
        lower = is_lower(settings.lower_is_better, metric)
        target_lower = is_lower(settings.target_lower_is_better, column)
        truths = by_seed(target, column, None, shared)
        for size in sizes:
            several = f" -> {column}" if metrics.count(metric) > 1 else ""
            name = metric + (f"@{size}" if size else "") + several
            names, x, y = _known(name, shared, scores[metric, size], truths, notes)
            measured[name] = Measured(metric, size, column, names, x, y, lower, target_lower)
    stability = {
        metric: _stability({str(size): scores[metric, size] for size in sizes})
        for metric in metrics
        if len(sizes) > 1
    }
    return shared, stability


def _only_counts(counts: ScoreTable, measured: Mapping[str, Measured]) -> ScoreTable:
    """The scores by counting of a table, which the proxies' table does not have itself."""
    if counts.labels:
        raise InputError(
            counts.path,
            f"it has a column {quoted(counts.labels[0])}, and a text is counted once",
            "keep a row for each candidate",
        )
    there = [name for name in counts.metrics if counting_column(name) is not None]
    if not there:
        raise InputError(
            counts.path,
            f"it has no score by counting words ({names_of(counts.metrics)})",
            "give the table that dataselect score ngram:TEXT writes",
        )
    if again := [name for name in there if name in {each.metric for each in measured.values()}]:
        raise InputError(
            counts.path, f"{quoted(again[0])} is in the proxies' table too", "keep one of them"
        )
    return replace(counts, metrics=tuple(there))


def _check_directions(
    proxy: ScoreTable, target: ScoreTable, compared: Iterable[Comparison], settings: Settings
) -> None:
    """Raise InputError where a name of a column that is compared contradicts its direction."""
    pairs = [(each.metric, each.target) for each in compared]
    metrics, columns = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    # Lower is better by counting, whatever is said of the others.
    own = [name for name in metrics if counting_column(name) is None]
    check_names(proxy.path, own, settings.lower_is_better, each="--lower")
    check_names(
        target.path,
        columns,
        settings.target_lower_is_better,
        option="--target-lower-is-better",
        each="--target-lower",
    )


def _chosen(option: str, table: ScoreTable, names: tuple[str, ...]) -> ScoreTable:
    """A table with the metrics of these names alone; all of them for none."""
    _check_stated(option, names, table)
    kept = tuple(name for name in table.metrics if name in names)
    return replace(table, metrics=kept) if names else table


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


def _compare(name: str, measured: Measured, settings: Settings) -> Comparison:
    """One comparison, of values with at least one for each candidate."""
    candidates, proxy, target = measured.candidates, measured.proxy, measured.truth
    means = seed_means(measured.scores)
    count = len(candidates)
    if most := [k for k in settings.top if k > count]:
        raise InputError("--top", f"{most[0]} of {count} candidates ({name})", "ask for fewer")
    sd, freedom = pooled_sd(measured.scores)
    seeds = np.isfinite(measured.scores).sum(axis=1).astype(np.float64)
    noise = SeedNoise(sd, freedom, seeds) if freedom else None
    tops = sorted(set(settings.top)) or [k for k in _TOP if k < count]
    return Comparison(
        measured.metric,
        measured.size,
        measured.target,
        candidates=count,
        agreement=agreement_of(proxy, target, settings.bootstrap),
        proxies=ProxyScores(
            dict(zip(candidates, means.tolist(), strict=True)),
            float(means.std()),
            int(seeds.min()),
            sd if freedom else None,
        ),
        top=tuple(top_choice(proxy, target, k) for k in tops),
        kept=surest_pairs(proxy, target, noise),
        stated=stated_pairs(proxy, target, noise) if noise else None,
        chosen=_highest(candidates, proxy),
        regret=top_choice(proxy, target, 1).regret,
        best=_highest(candidates, target),
    )


def _highest(names: Sequence[str], values: Array) -> tuple[str, ...]:
    best = values.max()
    return tuple(name for name, value in zip(names, values, strict=True) if value == best)


def _known(
    name: str, candidates: Sequence[str], scores: Array, truths: Array, notes: list[str]
) -> tuple[tuple[str, ...], Array, Array]:
    """The candidates that have values in both tables, and their rows."""
    known = np.asarray(np.isfinite(scores).any(axis=1) & np.isfinite(truths).any(axis=1))
    if not known.all():
        lacking = list(compress(candidates, ~known))
        notes.append(f"{name}: {candidates_of(lacking)} without a value left out")
    scores, truths = scores[known], truths[known]
    for what, values in (("proxy", scores), ("target", truths)):
        counts = set(np.isfinite(values).sum(axis=1).tolist())
        if len(counts) > 1:
            notes.append(f"{name}: the {what} has {min(counts)} to {max(counts)} seeds")
    return tuple(compress(candidates, known)), scores, truths


def _comparable(name: str, truths: Array, notes: list[str]) -> bool:
    if len(truths) < FEWEST:
        notes.append(f"{name}: not compared, since fewer than {FEWEST} candidates have values")
        return False
    if len(set(seed_means(truths))) == 1:
        notes.append(f"{name}: not compared, since the target is the same for all")
        return False
    return True


def _stability(by_size: Mapping[str, Array]) -> SignStability:
    """Over the candidates that have a value at every size."""
    scores = np.array([seed_means(values) for values in by_size.values()])
    return sign_stability(scores[:, np.isfinite(scores).all(axis=0)], list(by_size))
