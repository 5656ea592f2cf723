"""How good is what a search proposes, by what proposes its trials? On worlds whose truth is known.

python benchmarks/mixture/search_course.py [--seeds 5] [--first 0]

Two worlds: four sources whose two metrics follow the effective-data law, and eight sources whose
three metrics follow no surrogate's law (saturating terms, and pairs of sources that help each
other). Of 40 trials with noise each search proposes a mixture; printed is its regret, the true
objective less the best there is, in standard deviations over random mixtures: mean over seeds, its
standard error, and the largest. Beside it the best of 40 random mixtures, were there no noise.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from searches import SETTINGS
from small_swarms import losses

from dataselect.mixture.constraints import no_limits
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.sampler import designed, fit, proposed
from dataselect.mixture_search.trial import SearchSettings

TRIALS = 40
COURSES = {
    "surrogates, half designed": {"designed": 20, "sampler": "surrogate"},
    "gp, half designed": {"designed": 20, "sampler": "gp"},
    "all designed": {"designed": TRIALS, "sampler": "surrogate"},
}


def lawless(weights: np.ndarray) -> np.ndarray:
    """Three metrics of eight sources, lower is better."""
    rng = np.random.default_rng(5)
    worth, pairs = rng.gamma(0.7, 2.0, (3, 8)), rng.gamma(0.3, 2.0, (3, 8, 8))
    single = np.exp(-(np.sqrt(weights) @ worth.T) / 3)
    both = np.einsum("ni,kij,nj->nk", weights, pairs, weights)
    found: np.ndarray = 2 + single - 0.3 * both
    return found


@dataclass(frozen=True)
class World:
    sources: int
    metrics: int
    truth: Callable[[np.ndarray], np.ndarray]

    def settings(self, seed: int) -> SearchSettings:
        names = tuple(f"s{i}" for i in range(self.sources))
        prior = np.full(self.sources, 1 / self.sources)
        return replace(
            SETTINGS,
            sources=names,
            benchmarks=tuple(f"m{i}" for i in range(self.metrics)),
            prior=prior,
            limits=replace(no_limits(names), prior=prior),
            objective=np.full(self.metrics, 1 / self.metrics),
            trials=TRIALS,
            together=5,
            seed=seed,
        )


WORLDS = {"law, 4 sources": World(4, 2, losses), "no law, 8 sources": World(8, 3, lawless)}


def search(
    settings: SearchSettings, truth: Callable[[np.ndarray], np.ndarray], noise: float
) -> Trial:
    def measured(trial: Trial) -> tuple[float, ...]:
        places = [round(1e4 * w) for w in trial.shares]
        rng = np.random.default_rng([settings.seed, trial.seed, *places])
        values = truth(np.array([trial.shares]))[0]
        return tuple((values + noise * rng.standard_normal(len(values))).tolist())

    values = {trial: measured(trial) for trial in designed(settings)}
    for number in itertools.count(1):
        count = min(settings.together, settings.trials - len(values))
        if count <= 0:
            break
        fresh = proposed(settings, values, [], count, number)
        values |= {trial: measured(trial) for trial in fresh}
    weights = best_mixture(fit(settings, values), settings.limits, settings.seed)
    return Trial(tuple(weights.tolist()), 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    for title, world in WORLDS.items():
        rng = np.random.default_rng(0)
        random = np.vstack(
            [rng.dirichlet(np.full(world.sources, a), 60_000) for a in (0.2, 0.5, 1)]
        )
        truth = world.truth(random)
        scale = truth.std(axis=0)
        costs = (truth / scale).mean(axis=1)
        best, spread = costs.min(), costs.std()
        noise = 0.1 * float(scale.mean())
        print(f"{title}:")
        for name, course in COURSES.items():
            regrets = []
            for seed in range(given.first, given.first + given.seeds):
                settings = replace(world.settings(seed), **course)
                found = world.truth(np.array([search(settings, world.truth, noise).shares]))[0]
                regrets.append(((found / scale).mean() - best) / spread)
            error = np.std(regrets, ddof=1) / np.sqrt(len(regrets))
            print(f"  {name}: {np.mean(regrets):.3f} ± {error:.3f}, {max(regrets):.3f}", flush=True)
        drawn = rng.dirichlet(np.ones(world.sources), 1000 * TRIALS)
        lowest = (world.truth(drawn) / scale).mean(axis=1).reshape(1000, TRIALS).min(axis=1)
        print(f"  best of {TRIALS} random: {((lowest - best) / spread).mean():.3f}")


if __name__ == "__main__":
    main()
