import numpy as np

from dataselect.transfer.datasets import numbered, runs_in_order, seeds_averaged
from dataselect.transfer.pairs import Pairs

NAN = float("nan")


def pairs(groups: str, metric: list[float], accuracy: list[float], tokens: list[float]) -> Pairs:
    names = tuple(g.strip("-") for g in groups)
    return Pairs("q", np.array(metric), np.array(accuracy), np.array(tokens), names, None)


def test_seeds_of_a_checkpoint_become_one_row() -> None:
    table = pairs("aaab", [1.0, 3.0, 5.0, 7.0], [0.2, 0.4, 0.5, 0.6], [1e9, 1e9, 2e9, 1e9])
    found = seeds_averaged(table)
    assert found.metric.tolist() == [2.0, 5.0, 7.0]
    np.testing.assert_allclose(found.accuracy, [0.3, 0.5, 0.6])
    assert found.groups == ("a", "a", "b")


def test_without_tokens_rows_of_one_target_are_its_seeds() -> None:
    table = pairs("aabb", [1.0, 3.0, 5.0, 7.0], [0.2, 0.2, 0.5, 0.6], [NAN] * 4)
    assert seeds_averaged(table).metric.tolist() == [2.0, 5.0, 7.0]


def test_rows_without_a_group_are_never_taken_for_seeds() -> None:
    table = pairs("--", [1.0, 3.0], [0.2, 0.2], [1e9, 1e9])
    assert seeds_averaged(table) is table
    assert numbered(table).tolist() == [0, 0]


def test_runs_come_in_the_order_of_training() -> None:
    table = pairs("abab", [1.0, 2.0, 3.0, 4.0], [0.1] * 4, [2e9, 1e9, 1e9, NAN])
    first, second = runs_in_order(table, falling=True)
    assert first.tolist() == [2, 0]  # by tokens
    assert second.tolist() == [3, 1]  # by score, worst first
