from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import Method, aggregate, bootstrap_means, bootstrap_rank
from dataselect.errors import InputError

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"


def item_scores(
    qualities: list[float], items: int = 200, noise: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Items x candidates: a difficulty that candidates share, their quality, and noise."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 3, size=(items, 1))
    values = 5 + difficulty + np.array(qualities) + rng.normal(0, noise, (items, len(qualities)))
    return pd.DataFrame(values, columns=[f"c{i}" for i in range(len(qualities))])


def cell(frame: pd.DataFrame, row: str, column: str) -> float:
    return float(frame[column].to_dict()[row])


def test_mean_rank_averages_ranks_and_ties() -> None:
    scores = pd.DataFrame({"x": [1.0, 2.0, 2.0], "y": [30.0, 10.0, 20.0]}, index=["a", "b", "c"])
    assert aggregate(scores, "mean_rank").to_dict() == {"a": 2.0, "b": 1.75, "c": 2.25}


def test_z_score_weighs_benchmarks_alike_whatever_their_unit() -> None:
    scores = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [30.0, 10.0, 20.0]}, index=["a", "b", "c"])
    expected = aggregate(scores, "z_score")
    assert expected["b"] == pytest.approx(-np.sqrt(1.5) / 2)
    scores["y"] = scores["y"] * 1000 + 7
    pd.testing.assert_series_equal(aggregate(scores, "z_score"), expected)


@pytest.mark.parametrize("method", ["mean_rank", "z_score"])
def test_a_benchmark_on_which_all_are_equal_decides_nothing(method: Method) -> None:
    # 0.1 + 0.2 differs from 0.3 in the last bit only.
    scores = pd.DataFrame({"x": [1.0, 2.0, 3.0], "flat": [0.3, 0.1 + 0.2, 0.3]})
    assert aggregate(scores, method).is_monotonic_increasing
    assert aggregate(scores[["flat"]], method).nunique() == 1


def test_a_missing_score_is_refused_by_name() -> None:
    scores = pd.DataFrame({"gsm8k": [1.0, np.nan]}, index=["a", "b"])
    with pytest.raises(InputError, match=r"'b', 'gsm8k'"):
        aggregate(scores)


def test_bootstrap_means_are_means_of_resampled_rows() -> None:
    table = item_scores([0.0, 1.0], items=50)
    means = bootstrap_means(table, 4000, np.random.default_rng(0))
    assert means.shape == (4000, 2)
    assert means.mean(axis=0) == pytest.approx(table.mean().to_numpy(), abs=0.05)
    assert means.std(axis=0) == pytest.approx(table.std(ddof=0).to_numpy() / np.sqrt(50), rel=0.05)


def test_bootstrap_means_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    table = item_scores([0.0, 1.0], items=50)
    whole = bootstrap_means(table, 100, np.random.default_rng(1))
    monkeypatch.setattr("dataselect.decisions.ranking._CELLS", 50 * 7)
    np.testing.assert_allclose(
        bootstrap_means(table, 100, np.random.default_rng(1)), whole, rtol=1e-12
    )


@pytest.mark.parametrize("method", ["mean_rank", "z_score"])
def test_the_better_candidate_comes_first_with_its_uncertainty(method: Method) -> None:
    tables = {"x": item_scores([0.5, 0.0, 1.0]), "y": item_scores([0.5, 0.0, 1.0], seed=1)}
    ranking = bootstrap_rank(tables, method, k=1, bootstrap=Bootstrap(draws=500))
    table = ranking.table
    assert list(table.index) == ["c1", "c0", "c2"]
    assert list(table["rank"]) == [1, 2, 3]
    assert (table["low"] <= table["score"]).all()
    assert (table["score"] <= table["high"]).all()
    assert cell(table, "c1", "p_top_k") > 0.99
    assert ranking.draws.shape == (500, 3)
    assert cell(ranking.wins, "c1", "c2") > 0.99


def test_pairing_removes_the_difficulty_that_candidates_share() -> None:
    # The difficulty's standard error, 3 / sqrt(200), is four times the difference.
    ranking = bootstrap_rank(
        {"x": item_scores([0.0, 0.05], noise=0.05)}, k=1, bootstrap=Bootstrap(draws=500)
    )
    assert cell(ranking.wins, "c0", "c1") > 0.99


def test_two_candidates_keep_an_interval_that_shows_the_noise() -> None:
    clear = bootstrap_rank({"x": item_scores([0.0, 1.0], noise=0.1)}, k=1).table
    noisy = bootstrap_rank({"x": item_scores([0.0, 1.0], noise=5.0)}, k=1).table
    assert (clear["high"] - clear["low"]).max() < 0.1
    assert (noisy["high"] - noisy["low"]).min() > 0.5


