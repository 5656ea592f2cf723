"""Intervals of shares of pairs that share candidates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.decisions.pair_intervals import share_interval

SHARES = st.integers(0, 1000).map(lambda count: count / 1000)
VARIANCES = st.floats(0, 0.25)
COUNTS = st.integers(2, 500)
CONFIDENCES = st.floats(0.5, 0.99)


@given(SHARES, VARIANCES, COUNTS, CONFIDENCES)
def test_an_interval_holds_its_share_and_stays_in_its_bounds(
    share: float, variance: float, count: int, confidence: float
) -> None:
    low, high = share_interval(share, variance, count, confidence)
    assert 0 <= low <= share <= high <= 1


@given(SHARES, VARIANCES, COUNTS, CONFIDENCES)
def test_the_other_order_has_the_mirrored_interval(
    share: float, variance: float, count: int, confidence: float
) -> None:
    low, high = share_interval(share, variance, count, confidence)
    mirrored = share_interval(1 - share, variance, count, confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_it_is_wilson_s_interval_for_as_many_pairs_as_the_variance_says() -> None:
    # 100 independent trials with 80 hits have a variance of .8 * .2 / 100; Wilson's 90% interval.
    # So many candidates that Student's t is normal.
    low, high = share_interval(0.8, 0.8 * 0.2 / 100, 150, 0.9)
    assert (low, high) == pytest.approx((0.726, 0.858), abs=2e-3)


def test_all_pairs_right_is_no_proof_that_all_would_be() -> None:
    low, high = share_interval(1, 0, 5, 0.9)
    assert high == 1
    assert 0.2 < low < 0.5
    assert low < share_interval(1, 0, 25, 0.9)[0] < 0.9


def test_a_share_that_no_candidates_could_change_is_certain() -> None:
    assert share_interval(0.5, 0, 10, 0.9) == (0.5, 0.5)


def test_pairs_never_amount_to_less_than_half_the_candidates() -> None:
    assert share_interval(0.7, 10, 30, 0.9) == share_interval(0.7, 0.7 * 0.3 / 15, 30, 0.9)


def test_more_confidence_is_wider() -> None:
    narrow, wide = (share_interval(0.7, 0.01, 20, confidence) for confidence in (0.5, 0.95))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
