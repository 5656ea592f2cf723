"""Forecasts for scores in a CSV file, for teams that trained their proxies elsewhere.

The file has a column `id` and one for each benchmark, as `agree` reads it; or a row for each score
with the columns `id, benchmark, metric`. Rows of a candidate with different `seed` are averaged,
and their spread gives the noise of a seed.

A function that was fitted for another setting is refused unless forced. What a file cannot show,
such as how its scores were averaged, is the responsibility of its author.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from dataselect.decisions.table_pairs import by_seed, names_of
from dataselect.errors import InputError
from dataselect.formats.in_memory import Origin, Table
from dataselect.formats.score_table import ScoreTable, read_score_table
from dataselect.transfer.applies import check_all, fitted_on, no_test
from dataselect.transfer.forecast import Forecasts, doubts, forecast, seed_scores
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.setting_file import SettingFile
from dataselect.wording import nearest

_LABELS = ("seed", "size", "benchmark")


@dataclass(frozen=True)
class Settings:
    """How forecasts are drawn."""

    confidence: float = 0.9
    """Coverage of the intervals, in 0..1."""
    draws: int = 2000
    """Number of draws."""
    seed: int = 0
    """Seed of the draws."""
    same_data: bool = False
    """Whether scores are of later checkpoints of the runs that the functions were fitted on."""
    every_benchmark: bool = False
    """Whether benchmarks count in the mean whose score was seen to say nothing."""


@dataclass(frozen=True)
class TableForecasts:
    """Forecasts for the candidates of a table."""

    forecasts: Forecasts
    """Predicted accuracies and win probabilities."""
    scores: Mapping[str, Mapping[str, tuple[float, int]]]
    """By candidate and benchmark, the mean score and its number of seeds."""
    functions: Mapping[str, TransferFunction]
    """The functions applied, by benchmark."""
    overruled: Mapping[str, str]
    """By benchmark, why its function would have been refused without `force`."""
    notes: tuple[str, ...]
    """Warnings, and what was left out."""


def read_proxy_scores(path: Table, benchmarks: Collection[str] = ()) -> ScoreTable:
    """A row for each candidate and seed, and a column for each benchmark, from either form.

    Columns named in `benchmarks` are scores, whatever their names; of the others, those that are no
    metric by their name are left out.

    Raises InputError for proxies of several sizes, and for a column `benchmark` without `metric`.
    """
    table = read_score_table(path, _LABELS, benchmarks)
    sizes = list(dict.fromkeys(table.texts.get("size", ())))
    if len(sizes) > 1:
        fix = "leave the rows of one size, which is what a function is for"
        raise InputError(path, f"its proxies have {len(sizes)} sizes ({names_of(sizes)})", fix)
    if "benchmark" not in table.labels:
        return table
    if "metric" not in table.metrics:
        raise InputError(
            f"{path}:1", "a column 'benchmark' and none 'metric'", "add the scores under 'metric'"
        )
    labels = tuple(label for label in table.labels if label != "benchmark")
    keys = list(zip(*(table.texts[name] for name in ("id", *labels)), strict=True))
    runs = {key: run for run, key in enumerate(dict.fromkeys(keys))}
    texts = dict(zip(("id", *labels), zip(*runs, strict=True), strict=True))
    values = {name: [math.nan] * len(runs) for name in table.texts["benchmark"]}
    for key, name, value in zip(
        keys, table.texts["benchmark"], table.values["metric"], strict=True
    ):
        values[name][runs[key]] = value
    return ScoreTable(path, texts, values, labels, tuple(values), doubts=table.doubts)


def forecast_table(
    table: ScoreTable,
    functions: Mapping[str, TransferFunction],
    functions_file: Origin,
    given: SettingFile | None,
    settings: Settings,
    *,
    force: bool,
) -> TableForecasts:
    """Forecasts for the candidates of a table.

    Raises InputError when no column has a function and, unless `force`, when a function was fitted
    for another setting.
    """
    used = {name: functions[name] for name in table.metrics if name in functions}
    if not used:
        fix = nearest(table.metrics[0], functions) or f"it has {names_of(list(functions))}"
        raise InputError(
            functions_file, f"no function for {names_of(table.metrics)} of {table.path}", fix
        )
    if settings.same_data:
        used = {name: _in_time(each, functions_file) for name, each in used.items()}
    refusals, warnings = _applicability(used, given)
    if refusals and not force:
        raise InputError(
            functions_file,
            "; ".join(refusals.values()),
            "fit functions for the setting of these scores, or give --force",
        )
    notes = [*table.notes, *_unused(table, functions, functions_file), *warnings]
    notes += _directions(used)
    ids = sorted(table.ids)  # so that the order of rows changes no draw
    values = {name: by_seed(table, name, None, ids) for name in used}
    rng = np.random.default_rng(settings.seed)
    drawn = {name: seed_scores(each, settings.draws, rng) for name, each in values.items()}
    seeds = {name: np.isfinite(each).sum(axis=1) for name, each in values.items()}
    forecasts = forecast(
        ids,
        drawn,
        used,
        confidence=settings.confidence,
        rng=rng,
        every_benchmark=settings.every_benchmark,
    )
    if not settings.same_data:
        notes += [*no_test(fitted_on(used, ids)), *doubts(used, forecasts.counted)]
    single = [name for name in used if seeds[name].max() < 2]
    if single:
        notes.append(
            f"no candidate has two seeds on {', '.join(single)}: these scores are taken as exact,"
            " and the noise of training is in no interval and no probability"
        )
    for name, counts in seeds.items():
        if len(fewer := set(counts[counts > 0])) > 1:
            notes.append(f"{name}: candidates have {min(fewer)} to {max(fewer)} seeds")
    lacking = [name for name in ids if name not in forecasts.overall]
    if lacking and not forecasts.counted:
        notes.append(
            "no candidate is ranked, for no benchmark's score says anything; --every-benchmark "
            "predicts and ranks all the same"
        )
    elif lacking:
        notes.append(f"not ranked, without a score on each benchmark: {names_of(lacking)}")
    scores = {
        candidate: {
            name: (float(drawn[name].observed[place]), int(counts[place]))
            for name, counts in seeds.items()
        }
        for place, candidate in enumerate(ids)
    }
    return TableForecasts(forecasts, scores, used, refusals, tuple(notes))


def _in_time(function: TransferFunction, where: Origin) -> TransferFunction:
    try:
        return function.in_time()
    except ValueError as reason:
        raise InputError(
            where,
            f"{function.benchmark}: {reason}, for it was fitted on one dataset with a prior",
            "leave out --same-data, or fit the run's checkpoints without a prior",
        ) from None


def _applicability(
    functions: Mapping[str, TransferFunction], given: SettingFile | None
) -> tuple[dict[str, str], list[str]]:
    if given is None:
        note = "it is not known what the scores were measured with, so nothing is checked against"
        return {}, [f"{note} what the functions were fitted for: give --setting"]
    runs = {name: given.of(name) for name in functions}
    return check_all(functions, runs, lower_is_better=None)


def _unused(
    table: ScoreTable, functions: Mapping[str, TransferFunction], functions_file: Origin
) -> list[str]:
    notes = []
    if columns := [name for name in table.metrics if name not in functions]:
        notes.append(f"{functions_file.name} has no transfer function for {names_of(columns)}")
    if others := [name for name in functions if name not in table.metrics]:
        notes.append(f"{table.path.name} has no scores for {names_of(others)}")
    return notes


def _directions(functions: Mapping[str, TransferFunction]) -> list[str]:
    """A note if functions differ in direction: for one metric all should rise or all fall."""
    rising = [name for name, function in functions.items() if function.rising]
    falling = [name for name in functions if name not in rising]
    if not rising or not falling:
        return []
    return [
        f"accuracy rises with the score on {', '.join(rising)} and falls on {', '.join(falling)}:"
        " one of these was fitted on noise"
    ]
