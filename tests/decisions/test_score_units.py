"""Scores keep their size: relations that must hold, whatever the unit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import (
    Ranking,
    aggregate,
    bootstrap_rank,
    break_ties,
    observed_scores,
)
from dataselect.decisions.score_units import (
    FEWEST_FOR_SPREAD,
    item_noise,
    own_units,
    spread_before,
    units_of_survivors,
)

Tables = dict[str, pd.DataFrame]
DRAWS = Bootstrap(draws=50)


def table(
    means: dict[str, float], noise: float = 0.1, items: int = 40, seed: int = 0
) -> pd.DataFrame:
    """Items x candidates with exactly these means, a difficulty that they share, and noise."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, noise, (items, len(means)))
    values = rng.normal(0, 1, (items, 1)) + own
    return pd.DataFrame(
        values - values.mean(axis=0) + np.array([*means.values()]), columns=[*means]
    )


def survivors(tables: Tables, earlier: Tables, before: tuple[str, ...] = ()) -> Ranking:
    units = units_of_survivors(tables, earlier)
    return bootstrap_rank(tables, k=1, bootstrap=DRAWS, units=units, before=before)


def some(seed: int, candidates: int = 5) -> Tables:
    rng = np.random.default_rng(seed)
    names = [f"c{n}" for n in range(candidates)]
    return {
        name: table(
            dict(zip(names, rng.normal(2, 0.3, candidates), strict=True)), seed=seed + place
        )
        for place, name in enumerate(("easy", "hard"))
    }


def only(tables: Tables, *names: str) -> Tables:
    return {name: each[list(names)] for name, each in tables.items()}


@pytest.mark.parametrize("earlier", [{}, some(7)])
def test_a_large_difference_beats_a_small_one_where_benchmarks_disagree(earlier: Tables) -> None:
    tables = {
        "easy": table({"c0": 0.298, "c1": 0.653}),
        "hard": table({"c0": 1.010, "c1": 1.000}, seed=1),
    }
    # Their own z-scores are a tie of -1 and +1.
    means = pd.DataFrame({name: each.mean() for name, each in tables.items()})
    assert aggregate(means).to_list() == [0, 0]
    ranking = survivors(tables, earlier)
    assert list(ranking.table.index) == ["c0", "c1"]
    scores = ranking.table["score"]
    assert ranking.units is not None
    sizes = ranking.units.sizes
    expected = ((0.653 - 0.298) / sizes["easy"] - 0.01 / sizes["hard"]) / 2
    assert scores["c1"] - scores["c0"] == pytest.approx(expected)
    assert ranking.wins.loc["c0", "c1"] > 0.99


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["c1", "c2", "c3"]))
def test_a_survivor_less_changes_no_other_one_s_score(seed: int, lost: str) -> None:
    earlier, tables = some(seed), only(some(seed + 20_000), "c1", "c2", "c3")
    whole = survivors(tables, earlier).table["score"]
    left = [name for name in ("c1", "c2", "c3") if name != lost]
    fewer = survivors(only(tables, *left), earlier).table["score"]
    for name in left:
        assert fewer[name] == pytest.approx(whole[name], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.integers(2, 5))
def test_a_constant_added_to_all_changes_no_rank_and_no_difference(
    seed: int, constant: float, candidates: int
) -> None:
    tables = some(seed, candidates)
    moved = {name: each + constant for name, each in tables.items()}
    for found, other in (
        (bootstrap_rank(tables, k=1, bootstrap=DRAWS), bootstrap_rank(moved, k=1, bootstrap=DRAWS)),
        (survivors(tables, {}), survivors(moved, {})),
        (survivors(tables, some(seed + 1)), survivors(moved, some(seed + 1))),
    ):
        assert list(found.table.index) == list(other.table.index)
        one, two = found.table["score"], other.table["score"]
        np.testing.assert_allclose(one - one.iloc[0], two - two.iloc[0], atol=1e-8)
        np.testing.assert_allclose(found.wins, other.wins, atol=0.021)  # a draw near a tie


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
@example(3915, 5)  # equal columns of a matrix product once differed in their last bits
def test_a_duplicate_ties_and_the_order_of_candidates_changes_nothing(
    seed: int, candidates: int
) -> None:
    tables = {n: each.assign(twin=each["c1"]) for n, each in some(seed, candidates).items()}
    turned = {n: tables[n][sorted(tables[n], reverse=True)] for n in ("hard", "easy")}
    for rank in (lambda t: bootstrap_rank(t, k=1, bootstrap=DRAWS), lambda t: survivors(t, {})):
        found, other = rank(tables), rank(turned)
        assert found.table.loc["twin", "score"] == found.table.loc["c1", "score"]
        assert found.table.loc["twin", "rank"] == found.table.loc["c1", "rank"]
        assert found.wins.loc["twin", "c1"] == 0.5
        pd.testing.assert_frame_equal(found.table, other.table, atol=1e-9)


@pytest.mark.parametrize("candidates", [2, 3, 4, 6])
def test_a_benchmark_in_two_halves_has_the_same_mean(candidates: int) -> None:
    whole = some(3, candidates)["easy"]
    halves = {"one": whole.iloc[::2], "two": whole.iloc[1::2]}
    means = pd.DataFrame({name: half.mean() for name, half in halves.items()}).mean(axis=1)
    np.testing.assert_allclose(means, whole.mean())
    # In one unit for both, the score is that of the whole.
    units = units_of_survivors({"whole": whole}, {})
    assert (units.kind, units.sizes) == ("nats", {"whole": 1.0})
    size = item_noise(whole)
    given_units = type(units)("items", {"one": size, "two": size})
    found = bootstrap_rank(halves, k=1, bootstrap=DRAWS, units=given_units).table["score"]
    np.testing.assert_allclose(found[whole.columns], whole.mean() / size)


