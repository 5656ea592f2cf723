"""A ranking with the doubt of seeds and scale."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import LIKELIHOOD, Gap
from dataselect.decisions.ranking import Ranking, bootstrap_rank
from dataselect.decisions.uncertainty import (
    best_probabilities,
    seed_noise,
    with_uncertainty,
)

NONE = Gap(1e-9, 0.0, None)


def ranked(qualities: list[float], items: int = 400) -> Ranking:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(len(qualities))]
    values = np.array(qualities) + rng.normal(0, 0.5, (items, len(qualities)))
    return bootstrap_rank(
        {"b": pd.DataFrame(values, columns=names)}, k=1, bootstrap=Bootstrap(draws=4000)
    )


def runs(values: np.ndarray) -> pd.Series:
    """Candidates x seeds."""
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(len(values))], range(values.shape[1]), [100]],
        names=["candidate", "seed", "step"],
    )
    return pd.Series(values.ravel(), index=index)


def test_without_doubt_the_ranking_stays() -> None:
    ranking = ranked([0.0, 0.1, 0.2])
    made, uncertainty = with_uncertainty(
        ranking, {"b": runs(np.array([[0.0], [0.1], [0.2]]))}, NONE, 0
    )
    assert list(made.table.index) == list(ranking.table.index)
    np.testing.assert_allclose(made.wins, ranking.wins, atol=1e-3)
    assert (uncertainty.seeds, uncertainty.measured) == (1, False)


def test_the_gap_brings_probabilities_towards_a_toss_and_leaves_intervals() -> None:
    ranking = ranked([0.0, 0.1, 0.2])
    one = {"b": runs(np.array([[0.0], [0.1], [0.2]]))}
    made, uncertainty = with_uncertainty(
        ranking, one, LIKELIHOOD.gap(8.329e15, LIKELIHOOD.target_flops), 0
    )
    assert ranking.wins.loc["c0", "c2"] == pytest.approx(1.0, abs=0.01)
    assert 0.5 < float(made.wins.to_numpy()[0, 2]) < 0.6
    assert made.table["p_top_k"].sum() == pytest.approx(1)
    pd.testing.assert_series_equal(made.table["low"], ranking.table["low"])
    assert uncertainty.tau == pytest.approx(18.9 * ranking.table["score"].std(ddof=0), rel=0.01)


def test_measured_noise_of_seeds_widens_intervals_too() -> None:
    ranking = ranked([0.0, 0.1, 0.2])
    noisy = np.array([[0.0], [0.1], [0.2]]) + np.random.default_rng(1).normal(0, 0.2, (3, 4))
    made, uncertainty = with_uncertainty(ranking, {"b": runs(noisy)}, NONE, 0)
    assert (uncertainty.seeds, uncertainty.measured) == (4, True)
    wide = made.table["high"] - made.table["low"]
    narrow = ranking.table["high"] - ranking.table["low"]
    assert (wide > 1.5 * narrow).all()


def test_the_same_seed_gives_the_same_doubt() -> None:
    ranking, one = ranked([0.0, 0.1]), {"b": runs(np.array([[0.0], [0.1]]))}
    gap = LIKELIHOOD.gap(1e18, LIKELIHOOD.target_flops)
    first, second = (with_uncertainty(ranking, one, gap, 7)[0] for _ in range(2))
    pd.testing.assert_frame_equal(first.wins, second.wins)


@pytest.mark.parametrize("benchmarks", [1, 2])
def test_seed_noise_is_in_the_unit_of_the_score(benchmarks: int) -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(benchmarks, 400, 1))
    each = {
        f"b{i}": runs(10**i * (quality[i] + 0.3 * rng.normal(size=(400, 4))))
        for i in range(benchmarks)
    }
    found = seed_noise(each, "z_score")
    assert found is not None
    spread = float(np.sqrt(1 + 0.09 / 4))
    assert found[0] == pytest.approx(0.3 / 2 / spread / np.sqrt(benchmarks), rel=0.05)
    assert found[1] == 4


def test_checkpoints_of_one_seed_are_no_seeds() -> None:
    index = pd.MultiIndex.from_product(
        [["a", "b"], [0], [1, 2]], names=["candidate", "seed", "step"]
    )
    assert seed_noise({"b": pd.Series([1.0, 2.0, 3.0, 4.0], index=index)}, "z_score") is None


def test_the_best_is_drawn_with_all_that_is_uncertain() -> None:
    ranking = ranked([0.0, 0.1, 0.2])
    assert best_probabilities(ranking, None, 0)["c0"] == pytest.approx(1.0, abs=0.01)
    gap = Gap(1.0, 0.3, None, doubt=0.7)
    made, uncertainty = with_uncertainty(
        ranking, {"b": runs(np.array([[0.0], [0.1], [0.2]]))}, gap, 0
    )
    assert uncertainty.tau_doubt == 0.7
    chances = best_probabilities(made, uncertainty, 1)
    assert list(chances) == list(made.table.index)
    assert sum(chances.values()) == pytest.approx(1)
    # With one place, the share of draws in which it is the best is `p_top_k`.
    assert list(chances.values()) == pytest.approx(list(made.table["p_top_k"]), abs=0.03)


def test_equal_candidates_share_the_first_place() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    ranking = bootstrap_rank({"x": table}, k=1, bootstrap=Bootstrap(draws=50))
    assert best_probabilities(ranking, None, 0) == {"a": 0.5, "b": 0.5}
