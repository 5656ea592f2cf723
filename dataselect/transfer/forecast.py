"""From scores and transfer functions to forecasts: accuracies, intervals, win probabilities.

Forecasting one candidate and comparing two are different questions. An interval covers all errors
of a prediction, the function's own error first. Two candidates share the function, so most of that
error is common to them and cancels: with a monotone function, the order of two known scores is the
same wherever the curve lies. The order can be reversed by the noise of the scores and by each
candidate's own deviation from the curve, the part of the calibration's residuals that points of
similar score do not share (`TransferFunction.scatter`). So intervals may overlap widely where the
order is all but certain, and win probabilities have their own draws: one refit for all candidates
in a draw, a deviation for each candidate, benchmarks independent of each other.

The deviation cannot be left out. With the noise of seeds alone, the mean probability stated for
pairs of DataDecide's recipes was .87, and .71 were right; with the deviation, .69 was stated
(`benchmarks/transfer`).

A function of one or two datasets, without a prior, predicts points: nothing says how far another
dataset lies from it, so there is no interval, no probability, and no candidate is told apart from
another. A benchmark whose score was seen to say nothing (`worth`) is predicted but left out of the
mean over benchmarks, to which it would only add noise.

Deviations of one candidate are assumed independent between benchmarks. Not covered: whether a
function applies (`transfer.applies`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataselect.decisions.ranking import win_probabilities
from dataselect.decisions.seeds import pooled_sd, seed_means
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.spread import LEAST_AGREEMENT

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

SAYS_NOTHING = "this score says nothing about this benchmark here"


@dataclass(frozen=True)
class Scores:
    """Scores of n candidates on a benchmark, with their uncertainty."""

    observed: Array
    """Shape (n,); NaN for a candidate without a score."""
    draws: Array
    """Plausible values of them, draws x n."""


@dataclass(frozen=True)
class Forecast:
    """Predicted target accuracy with its interval, all in 0..1."""

    predicted_accuracy: float
    """What the function predicts for the observed score."""
    low: float | None
    """Lower end of the interval; None where the function knows of none."""
    high: float | None
    """Upper end of the interval."""
    extrapolated: bool
    """Whether the score lies outside the fitted range."""


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of several candidates' targets."""

    by_benchmark: Mapping[str, Mapping[str, Forecast]]
    """By candidate and benchmark, where there is a score."""
    overall: Mapping[str, Forecast]
    """Mean over benchmarks by candidate, best first; only candidates with a score on each."""
    wins: "pd.DataFrame"
    """Candidates x candidates in the order of `overall`: probability that the row's target has the
    higher mean accuracy; NaN where a function knows of no interval."""
    counted: tuple[str, ...] = ()
    """Benchmarks in the mean."""


def with_seed_noise(scores: Scores, values: Array, rng: np.random.Generator) -> Scores:
    """Scores whose draws vary by seed as well; `values` are candidates x seeds, NaN if missing.

    The noise of one seed is pooled over candidates and drawn as Student's t, since it is estimated.
    It is unknown if no candidate has two seeds; the scores are then returned unchanged.
    """
    sd, freedom = pooled_sd(values)
    if not freedom:
        return scores
    counts = np.maximum(np.isfinite(values).sum(axis=1), 1)
    inflation = np.sqrt(freedom / rng.chisquare(freedom, size=(len(scores.draws), 1)))
    noise = sd / np.sqrt(counts) * inflation * rng.standard_normal(scores.draws.shape)
    return Scores(scores.observed, scores.draws + noise)


def seed_scores(values: Array, draws: int, rng: np.random.Generator) -> Scores:
    """Scores from candidates x seeds, NaN where a candidate lacks one."""
    observed = seed_means(values)
    return with_seed_noise(Scores(observed, np.tile(observed, (draws, 1))), values, rng)


def counted(functions: Mapping[str, TransferFunction], *, every_benchmark: bool) -> tuple[str, ...]:
    """Benchmarks that count in a mean: all, or those whose score was not seen to say nothing."""
    return tuple(
        name
        for name, each in functions.items()
        if every_benchmark or each.worth is None or not each.worth.says_nothing
    )