@pytest.mark.parametrize("candidates", [2, 3])
def test_few_candidates_are_not_measured_by_their_own_spread(candidates: int) -> None:
    tables = some(5, candidates)
    units = own_units(tables)
    assert units.kind == "items"
    assert units.sizes == {name: item_noise(each) for name, each in tables.items()}
    # Twice as far apart, twice the difference of the scores.
    wide = {name: each + (each.mean() - each.mean().mean()) for name, each in tables.items()}
    near, far = observed_scores(tables), observed_scores(wide)
    np.testing.assert_allclose(far - far.mean(), 2 * (near - near.mean()), rtol=1e-9)
    one = bootstrap_rank({"easy": tables["easy"]}, k=1, bootstrap=DRAWS)
    np.testing.assert_allclose(one.table["score"], tables["easy"].mean()[one.table.index])


def test_four_candidates_or_more_have_z_scores_as_before() -> None:
    tables = some(6, FEWEST_FOR_SPREAD)
    assert own_units(tables).kind == "candidates"
    means = pd.DataFrame({name: each.mean() for name, each in tables.items()})
    pd.testing.assert_series_equal(observed_scores(tables), aggregate(means), check_names=False)


@pytest.mark.parametrize("candidates", [2, 3, 10])
def test_the_noise_of_an_item_is_that_of_one_candidate_without_what_all_share(
    candidates: int,
) -> None:
    means = {f"c{n}": float(n) for n in range(candidates)}
    assert item_noise(table(means, noise=0.3, items=20_000)) == pytest.approx(0.3, rel=0.03)
    # Neither their distance nor the number of items matters.
    assert item_noise(table(dict.fromkeys(means, 1.0), noise=0.3, items=20_000)) == pytest.approx(
        0.3, rel=0.03
    )


def test_candidates_that_do_not_differ_count_nothing() -> None:
    same = table({"c0": 1.0})
    twins = pd.DataFrame({"c0": same["c0"], "c1": same["c0"]})
    assert item_noise(twins) == item_noise(same) == item_noise(same.iloc[:1]) == 0
    ranking = survivors({"easy": twins, "hard": table({"c0": 2.0, "c1": 1.0})}, {})
    assert list(ranking.table.index) == ["c1", "c0"]
    assert survivors({"easy": twins, "hard": twins}, {}).table["rank"].to_list() == [1, 1]


def test_the_unit_comes_from_the_stage_before_only_if_it_has_every_benchmark() -> None:
    tables, earlier = only(some(1), "c0", "c1"), some(2)
    known = units_of_survivors(tables, earlier)
    assert known.earlier
    assert known.sizes == {name: item_noise(each) for name, each in earlier.items()}
    other = units_of_survivors(tables, {"easy": earlier["easy"]})
    assert not other.earlier
    assert other.sizes == {name: item_noise(each) for name, each in tables.items()}
    alone = units_of_survivors(tables, only(earlier, "c0"))
    assert (alone.earlier, alone.sizes) == (False, other.sizes)


def test_ties_are_in_the_order_of_the_stage_before() -> None:
    scores = np.array([1.0, 1.004, 1.0049, 1.006, 3.0])
    names, ties = break_ties("abcde", scores, ["e", "c", "b", "a"], 0.005)
    assert names == ["c", "b", "a", "d", "e"]
    assert ties == (("c", "b", "a"),)
    twins = {name: each.assign(twin=each["c0"]) for name, each in some(4, 2).items()}
    first = survivors(twins, {}, before=("twin", "c0", "c1"))
    assert first.ties == (("twin", "c0"),)
    again = survivors(twins, {}, before=("c0", "c1", "twin"))
    assert again.ties == (("c0", "twin"),)
    place = list(first.table.index).index("twin")
    assert list(again.table.index)[place] == "c0"
    np.testing.assert_array_equal(first.draws[:, place], again.draws[:, place])


def test_the_spread_of_all_candidates_is_told_in_the_survivors_unit() -> None:
    earlier = {"x": table({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, noise=0.2)}
    kept = {"x": table({"a": 0.9, "b": 1.4}, seed=1)}
    units = units_of_survivors(kept, earlier)
    assert units.kind == "nats"
    assert spread_before(kept, earlier, units) == pytest.approx(np.std([1.0, 2.0, 3.0, 4.0]))
    two = {"x": earlier["x"], "y": 2 * earlier["x"]}
    units = units_of_survivors({"x": kept["x"], "y": kept["x"]}, two)
    # Both benchmarks are in the noise of their items, which makes them the same.
    expected = np.std([1.0, 2.0, 3.0, 4.0]) / item_noise(earlier["x"])
    assert spread_before(two, two, units) == pytest.approx(expected)


def test_the_spread_on_other_benchmarks_is_carried_over_in_the_noise_of_items() -> None:
    earlier = {"x": table({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, noise=0.2)}
    kept = {"y": table({"a": 0.9, "b": 1.4}, noise=0.05, seed=1)}
    spread = spread_before(kept, earlier, units_of_survivors(kept, earlier))
    ratio = item_noise(kept["y"]) / item_noise(earlier["x"])
    assert spread == pytest.approx(np.std([1.0, 2.0, 3.0, 4.0]) * ratio)
