"""What an earlier swarm is worth when two sources are added, on worlds whose truth is known.

    python benchmarks/mixture/reuse.py [--seeds N]

Six sources were mixed in a swarm of 24 runs, and a mixture was proposed. Two sources are added.
What does the next proposal lose

- reuse: n new runs beside the 24 earlier ones (`mix swarm --reuse`);
- mixture reuse: the old sources stay in the ratios of the old proposal, as one source: n runs of
  three (`parts`), the proposal among them;
- fresh: n runs of all eight sources, the earlier ones thrown away;
- full: 24 + n runs of all eight, the price of not reusing;
- stay: the old proposal, without the new sources; prior; uniform.

The two worlds are those of `study.py`: a data law, which the surrogates contain, and one with
interactions of pairs, which they do not. Noise is a tenth of each metric's spread over mixtures.
With `shifted` the new runs are of another machine or code: every metric is worse by half of its
spread, which hits reuse alone; `noticed` is how often the repeated run says so.

Lost is the share of the way from a random mixture (their mean) to the best one that is missed,
without noise: 0 is the best mixture, 1 no better than drawing one. Writes `reuse.json` here.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from dataselect.mixture.constraints import Limits, no_limits
from dataselect.mixture.earlier_swarm import Earlier
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.repeats import notes_on_repeats
from dataselect.mixture.swarm import Swarm
from dataselect.mixture.swarm_design import design_runs

Array = NDArray[np.float64]
Costs = Callable[[Array], Array]
HERE = Path(__file__).parent
OLD, ADDED, METRICS, EARLIER, NOISE, SHIFT = 6, 2, 4, 24, 0.1, 0.5
NEW = (10, 20)
WORLDS = ("data law", "interactions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6)
    seeds = parser.parse_args().seeds
    began = time.process_time()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for world in WORLDS:
            for name, found in study(world, seed).items():
                rows.setdefault(name, []).append(found)
                print(seed, name, json.dumps(found), file=sys.stderr, flush=True)
        results = {
            "command": "python benchmarks/mixture/reuse.py",
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
            "old_sources": OLD,
            "added_sources": ADDED,
            "earlier_runs": EARLIER,
            "seeds": seed + 1,
            "cpu_seconds": round(time.process_time() - began),
            "lost": {
                name: {key: summary([row[key] for row in each]) for key in each[0]}
                for name, each in rows.items()
            },
        }
        (HERE / "reuse.json").write_text(json.dumps(results, indent=1) + "\n")


def study(world: str, seed: int) -> dict[str, dict[str, float]]:
    """What each way loses in one world, by number of new runs."""
    rng = np.random.default_rng([seed, WORLDS.index(world)])
    names = [f"s{i}" for i in range(OLD + ADDED)]
    old, added = names[:OLD], names[OLD:]
    costs = truth(rng, world)
    prior = rng.dirichlet(np.full(OLD + ADDED, 3.0))
    best = optimum(costs, rng)
    random = costs(rng.dirichlet(np.ones(OLD + ADDED), 2_000))
    spread = random.std(axis=0)

    def run(shares: Array, columns: list[str], shift: float = 0.0) -> Array:
        noise = NOISE * spread * rng.standard_normal((len(shares), METRICS))
        found: Array = costs(widened(shares, columns, names)) + noise + shift * spread
        return found

    def lost(shares: Array, columns: list[str]) -> float:
        whole = widened(shares[None], columns, names)
        at, least = (float(costs(w).mean()) for w in (whole, best[None]))
        return (at - least) / (float(random.mean()) - least)

    first_prior = prior[:OLD] / prior[:OLD].sum()
    first = designed(old, first_prior, EARLIER, seed)
    first_values = run(first, old)
    stayed = best_mixture(fit(first, first_values, old), no_limits(old), 0)
    earlier = Earlier(
        Path("earlier"), tuple(old), tuple(f"e{i}" for i in range(EARLIER)), first, None, None
    )
    found: dict[str, dict[str, float]] = {}
    for count in NEW:
        row = {"stay": lost(stayed, old), "prior": lost(prior, names)}
        row["uniform"] = lost(uniform(), names)
        new = design_runs(names, with_prior(names, prior), count, seed, earlier=earlier)
        shares = new.shares
        fresh = shares[EARLIER:]
        again = [i for i, each in enumerate(new.runs) if each.repeats is not None]
        repeats = {f"r{i}": f"r{earlier.runs.index(new.runs[i].repeats or '')}" for i in again}
        for name, shift in (("reuse", 0.0), ("reuse, shifted", SHIFT)):
            values = np.vstack([first_values, run(fresh, names, shift)])
            model = fit(shares, values, names)
            row[name] = lost(best_mixture(model, no_limits(names), 0), names)
            notes = notes_on_repeats(model, repeats)
            row[f"{name}: noticed"] = float(any("differs" in note for note in notes))
        whole = ["whole", *added]
        parts = np.array([1 - prior[OLD:].sum(), *prior[OLD:]])
        three = designed(whole, parts, count, seed)
        opened = np.hstack([three[:, :1] * stayed, three[:, 1:]])
        model = fit(three, run(opened, names), whole)
        proposed = best_mixture(model, no_limits(whole), 0)
        row["mixture reuse"] = lost(np.array([*(proposed[0] * stayed), *proposed[1:]]), names)
        for name, runs in (("fresh", count), ("full", EARLIER + count)):
            drawn = designed(names, prior, runs, seed + 100)
            model = fit(drawn, run(drawn, names), names)
            row[name] = lost(best_mixture(model, no_limits(names), 0), names)
        found[f"{world}, {count} new runs"] = row
    return found


def truth(rng: np.random.Generator, world: str) -> Costs:
    """Noise-free metrics of mixtures, lower is better, as in `study.py`."""
    sources = OLD + ADDED
    worth = np.exp(rng.normal(0, 1.5, (METRICS, sources)))
    pairs = rng.integers(sources, size=(METRICS, 2, 3))

    def costs(shares: Array) -> Array:
        found = 3 * (0.1 + (shares**0.6) @ worth.T) ** -0.4
        if world == "interactions":
            for k in range(METRICS):
                for i, j in pairs[k].T:
                    found[:, k] -= 0.6 * np.sqrt(shares[:, i] * shares[:, j])
        return found

    return costs


def optimum(costs: Costs, rng: np.random.Generator) -> Array:
    """The best mixture of all sources, by a random search."""
    sources = OLD + ADDED
    draws = np.vstack([rng.dirichlet(np.full(sources, a), 10_000) for a in (0.1, 0.3, 1.0)])
    best: Array = draws[costs(draws).mean(axis=1).argmin()]
    for step in np.geomspace(0.5, 0.01, 60):
        tried = best * np.exp(step * rng.standard_normal((400, sources)))
        tried = np.vstack([best, tried / tried.sum(axis=1, keepdims=True)])
        best = tried[costs(tried).mean(axis=1).argmin()]
    return best


def with_prior(names: list[str], prior: Array) -> Limits:
    return replace(no_limits(names), prior=prior)


def designed(names: list[str], prior: Array, count: int, seed: int) -> Array:
    return design_runs(names, with_prior(names, prior), count, seed).shares


def fit(shares: Array, values: Array, names: list[str]) -> MixtureModel:
    runs = tuple(f"r{i}" for i in range(len(shares)))
    metrics = tuple(f"m{k}" for k in range(METRICS))
    swarm = Swarm(runs, tuple(names), metrics, shares, values)
    return fit_model(swarm, Objective(np.full(METRICS, 1 / METRICS), False), True, 0)


def widened(shares: Array, columns: list[str], names: list[str]) -> Array:
    """Shares of all sources, 0 for those without a column."""
    found = np.zeros((len(shares), len(names)))
    found[:, [names.index(name) for name in columns]] = shares
    return found


def uniform() -> Array:
    return np.full(OLD + ADDED, 1 / (OLD + ADDED))


def summary(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "median": round(float(np.median(values)), 4),
        "lowest": round(float(np.min(values)), 4),
        "highest": round(float(np.max(values)), 4),
    }


if __name__ == "__main__":
    main()
