"""The time left, from FLOPs that are left and the speed that was seen."""

import pytest

from dataselect.stages.estimate import PartLeft, WorkLeft, seconds_left


def jobs(*flops: float | None) -> tuple[WorkLeft, ...]:
    return tuple(WorkLeft(each) for each in flops)


def test_before_anything_is_known_there_is_no_estimate() -> None:
    assert seconds_left([PartLeft(jobs(100.0, 100.0))], 2) is None
    assert seconds_left([PartLeft(jobs(None))], 2) is None
    # Nothing left is known to take no time.
    assert seconds_left([PartLeft(())], 2) == 0.0
    assert seconds_left([], 2) == 0.0


def test_jobs_count_by_their_flops_and_not_by_their_number() -> None:
    small = PartLeft(jobs(10.0, 10.0), speed=10.0)
    large = PartLeft(jobs(1000.0))
    # One second for two small ones side by side, then a large one on one of the two slots.
    assert seconds_left([small, large], 2) == pytest.approx(1 + 100)
    assert seconds_left([small, large], 1) == pytest.approx(2 + 100)


def test_a_part_lasts_at_least_as_long_as_its_longest_job() -> None:
    part = PartLeft(jobs(10.0, 90.0), speed=1.0)
    assert seconds_left([part], 8) == pytest.approx(90)


def test_a_part_with_a_speed_of_its_own_does_not_borrow_one() -> None:
    first, second = PartLeft((), speed=1.0), PartLeft(jobs(100.0), speed=50.0)
    assert seconds_left([first, second], 1) == pytest.approx(2)


def test_what_a_job_takes_besides_training_is_added_less_what_is_past_of_it() -> None:
    waiting, running = WorkLeft(100.0), WorkLeft(50.0, speed=25.0, past=3.0)
    part = PartLeft((waiting, running), speed=10.0, besides=5.0)
    assert seconds_left([part], 1) == pytest.approx((10 + 5) + (2 + 2))
    over = WorkLeft(0.0, past=60.0)
    assert seconds_left([PartLeft((over,), besides=5.0)], 1) == 0.0
    # Only its scores are missing, and how long that takes is not known.
    assert seconds_left([PartLeft((WorkLeft(0.0),))], 1) is None


def test_jobs_of_unknown_flops_take_as_long_as_those_that_are_done() -> None:
    part = PartLeft((WorkLeft(None), WorkLeft(None, past=50.0)), whole=60.0)
    assert seconds_left([part], 1) == pytest.approx(60 + 10)
