"""Whether sizes of proxies order candidates alike."""

import numpy as np
import pytest

from dataselect.decisions.sign_stability import sign_stability


def test_pairs_in_the_same_order_at_neighbouring_sizes_and_at_all() -> None:
    # Pairs ab, ac, bc: rising at the first size, bc turned at the second, ab too at the third.
    found = sign_stability(np.array([[1.0, 2, 3], [1, 3, 2], [3, 2, 1]]), ["4M", "6M", "8M"])
    assert [each.sizes for each in found.neighbouring] == [("4M", "6M"), ("6M", "8M")]
    assert [each.share for each in found.neighbouring] == pytest.approx([2 / 3, 1 / 3])
    assert found.all_sizes.sizes == ("4M", "6M", "8M")
    assert (found.all_sizes.share, found.all_sizes.pairs) == (0, 3)


def test_pairs_tied_at_one_size_are_left_out() -> None:
    found = sign_stability(np.array([[1.0, 1, 3], [1, 2, 3]]), ["s", "l"])
    assert (found.all_sizes.share, found.all_sizes.pairs) == (1, 2)
    found = sign_stability(np.array([[1.0, 1, 1], [1, 2, 3]]), ["s", "l"])
    assert (found.all_sizes.share, found.all_sizes.pairs) == (None, 0)


def test_the_direction_of_the_metric_makes_no_difference() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 9))
    assert sign_stability(scores, list("abcd")) == sign_stability(-scores, list("abcd"))


def test_no_candidate_with_every_size_says_nothing() -> None:
    found = sign_stability(np.empty((2, 0)), ["s", "l"])
    assert (found.all_sizes.share, found.all_sizes.pairs) == (None, 0)
