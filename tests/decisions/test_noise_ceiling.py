"""What the target's seeds allow any proxy to reach."""

import numpy as np
import pytest

from dataselect.decisions.noise_ceiling import noise_ceiling

NAN = float("nan")


def test_one_seed_is_compared_with_the_mean_of_the_others() -> None:
    # By the first seed c < b < a, by the others a < b < c or, in one pair, otherwise.
    values = np.array([[3.0, 1.0, 1.0], [2.0, 2.0, 2.0], [1.0, 3.0, 3.0]])
    ceiling = noise_ceiling(values)
    assert ceiling is not None
    # Means of the first and one of the others are all 2: no order to agree with, so left out.
    assert ceiling.one_seed_range == (0, 0)
    assert (ceiling.one_seed, ceiling.seeds, ceiling.candidates) == (0, 3, 3)


def test_targets_without_noise_have_no_ceiling_below_one() -> None:
    ceiling = noise_ceiling(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    assert ceiling is not None
    assert (ceiling.one_seed, ceiling.of_means, ceiling.sd) == (1, 1, 0)


def test_targets_of_noise_alone_have_a_ceiling_of_chance() -> None:
    rng = np.random.default_rng(3)
    ceiling = noise_ceiling(rng.normal(size=(200, 2)))
    assert ceiling is not None
    assert ceiling.one_seed == pytest.approx(0.5, abs=0.06)
    assert ceiling.of_means < 0.65
    assert ceiling.sd == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("noise", [0.2, 0.6])
def test_the_estimate_for_means_is_what_true_values_reach(noise: float) -> None:
    rng = np.random.default_rng(0)
    estimated, real = [], []
    for _ in range(100):
        true = rng.normal(size=25)
        values = true[:, None] + noise * rng.normal(size=(25, 3))
        ceiling = noise_ceiling(values)
        assert ceiling is not None
        estimated.append(ceiling.of_means)
        first, second = np.triu_indices(25, 1)
        means = values.mean(axis=1)
        same = np.sign(true[first] - true[second]) == np.sign(means[first] - means[second])
        real.append(same.mean())
        assert ceiling.one_seed < ceiling.of_means + 0.1
    assert np.mean(estimated) == pytest.approx(np.mean(real), abs=0.01)


def test_a_missing_seed_costs_only_what_it_is_needed_for() -> None:
    values = np.array([[1.0, 1.1, NAN], [2.0, 2.1, 2.2], [3.0, NAN, 3.2], [4.0, NAN, NAN]])
    ceiling = noise_ceiling(values)
    assert ceiling is not None
    assert (ceiling.candidates, ceiling.one_seed) == (3, 1)


@pytest.mark.parametrize(
    "values",
    [
        [[1.0], [2.0], [3.0]],
        [[1.0, 1.5], [2.0, 2.5]],
        [[1.0, 1.5], [2.0, 2.5], [3.0, NAN]],
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]],
    ],
    ids=["one-seed", "two-candidates", "two-with-seeds", "all-the-same"],
)
def test_too_little_gives_no_ceiling(values: list[list[float]]) -> None:
    assert noise_ceiling(np.array(values)) is None
