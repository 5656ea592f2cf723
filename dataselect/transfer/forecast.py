"""From scores and transfer functions to forecasts: accuracies, intervals, who beats whom.

A forecast of one candidate and a comparison of two are different questions. An interval holds all
that a prediction can be off by, the function's own error first. Two candidates stand under the same
function, so most of that error is common to them and cancels: with a monotone function, the order
of two known scores is the same wherever the curve lies. What can turn it is the noise of the scores
and each candidate's own departure from the curve, the part of the calibration's residuals that
points of like score do not share (`TransferFunction.scatter`). So intervals may overlap widely
where the order is all but certain, and probabilities are drawn anew: one refit for all candidates
in a draw, each with a departure of its own, benchmarks independent of each other.

That departure cannot be left out. Of pairs of recipes of DataDecide, which the noise of seeds alone
called with probability .87 in the mean, .71 were right; with the departure, .69 was stated
(`benchmarks/transfer`).

Departures of one candidate are taken to be independent from benchmark to benchmark. Not covered:
data on which the same score means another accuracy, unless calibration runs on several data show
it; and whether a function applies (`transfer.applies`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataselect.decisions.ranking import win_probabilities
from dataselect.decisions.seeds import pooled_sd, seed_means
from dataselect.transfer.function import TransferFunction

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Candidates' scores on a benchmark: `observed` (n,), NaN where there is none, and plausible
    `draws` of them, draws x n."""

    observed: Array
    draws: Array


@dataclass(frozen=True)
class Forecast:
    """Predicted target accuracy (0..1) with its interval; `extrapolated` beyond the fit."""

    predicted_accuracy: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True)
class Forecasts:
    """What is to be expected of each candidate's target.

    `by_benchmark`: by candidate and benchmark. `overall`: by candidate, best first, the mean over
    benchmarks, of those that have a score on each. `wins`: among these, the probability that the
    target of the row beats that of the column by the mean.
    """

    by_benchmark: Mapping[str, Mapping[str, Forecast]]
    overall: Mapping[str, Forecast]
    wins: pd.DataFrame


def with_seed_noise(scores: Scores, values: Array, rng: np.random.Generator) -> Scores:
    """Scores whose draws vary by seed as well; `values` are candidates x seeds, NaN for none.

    The noise of one seed is pooled over candidates, and drawn as Student's t, being an estimate.
    Without a repeated seed nothing is known of it, and the scores stay as they are.
    """
    sd, freedom = pooled_sd(values)
    if not freedom:
        return scores
    counts = np.maximum(np.isfinite(values).sum(axis=1), 1)
    unsure = np.sqrt(freedom / rng.chisquare(freedom, size=(len(scores.draws), 1)))
    noise = sd / np.sqrt(counts) * unsure * rng.standard_normal(scores.draws.shape)
    return Scores(scores.observed, scores.draws + noise)


def seed_scores(values: Array, draws: int, rng: np.random.Generator) -> Scores:
    """Scores from candidates x seeds, NaN where a candidate lacks one."""
    observed = seed_means(values)
    return with_seed_noise(Scores(observed, np.tile(observed, (draws, 1))), values, rng)


def forecast(
    candidates: Sequence[str],
    scores: Mapping[str, Scores],
    functions: Mapping[str, TransferFunction],
    *,
    confidence: float,
    rng: np.random.Generator,
) -> Forecasts:
    """Forecasts from the scores of `candidates` by benchmark, each of which has a function.

    Candidates of equal forecast stay in the order given, so give the best by score first: where
    predictions saturate, the score behind them still tells candidates apart.
    """
    by_benchmark: dict[str, dict[str, Forecast]] = {name: {} for name in candidates}
    if not scores:
        return Forecasts(by_benchmark, {}, pd.DataFrame())
    drawn: dict[str, list[Array]] = {name: [] for name in candidates}
    compared = []
    known = np.isfinite([each.observed for each in scores.values()])
    complete = np.flatnonzero(known.all(axis=0)).tolist()
    for benchmark, measured in scores.items():
        function = functions[benchmark]
        draws = function.prediction_draws(measured.draws, rng)
        for place, name in enumerate(candidates):
            score = measured.observed[place]
            if np.isfinite(score):
                drawn[name].append(draws[:, place])
                predicted, beyond = function.predict(score), function.extrapolated(score)
                by_benchmark[name][benchmark] = _forecast(
                    float(predicted), draws[:, place], confidence, bool(beyond)
                )
        compared.append(function.comparison_draws(measured.draws[:, complete], rng))
    overall = {}
    for name in [candidates[place] for place in complete]:
        parts = by_benchmark[name].values()
        overall[name] = _forecast(
            float(np.mean([part.predicted_accuracy for part in parts])),
            np.mean(drawn[name], axis=0),
            confidence,
            any(part.extrapolated for part in parts),
        )
    names = list(overall)
    if not names:
        return Forecasts(by_benchmark, {}, pd.DataFrame())
    wins = pd.DataFrame(win_probabilities(-np.mean(compared, axis=0)), index=names, columns=names)
    order = sorted(names, key=lambda name: -overall[name].predicted_accuracy)
    return Forecasts(by_benchmark, {name: overall[name] for name in order}, wins.loc[order, order])


def not_told_apart(wins: pd.DataFrame, confidence: float) -> dict[str, list[str]]:
    """Of each candidate, the others that neither beats nor is beaten by with such a probability."""
    surest = np.maximum(wins.to_numpy(), wins.to_numpy().T)
    names = list(wins.index)
    return {
        one: [two for j, two in enumerate(names) if j != i and surest[i, j] < confidence]
        for i, one in enumerate(names)
    }


def tiers(wins: pd.DataFrame, confidence: float) -> dict[str, int]:
    """The tier of each candidate, from 1; `wins` is ordered best first.

    A tier is its first candidate and those that follow until one is told apart from it. So the
    last of a tier may not be told apart from the first of the next.
    """
    found: dict[str, int] = {}
    first, tier = 0, 1
    ahead = wins.to_numpy()
    for place, name in enumerate(wins.index):
        if place and ahead[first, place] >= confidence:
            first, tier = place, tier + 1
        found[name] = tier
    return found


def _forecast(predicted: float, draws: Array, confidence: float, extrapolated: bool) -> Forecast:
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    # The curve's own prediction need not be a typical draw: the refits behind the draws differ.
    return Forecast(
        predicted, min(float(low), predicted), max(float(high), predicted), extrapolated
    )