def forecast(
    candidates: Sequence[str],
    scores: Mapping[str, Scores],
    functions: Mapping[str, TransferFunction],
    *,
    confidence: float,
    rng: np.random.Generator,
    every_benchmark: bool = False,
) -> Forecasts:
    """Forecasts from the scores of `candidates` by benchmark; each benchmark has a function.

    Means are over all benchmarks whose score says something, or with `every_benchmark` over all.
    Candidates of equal forecast stay in the order given, so give the best by score first: where
    predictions saturate, the scores still differ.
    """
    import pandas as pd

    by_benchmark: dict[str, dict[str, Forecast]] = {name: {} for name in candidates}
    if not scores:
        return Forecasts(by_benchmark, {}, pd.DataFrame())
    mean_over = counted({n: functions[n] for n in scores}, every_benchmark=every_benchmark)
    drawn: dict[str, list[Array]] = {name: [] for name in candidates}
    compared = []
    known = np.isfinite([scores[name].observed for name in mean_over or scores])
    complete = np.flatnonzero(known.all(axis=0)).tolist() if mean_over else []
    for benchmark, measured in scores.items():
        function = functions[benchmark]
        draws = function.prediction_draws(measured.draws, rng)
        for place, name in enumerate(candidates):
            score = measured.observed[place]
            if np.isfinite(score):
                if benchmark in mean_over:
                    drawn[name].append(draws[:, place])
                predicted, beyond = function.predict(score), function.extrapolated(score)
                by_benchmark[name][benchmark] = _forecast(
                    float(predicted), draws[:, place], confidence, bool(beyond)
                )
        if benchmark in mean_over:
            compared.append(function.comparison_draws(measured.draws[:, complete], rng))
    overall = {}
    for name in [candidates[place] for place in complete]:
        parts = [by_benchmark[name][benchmark] for benchmark in mean_over]
        overall[name] = _forecast(
            float(np.mean([part.predicted_accuracy for part in parts])),
            np.mean(drawn[name], axis=0),
            confidence,
            any(part.extrapolated for part in parts),
        )
    names = list(overall)
    if not names:
        return Forecasts(by_benchmark, {}, pd.DataFrame(), mean_over)
    wins = pd.DataFrame(_wins(np.mean(compared, axis=0)), index=names, columns=names)
    order = sorted(names, key=lambda name: -overall[name].predicted_accuracy)
    overall = {name: overall[name] for name in order}
    return Forecasts(by_benchmark, overall, wins.loc[order, order], mean_over)


def _wins(accuracies: Array) -> Array:
    """Win probabilities from plausible accuracies, draws x candidates; NaN where these are NaN."""
    if np.isnan(accuracies).any():
        return np.full((accuracies.shape[1],) * 2, np.nan)
    return win_probabilities(-accuracies)


def doubts(functions: Mapping[str, TransferFunction], mean_over: Sequence[str]) -> list[str]:
    """What the functions do not know, a sentence each.

    `mean_over`: benchmarks that count in the mean.
    """
    notes = []
    few: dict[int, list[str]] = {}
    for name, each in functions.items():
        if not each.has_intervals and each.datasets is not None:
            few.setdefault(each.datasets, []).append(name)
        if each.worth is not None and each.worth.says_nothing:
            left = "it counts all the same" if name in mean_over else "it is left out of the mean"
            notes.append(f"{name}: {SAYS_NOTHING} ({each.worth.reason}); {left}")
    for count, names in few.items():
        of = "one dataset" if count == 1 else f"{count} datasets"
        notes.append(
            f"the function of {', '.join(names)} was fitted on {of}, so nothing is known of how far"
            " another dataset's target lies from it: there is no interval, and it tells no"
            " candidates apart; calibrate on more datasets, or fit with --prior"
        )
    notes += prior_doubts(functions)
    old = [n for n, each in functions.items() if each.datasets is None and each.new_data is None]
    if old:
        notes.append(
            f"the function of {', '.join(old)} does not say how many datasets it was fitted on:"
            " its intervals hold for more of the same data; fit it again to know about other data"
        )
    return notes


def prior_doubts(functions: Mapping[str, TransferFunction]) -> list[str]:
    """Which functions' data contradict the prior that they were fitted with, in a sentence."""
    found = {
        name: each.new_data.conflict
        for name, each in functions.items()
        if each.new_data is not None and each.new_data.conflict is not None
    }
    against = {name: share for name, share in found.items() if share < LEAST_AGREEMENT}
    if not against:
        return []
    return [
        f"the targets that the function of {', '.join(against)} was fitted on lie farther from the"
        " prior's line than the prior expects (probability"
        f" {max(against.values()):.1g}{' at most' if len(against) > 1 else ''}): intervals are too"
        " narrow; calibrate on three datasets or more, and fit without --prior"
    ]


def not_told_apart(wins: "pd.DataFrame", confidence: float) -> dict[str, list[str]]:
    """For each candidate, the others that it neither beats nor loses to with this confidence.

    These are all others where probabilities are not known (NaN).
    """
    surest = np.nan_to_num(np.maximum(wins.to_numpy(), wins.to_numpy().T))
    names = list(wins.index)
    return {
        one: [two for j, two in enumerate(names) if j != i and surest[i, j] < confidence]
        for i, one in enumerate(names)
    }


def tiers(wins: "pd.DataFrame", confidence: float) -> dict[str, int]:
    """The tier of each candidate, from 1; `wins` is ordered best first.

    A tier is its first candidate and those that follow, up to the first that it beats with this
    confidence. So the last of a tier may be indistinguishable from the first of the next.
    """
    by_name: dict[str, int] = {}
    first, tier = 0, 1
    ahead = wins.to_numpy()
    for place, name in enumerate(wins.index):
        if place and ahead[first, place] >= confidence:
            first, tier = place, tier + 1
        by_name[name] = tier
    return by_name


def _forecast(predicted: float, draws: Array, confidence: float, extrapolated: bool) -> Forecast:
    if np.isnan(draws).any():
        return Forecast(predicted, None, None, extrapolated)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    # The prediction may lie outside the draws' interval, since the draws come from refits.
    return Forecast(
        predicted, min(float(low), predicted), max(float(high), predicted), extrapolated
    )
