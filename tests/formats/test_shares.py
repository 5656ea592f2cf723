"""Percentages and shares in one column."""

import pytest

from dataselect.formats.shares import mixed_units


@pytest.mark.parametrize(
    "values",
    [
        [0.31, 36.0, 0.33, 41.0],
        [31.0, 36.0, 0.33, 41.0],
        [0.02, 2.5, 3.0],
        [0.9, 88.0, 92.0],
    ],
)
def test_both_in_one_column_are_found_in_any_order(values: list[float]) -> None:
    assert mixed_units(values)
    assert mixed_units(sorted(values)) == mixed_units(values[::-1])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0, 0.3, 1.0],
        [0.0, 31.0, 100.0],
        [0.4, 0.9, 1.3, 4.0, 12.0, 40.0],  # a curve in percent that starts below 1
        [0.1, 0.2, 60.0, 70.0],  # a jump, but of another size
        [0.8, 1.2, 1.9],  # losses
        [-0.5, 0.3, 40.0],
        [0.3, 4000.0],
    ],
)
def test_one_unit_passes(values: list[float]) -> None:
    assert mixed_units(values) == ""
