import numpy as np
import pytest

from dataselect.transfer.pairs import Pairs
from dataselect.transfer.worth import judge


def pairs(metric: np.ndarray, accuracy: np.ndarray) -> Pairs:
    names = tuple(f"d{i}" for i in range(len(metric)))
    return Pairs("q", metric, accuracy, np.full(len(metric), np.nan), names, None)


GOOD = pairs(np.linspace(2, 1, 8), np.linspace(0.3, 0.6, 8))
NOISE = pairs(np.array([1, 2, 3, 4, 5, 6, 7, 8.0]), np.array([3, 6, 1, 8, 2, 7, 4, 5.0]) / 10)
DATASETS = [f"d{i}" for i in range(8)]


def errors(level: float, step: float = 0.0) -> dict[str, float]:
    return {name: level + step * i for i, name in enumerate(DATASETS)}


def test_a_gain_over_the_best_baseline_comes_with_its_interval() -> None:
    found = judge(GOOD, errors(0.01, 0.001), {"constant": errors(0.05), "log tokens": errors(0.03)})
    assert not found.says_nothing
    assert found.against == "log tokens"
    assert found.gain == pytest.approx(0.0165)
    assert found.gain is not None
    assert found.gain_low is not None
    assert found.gain_high is not None
    assert 0.014 < found.gain_low < found.gain < found.gain_high < 0.019
    assert found.reason.startswith("rank correlation −1.00 over 8 datasets; gain over log tokens")


def test_no_gain_says_nothing_however_strong_the_correlation() -> None:
    found = judge(GOOD, errors(0.05), {"constant": errors(0.04)})
    assert found.says_nothing
    assert "gain over a constant −1.00 [−1.00, −1.00] points" in found.reason


def test_a_weak_correlation_says_nothing() -> None:
    found = judge(NOISE, errors(0.03), {"constant": errors(0.04)})
    assert abs(found.correlation) < 0.2
    assert found.says_nothing


def test_with_few_datasets_a_gain_is_not_judged() -> None:
    few = GOOD.take(np.arange(4))
    found = judge(few, dict.fromkeys(DATASETS[:4], 0.05), {"constant": errors(0.01)})
    assert not found.says_nothing
    assert found.gain is None
    one = judge(NOISE.take(np.arange(1)), {}, {})
    assert (one.correlation, one.says_nothing) == (0.0, False)
