"""How good is what a search proposes, by what proposes its trials? On a law, so the truth is known.

python benchmarks/mixture/search_course.py [--seeds 6]

Prints, for a swarm of four sources whose two metrics follow the effective-data law with noise, the
regret of the final proposal (true objective less the best there is, in standard deviations over
random mixtures): mean over seeds, and the largest.
"""

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from searches import SETTINGS
from small_swarms import losses

from dataselect.mixture.propose import best_mixture
from dataselect.mixture_search.course import Item, Settings, designed, fit, proposed

NOISE = 0.02
COURSES = {
    "surrogate, half designed": {"designed": 20, "sampler": "surrogate"},
    "gp, half designed": {"designed": 20, "sampler": "gp"},
    "all designed": {"designed": 40, "sampler": "surrogate"},
}


def measured(item: Item, seed: int) -> tuple[float, ...]:
    rng = np.random.default_rng([seed, *(round(1e4 * w) for w in item.weights), item.seed])
    values = losses(np.array([item.weights]))[0]
    return tuple((values + NOISE * rng.standard_normal(len(values))).tolist())


def search(settings: Settings, seed: int) -> np.ndarray:
    values = {item: measured(item, seed) for item in designed(settings)}
    for number in itertools.count(1):
        count = min(settings.together, settings.trials - len(values))
        if count <= 0:
            return best_mixture(fit(settings, values), settings.limits, seed)
        fresh = proposed(settings, values, count, number)
        values |= {item: measured(item, seed) for item in fresh}
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=6)
    seeds = parser.parse_args().seeds
    random = np.random.default_rng(0).dirichlet(np.ones(4), 200_000)
    truth = losses(random)
    scale = truth.std(axis=0)
    cost = (truth / scale).mean(axis=1)
    best, spread = cost.min(), cost.std()
    for name, course in COURSES.items():
        regrets, trials = [], 40
        for seed in range(seeds):
            settings = replace(SETTINGS, trials=trials, together=5, seed=seed, **course)
            weights = search(settings, seed)
            regrets.append(((losses(weights[None])[0] / scale).mean() - best) / spread)
        print(f"{name}: regret {np.mean(regrets):.3f} mean, {max(regrets):.3f} largest")
    first = np.random.default_rng(1).dirichlet(np.ones(4), (1000, 40))
    lowest = (losses(first.reshape(-1, 4)).reshape(1000, 40, 2) / scale).mean(axis=2).min(axis=1)
    print(f"best of 40 random, without noise: {((lowest - best) / spread).mean():.3f} mean")


if __name__ == "__main__":
    main()
