"""Numbers in reports have digits that mean something."""

import pytest

from dataselect.report.numbers import share_of, significant, target_runs
from dataselect.report.selection.energy import spent_energy, training_energy
from dataselect.report.selection.uncertainty import gap_words


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0.0, 1.0, "nothing"),
        (1.0, 6.7, "1/7"),
        (1.0, 400.0, "1/400"),
        (1.0, 734.0, "1/730"),
        (1.0, 31_459.0, "1/31,000"),
        (1.0, 3_058_961_667.0, "less than a millionth"),
        (4.0, 1.0, "4.00 times the cost"),
        (2e6, 1.0, "2,000,000 times the cost"),
    ],
)
def test_a_share_of_a_cost_has_two_digits(part: float, whole: float, said: str) -> None:
    assert share_of(part, whole) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (2.5, "2.50 target runs"),
        (0.67, "67% of a target run"),
        (0.0025, "1/400 of a target run"),
        (3e-10, "less than a millionth of a target run"),
    ],
)
def test_target_runs_are_said_as_people_say_them(share: float, said: str) -> None:
    assert target_runs(share) == said


def test_significant_digits_have_no_exponent() -> None:
    shown = [significant(value) for value in (0.0123456, 4.5678, 488_803.07, -2.0, 0.0, 999.9)]
    assert shown == ["0.0123", "4.57", "489,000", "−2.00", "0", "1,000"]


def test_a_gap_beyond_all_scores_is_said_in_words() -> None:
    assert gap_words(0.553) == "half of the differences off by more than 0.55 of the score's unit"
    assert gap_words(487_803.07) == "so far off that it says nothing of the targets"


def test_energy_is_that_of_busy_devices() -> None:
    cost = {"spent": {"all": {"cpu_seconds": 3600.0, "gpu_seconds": 7200.0}}}
    used = spent_energy(cost)
    assert used is not None
    assert used.kwh == pytest.approx(0.01 + 1.4)
    assert str(used) == "about 1.4 kWh and 630 g of CO2"
    assert spent_energy({"spent": {"all": {"cpu_seconds": 0.0, "gpu_seconds": 0.0}}}) is None
    # 32B parameters and 6T tokens: a thousand H100s for a month.
    assert str(training_energy(6 * 32e9 * 6e12)) == "about 560 MWh and 250 t of CO2"
    assert str(training_energy(1e9)) == "less than 0.1 Wh and less than 0.1 g of CO2"
