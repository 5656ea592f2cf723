"""Which items candidates differ on, and what each item does to the order of two of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.decisions.item_differences import most_different, pair_on_items, spread

TABLE = pd.DataFrame(
    {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.5, 1.0, 3.5, 4.5], "c": [1.0, 2.0, 9.0, 4.0]},
    index=["w", "x", "y", "z"],
)


def test_of_two_the_spread_is_the_distance_and_of_more_the_deviation() -> None:
    assert spread(TABLE[["a", "b"]]).tolist() == [0.5, 1.0, 0.5, 0.5]
    assert spread(TABLE)["y"] == pytest.approx(np.std([3.0, 3.5, 9.0]))
    assert most_different(TABLE, 2) == ["y", "x"]
    assert most_different(TABLE[["a", "b"]], 9) == ["x", "w", "y", "z"]  # ties as in the table


def test_influence_is_what_leaving_the_item_out_changes() -> None:
    pair = pair_on_items(TABLE, "a", "b")
    assert pair.differences.tolist() == [0.5, -1.0, 0.5, 0.5]
    assert pair.mean == pytest.approx(0.125)
    assert pair.standard_error == pytest.approx(np.std([0.5, -1.0, 0.5, 0.5], ddof=1) / 2)
    assert pair.without["x"] == pytest.approx(0.5)
    assert pair.influence["x"] == pytest.approx(-0.375)
    assert pair.most_influential == "x"
    assert pair.turning == ["w", "y"]  # 0.5 − 1.0 is left


def test_what_cannot_be_turned_is_said() -> None:
    assert pair_on_items(TABLE, "a", "c").turning == []  # never behind
    assert pair_on_items(TABLE, "a", "a").turning == []  # equal
    alone = pair_on_items(TABLE.head(1), "a", "b")
    assert np.isnan(alone.without.iloc[0])
    assert (alone.standard_error, alone.turning) == (0.0, [])
    assert alone.most_influential is None
    assert pair_on_items(TABLE, "a", "a").most_influential is None


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=12))
def test_no_fewer_items_turn_the_order(differences: list[int]) -> None:
    zeros = [0.0] * len(differences)
    table = pd.DataFrame({"a": zeros, "b": [float(each) for each in differences]})
    table.index = [f"i{n}" for n in range(len(differences))]
    pair = pair_on_items(table, "a", "b")
    turning = pair.turning
    lead = np.sign(pair.mean)
    ordered = (pair.differences * lead).sort_values(ascending=False)
    # The items that speak most for the leader are the best choice of any number of them.
    turned = [n for n in range(1, len(ordered)) if ordered.iloc[n:].sum() < 0]
    assert len(turning) == (min(turned) if turned and lead != 0 else 0)
    if turning:
        assert pair.differences.drop(turning).sum() * lead < 0
