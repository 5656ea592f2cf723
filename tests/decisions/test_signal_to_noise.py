"""Which benchmarks are too noisy to choose by."""

import math

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.signal_to_noise import order_kept, signal_to_noise


def runs(
    spread: float,
    seed_noise: float,
    step_noise: float = 0.0,
    shape: tuple[int, int, int] = (25, 3, 1),
    seed: int = 0,
) -> pd.Series:
    """Candidates that differ by `spread`, going down together over steps."""
    rng = np.random.default_rng(seed)
    candidates, seeds, steps = shape
    values = (
        spread * rng.normal(size=(candidates, 1, 1))
        + seed_noise * rng.normal(size=(candidates, seeds, 1))
        + step_noise * rng.normal(size=shape)
        - 3 * np.arange(steps)
    )
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(candidates)], range(seeds), range(steps)],
        names=["candidate", "seed", "step"],
    )
    return pd.Series(values.ravel(), index=index)


def test_spread_and_noise_of_seeds_are_found_again() -> None:
    found = signal_to_noise(runs(2.0, 0.5, shape=(400, 3, 1)))
    assert found.spread == pytest.approx(2.0, rel=0.1)
    assert found.seed_noise == pytest.approx(0.5, rel=0.1)
    assert found.noise == pytest.approx(0.5 / math.sqrt(3), rel=0.1)
    assert found.checkpoint_noise is None
    assert found.verdict == "usable"


def test_going_down_together_is_no_noise_between_checkpoints() -> None:
    found = signal_to_noise(runs(1.0, 0.0, 0.25, shape=(200, 1, 4)))
    assert found.seed_noise is None
    assert found.checkpoint_noise == pytest.approx(0.25, rel=0.1)
    assert "not counting the noise of seeds" in found.reason


def test_noise_of_seeds_goes_before_noise_of_checkpoints() -> None:
    found = signal_to_noise(runs(1.0, 0.5, 0.1, shape=(200, 2, 3)))
    assert found.noise == pytest.approx(math.sqrt(0.25 + 0.01 / 3) / math.sqrt(2), rel=0.1)
    assert found.checkpoint_noise == pytest.approx(0.1, rel=0.1)


def test_candidates_that_are_all_alike_are_too_noisy() -> None:
    found = signal_to_noise(runs(0.0, 1.0, seed=3))
    assert found.verdict == "too noisy"
    assert found.interval is not None
    assert found.interval[1] < 1


def test_few_candidates_leave_it_open() -> None:
    found = signal_to_noise(runs(1.0, 1.0, shape=(4, 2, 1)))
    assert found.verdict == "unsure"


def test_one_run_of_each_says_nothing() -> None:
    found = signal_to_noise(runs(1.0, 1.0, shape=(5, 1, 1)))
    assert (found.verdict, found.ratio, found.spread) == ("unknown", None, None)
    assert "set 'seeds' or 'average' to 2" in found.reason


def test_one_candidate_has_no_spread() -> None:
    assert signal_to_noise(runs(1.0, 1.0, shape=(1, 3, 1))).reason == "one candidate has no spread"


def test_runs_without_any_noise_are_usable() -> None:
    found = signal_to_noise(runs(1.0, 0.0))
    assert found.verdict == "usable"
    assert found.order_kept == pytest.approx(1)


def test_a_candidate_without_one_of_the_seeds_is_left_out() -> None:
    table = runs(1.0, 0.1).drop(("c3", 1, 0))
    assert signal_to_noise(table).candidates == 24


def test_pairs_stay_in_order_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 2))
    seen = true + rng.normal(size=true.shape)
    kept = np.mean(np.sign(true[:, 0] - true[:, 1]) == np.sign(seen[:, 0] - seen[:, 1]))
    assert order_kept(1.0) == pytest.approx(0.75)
    assert kept == pytest.approx(0.75, abs=0.02)


def test_the_interval_holds_the_true_ratio_as_often_as_stated() -> None:
    held = 0
    for seed in range(120):
        low, high = signal_to_noise(runs(1.0, 0.8, shape=(10, 2, 1), seed=seed)).interval or (0, 0)
        held += low <= math.sqrt(2) / 0.8 <= high
    assert held / 120 == pytest.approx(0.9, abs=0.06)
