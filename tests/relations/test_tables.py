"""Tables of scores: the order of rows, columns and files, and other names, change nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_tables import agreement_tables, pairs_table, scores_table, swarm_tables

import dataselect as ds
from dataselect.mixture.swarm import read_swarm
from dataselect.transfer.pairs import read_pairs


def turned(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Rows and columns in another order."""
    columns = list(table.columns)
    np.random.default_rng(seed).shuffle(columns)
    return table[columns].sample(frac=1, random_state=seed).reset_index(drop=True)


def numbers(table: pd.DataFrame) -> Any:
    return json.loads(table.sort_index(axis=1).to_json(orient="split"))


def close(one: pd.DataFrame, two: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        one.sort_index(), two.sort_index()[list(one.columns)], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_agreement_does_not_depend_on_the_order_of_rows_and_columns(seed: int) -> None:
    proxy, target = agreement_tables()
    how = {"lower_is_better": True, "draws": 100}
    plain = ds.agree(proxy, target, **how).table.set_index("metric")
    other = ds.agree(turned(proxy, seed), turned(target, seed + 1), **how).table.set_index("metric")
    for column in ("decision_accuracy", "kendall_tau"):
        assert other[column][plain.index].to_numpy() == pytest.approx(plain[column], abs=1e-9)


@pytest.mark.parametrize("change", ["constant", "unit", "curve", "names", "percent"])
def test_agreement_depends_on_the_order_of_candidates_alone(change: str) -> None:
    proxy, target = agreement_tables()
    proxy = proxy.groupby("id", as_index=False)["nll"].mean()
    how = {"lower_is_better": True, "draws": 100}
    plain = ds.agree(proxy, target, **how).table
    changed = proxy.copy()
    aimed = target.copy()
    if change == "constant":
        changed["nll"] += 10
    elif change == "unit":
        changed["nll"] /= np.log(2)
    elif change == "curve":
        changed["nll"] = np.exp(changed["nll"])
    elif change == "percent":
        aimed["arc"] *= 100
    else:
        # The same order of names, since ties in draws are broken by nothing else.
        changed["id"] = aimed["id"] = None
        names = {name: f"c{place}" for place, name in enumerate(sorted(target["id"]))}
        changed["id"], aimed["id"] = proxy["id"].map(names), target["id"].map(names)
    found = ds.agree(changed, aimed, **how).table
    for column in ("decision_accuracy", "kendall_tau"):
        assert found[column].to_numpy() == pytest.approx(plain[column].to_numpy(), abs=1e-9)


def test_agreement_with_oneself_is_perfect_and_turned_round_is_none() -> None:
    _, target = agreement_tables()
    same = ds.agree(target, target, draws=100).table.iloc[0]
    against = ds.agree(target.assign(arc=-target["arc"]), target, draws=100).table.iloc[0]
    assert (same["decision_accuracy"], same["kendall_tau"]) == (1, 1)
    assert (against["decision_accuracy"], against["kendall_tau"]) == (0, -1)


@pytest.mark.parametrize("seed", range(2))
def test_pairs_do_not_depend_on_the_order_of_rows_and_columns(seed: int, tmp_path: Path) -> None:
    read = []
    for name, table in (("plain", pairs_table()), ("turned", turned(pairs_table(), seed))):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        read.append(read_pairs(tmp_path / f"{name}.csv").benchmarks)
    assert set(read[0]) == set(read[1])
    for name, pairs in read[0].items():
        other = read[1][name]
        for field in ("metric", "accuracy", "tokens"):
            assert sorted(getattr(pairs, field)) == sorted(getattr(other, field))


def test_a_fitted_curve_does_not_depend_on_the_order_of_pairs() -> None:
    plain = ds.fit_transfer(pairs_table(), protocol="paper")
    other = ds.fit_transfer(turned(pairs_table(), 3), protocol="paper")
    for name, function in plain.functions.items():
        at = np.linspace(1.0, 1.3, 7)
        expected = [float(function.predict(x)) for x in at]
        found = [float(other.functions[name].predict(x)) for x in at]
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_candidate_less_changes_no_other_forecast() -> None:
    functions = ds.fit_transfer(pairs_table(), protocol="paper")
    scores = scores_table()
    plain = ds.predict(scores, functions, draws=100).table
    other = ds.predict(turned(scores, 1), functions, draws=100).table
    assert set(plain.index) == set(other.index)
    point = [name for name in plain.columns if "low" not in name and "high" not in name]
    values = [name for name in point if plain[name].dtype == float and "probab" not in name]
    assert values
    left = ds.predict(scores[scores["id"] != "web"], functions, draws=100).table
    for name in values:
        for index in left.index:
            assert left.loc[index, name] == pytest.approx(plain.loc[index, name], abs=1e-9), name
            assert other.loc[index, name] == pytest.approx(plain.loc[index, name], abs=1e-9), name


@pytest.mark.parametrize("seed", range(2))
def test_runs_of_a_swarm_are_joined_by_name_whatever_the_order(seed: int, tmp_path: Path) -> None:
    ratios, metrics = swarm_tables()
    read = []
    for name, tables in (
        ("plain", (ratios, metrics)),
        ("turned", (turned(ratios, seed), turned(metrics, seed + 7))),
    ):
        paths = [tmp_path / f"{name}-{part}.csv" for part in ("ratios", "metrics")]
        for path, table in zip(paths, tables, strict=True):
            table.to_csv(path, index=False)
        swarm = read_swarm(*paths)
        shares = pd.DataFrame(swarm.shares, swarm.runs, swarm.sources)
        values = pd.DataFrame(swarm.values, swarm.runs, swarm.metrics)
        read.append(shares.join(values))
    close(read[0], read[1])