@pytest.mark.parametrize("method", ["mean_rank", "z_score"])
def test_identical_candidates_share_their_places(method: Method) -> None:
    table = item_scores([0.0, 1.0, 2.0])
    table = table.assign(twin=table["c1"], triplet=table["c1"])
    ranking = bootstrap_rank({"x": table}, method, k=2, bootstrap=Bootstrap(draws=200))
    tied = ranking.table.loc[["c1", "twin", "triplet"]]
    assert set(tied["rank"]) == {2}
    assert tied["p_top_k"].to_list() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert tied["p_top_k"].nunique() == 1
    assert cell(ranking.wins, "twin", "c1") == 0.5
    assert cell(ranking.table, "c2", "rank") == 5


@pytest.mark.parametrize("k", [1, 3, 6])
def test_chances_of_the_top_k_sum_to_k(k: int) -> None:
    ranking = bootstrap_rank(
        {"x": item_scores([0.0] * 6, noise=3)}, "mean_rank", k=k, bootstrap=Bootstrap(draws=300)
    )
    assert ranking.table["p_top_k"].sum() == pytest.approx(k)


def test_win_probabilities_of_a_pair_sum_to_one() -> None:
    wins = bootstrap_rank(
        {"x": item_scores([0.0, 0.1, 0.2])}, k=1, bootstrap=Bootstrap(draws=200)
    ).wins
    np.testing.assert_allclose(wins + wins.T, 1)


def test_the_seed_decides_and_the_order_of_input_does_not() -> None:
    tables = {"x": item_scores([0.0, 0.1, 0.3]), "y": item_scores([0.1, 0.0, 0.3], seed=1)}
    turned = {name: tables[name][["c2", "c0", "c1"]] for name in ("y", "x")}
    first, second = (
        bootstrap_rank(t, k=1, bootstrap=Bootstrap(draws=100, seed=3)) for t in (tables, turned)
    )
    pd.testing.assert_frame_equal(first.table, second.table)
    np.testing.assert_allclose(first.draws, second.draws, atol=1e-9)
    other = bootstrap_rank(tables, k=1, bootstrap=Bootstrap(draws=100, seed=4))
    assert not np.array_equal(first.draws, other.draws)


def test_intervals_cover_the_score_on_all_items_about_as_often_as_they_say() -> None:
    population = item_scores([0.0, 0.2, 0.4, 0.6], items=20_000, noise=2.0)
    truth = aggregate(population.mean().to_frame("x"))
    spread = population.mean().std(ddof=0)
    rng = np.random.default_rng(5)
    covered = []
    for seed in range(60):
        sample = population.iloc[rng.choice(len(population), 300, replace=False)]
        table = bootstrap_rank(
            {"x": sample}, k=1, bootstrap=Bootstrap(draws=200, seed=seed)
        ).table.loc[truth.index]
        # The unit differs between samples; compare in the population's.
        unit = sample.mean().std(ddof=0) / spread
        covered += list((table["low"] * unit < truth) & (truth < table["high"] * unit))
    assert 0.84 < np.mean(covered) < 0.96


def test_the_papers_scale_takes_well_under_two_seconds() -> None:
    tables = {name: item_scores([i / 50 for i in range(25)], items=1200) for name in ("x", "y")}
    start = process_time()
    bootstrap_rank(tables, k=8, bootstrap=Bootstrap(draws=2000))
    assert process_time() - start < 2


@pytest.mark.parametrize(
    ("tables", "k", "message"),
    [
        ({}, 1, "none to rank by"),
        ({"x": pd.DataFrame(columns=["a"])}, 1, "no scored item"),
        ({"x": item_scores([0.0, 1.0]), "y": item_scores([0.0])}, 1, r"not those of 'x' \(c1\)"),
        ({"x": item_scores([0.0, np.inf])}, 1, r"200 scores .* \(first: 0, 'c1'\)"),
        ({"x": item_scores([0.0, 1.0])}, 3, "3 of 2 candidates; choose 1 to 2"),
        ({"x": item_scores([0.0, 1.0])}, 0, "0 of 2 candidates"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    tables: dict[str, pd.DataFrame], k: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        bootstrap_rank(tables, k=k)


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
def test_regmix_losses_rank_alike_by_both_methods() -> None:
    losses = pd.read_csv(RESULTS / "regmix_test_loss_60m.csv", index_col="index")
    ranks = pd.DataFrame({m: aggregate(losses, m) for m in ("mean_rank", "z_score")}).rank()
    assert cell(ranks.corr(), "mean_rank", "z_score") > 0.95
