"""Resamples are kept without a change to what is drawn."""

import numpy as np
import pytest

from dataselect.decisions import resamples as module
from dataselect.decisions.resamples import resamples


def plainly(items: int, draws: int, rng: np.random.Generator) -> list[list[int]]:
    drawn: list[list[int]] = rng.multinomial(items, np.full(items, 1 / items), size=draws).tolist()
    return drawn


def test_kept_resamples_are_those_that_would_be_drawn_and_leave_the_generator_alike() -> None:
    for _ in range(2):
        ours, plain = np.random.default_rng(3), np.random.default_rng(3)
        for items, draws in ((5, 4), (7, 4), (5, 4)):
            assert resamples(items, draws, ours).tolist() == plainly(items, draws, plain)
        assert ours.random() == plain.random()


def test_what_is_drawn_first_and_what_is_kept_give_the_same_means_to_the_last_bit() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    first, again = (resamples(50, 200, np.random.default_rng(8)) @ values for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_few_are_kept_and_none_that_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CELLS", 100)
    kept = module._drawn
    kept.clear()
    for seed in range(20):
        resamples(10, 10, np.random.default_rng(seed))
    assert len(kept) == module._KEPT
    kept.clear()
    resamples(10, 11, np.random.default_rng(0))
    assert not kept
