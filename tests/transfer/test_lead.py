"""How sure the order of two forecasts would be with more seeds or items."""

import math

import numpy as np
import pytest

from dataselect.transfer.forecast import Scores, forecast
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit
from dataselect.transfer.lead import ForecastLead, PairScores

DRAWS = 4000


def function(scatter: float) -> TransferFunction:
    x = np.linspace(0.5, 3, 12)
    y = 0.9 - 0.25 * x + scatter * np.where(np.arange(12) % 2, 1, -1)
    setting = Setting(None, None, None, None, None, None, None, None)
    return fit(x, y, benchmark="sums", provenance=Provenance(setting, "a run", "fit"))


def lead(
    difference: float, items: float, seed_sd: float | None, scatter: float = 0.001
) -> ForecastLead:
    rng = np.random.default_rng(1)
    pair = PairScores(
        np.array([1.5, 1.5 + difference]), items * rng.standard_normal((DRAWS, 2)), seed_sd
    )
    return ForecastLead({"sums": pair}, {"sums": function(scatter)}, 0)


def test_it_is_the_probability_of_the_forecast_where_nothing_is_added() -> None:
    one = lead(0.05, 0.1, None, scatter=0.02)
    pair = one.scores["sums"]
    made = forecast(
        ["a", "b"],
        {"sums": Scores(pair.observed, pair.observed + pair.items)},
        one.functions,
        confidence=0.9,
        rng=np.random.default_rng(5),
    )
    assert one.probability(1) == pytest.approx(made.wins.loc["a", "b"], abs=0.02)


def test_seeds_and_items_each_take_their_own_noise_away() -> None:
    noisy = lead(0.1, 0.1, 0.3)
    now = noisy.probability(1)
    assert now < noisy.probability(4) < noisy.probability(math.inf)
    assert now < noisy.probability(1, 16) < noisy.probability(math.inf, math.inf)
    assert noisy.probability(math.inf, math.inf) > 0.99


def test_what_targets_of_equal_score_differ_by_stays() -> None:
    scattered = lead(0.05, 0.1, 0.1, scatter=0.05)
    assert scattered.probability(math.inf, math.inf) < 0.7


def test_more_seeds_do_nothing_where_their_noise_is_not_known() -> None:
    unknown = lead(0.1, 0.1, None)
    assert not unknown.seeds_known
    assert unknown.probability(1) == unknown.probability(64)
    assert lead(0.1, 0.1, 0.1).seeds_known


def test_a_tie_is_a_toss() -> None:
    assert lead(0.0, 0.1, 0.1).probability(1) == pytest.approx(0.5, abs=0.03)
