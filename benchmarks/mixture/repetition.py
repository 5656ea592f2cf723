"""What it saves to know how often runs read their text, on made-up swarms whose truth is known.

    python benchmarks/mixture/repetition.py [--seeds N]

The truth is an effective-data law of weights that count as the published law of repetition says
(arXiv 2305.16264), with R drawn anew for each swarm between 5 and 45, one for each metric; noise is
a tenth of each metric's spread. Scarce sources are read up to 20 times. Each swarm is modelled with
and without its epochs, and either model proposes a mixture that the target reads as often as said:

- same: all runs and the target read a source at the same rate;
- two lengths of text: every second run had four times the text, so reads it a quarter as often;
- never repeated: runs had all the text in the world, the target reads scarce sources again; R is
  not known then, and the published one is taken ("repetition: 15").

Error is that of the objective's metrics on 200 new mixtures as the target reads them, of their
spread; lost is the share of the way from the prior to the best mixture that the proposal misses.
Both are of the noise-free truth. Writes `repetition.json` here after each seed.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.constraints import Limits, no_limits
from dataselect.mixture.design import design
from dataselect.mixture.laws import PUBLISHED_REPETITION
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.repetition import repetition_of
from dataselect.mixture.swarm import Swarm

Array = NDArray[np.float64]
HERE = Path(__file__).parent
COMMAND = "python benchmarks/mixture/repetition.py"
METRICS, MOST_EPOCHS, NOISE = 6, 20.0, 0.1
SOURCES, RUNS, SEEDS = 6, 30, 6
DTYPES = ("same", "two lengths of text", "never repeated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    seeds = parser.parse_args().seeds
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in DTYPES}
    for seed in range(seeds):
        for kind in DTYPES:
            rows[kind].append(study(kind, SOURCES, RUNS, seed))
            print(seed, kind, json.dumps(rows[kind][-1]), flush=True)
        found = {
            "command": COMMAND,
            "sources": SOURCES,
            "runs": RUNS,
            "seeds": seed + 1,
            "swarms": {
                kind: {key: summary([row[key] for row in each]) for key in each[0]}
                for kind, each in rows.items()
            },
        }
        (HERE / "repetition.json").write_text(json.dumps(found, indent=1) + "\n")


def study(kind: str, sources: int, runs: int, seed: int) -> dict[str, float]:
    """Errors and losses of one swarm, by what the model knows."""
    rng = np.random.default_rng([seed, sources])
    # Sources of very different size; the scarcest would be read 80 times at a weight of 1.
    target = rng.permutation(np.geomspace(0.2, 80, sources))
    caps = np.minimum(1, MOST_EPOCHS / target)
    prior = np.minimum(1, target**-0.5)
    limits = within(no_limits([f"s{i}" for i in range(sources)]), caps, prior)
    truth = Truth.drawn(rng, sources)
    weights = limits.feasible.project(design(limits_prior(limits), runs, seed))
    rates = np.tile(target, (runs, 1))
    if kind == "two lengths of text":
        rates[::2] /= 4
    if kind == "never repeated":
        rates[:] = 0
    clean = truth.costs(weights, rates)
    spread = clean.std(axis=0)
    noisy = clean + NOISE * spread * rng.standard_normal(clean.shape)
    swarm = Swarm(
        tuple(f"r{i}" for i in range(runs)),
        tuple(f"s{i}" for i in range(sources)),
        tuple(f"m{k}" for k in range(METRICS)),
        weights,
        noisy,
    )
    even = Objective(np.full(METRICS, 1 / METRICS), False)
    blind = fit_model(swarm, even, True, 0)
    models = {"blind": blind}
    if kind == "never repeated":
        models["aware"] = moved(blind, target, PUBLISHED_REPETITION)
    else:
        known = fit_model(replace(swarm, rates=rates), even, True, 0)
        models["aware"] = moved(known, target, None)
    new = limits.feasible.project(design(limits_prior(limits), 200, seed + 1000))
    true = truth.costs(new, target)
    best = truth.best(limits, target, rng)
    found: dict[str, float] = {}
    for name, model in models.items():
        errors = np.sqrt(((model.stack.predict(new) - true) ** 2).mean(axis=0)) / true.std(axis=0)
        proposed = best_mixture(model, limits, 0)
        cost, least, start = (
            float(truth.costs(w[None], target).mean())
            for w in (proposed, best, limits_prior(limits))
        )
        measured = model.predict(new, 0.9)
        noise = NOISE * spread * np.random.default_rng(seed).standard_normal(true.shape)
        found[f"{name}_error"] = float(errors.mean())
        found[f"{name}_lost"] = (cost - least) / (start - least)
        found[f"{name}_covered"] = float(
            (np.abs(measured.metrics - true - noise) <= measured.metrics_half).mean()
        )
    law = models["aware"].stack.repeated
    if law is not None:
        away = np.abs(np.log(repetition_of(law) / truth.repetition))
        found["repetition_off_by"] = float(np.exp(np.median(away)))
        names = list(models["aware"].stack.whole)
        shares = models["aware"].stack.stacking_weights.mean(axis=1)
        aware = [i for i, each in enumerate(names) if each.startswith("repeated")]
        found["share_of_aware"] = float(shares[aware].sum())
    found["most_epochs"] = float((rates * weights).max())
    return found


class Truth:
    """Known costs of mixtures at known rates."""

    def __init__(self, worth: Array, beta: Array, repetition: Array) -> None:
        self.worth, self.beta, self.repetition = worth, beta, repetition

    @staticmethod
    def drawn(rng: np.random.Generator, sources: int) -> "Truth":
        """Sources differ in worth, for all metrics and for each."""
        worth = np.exp(rng.normal(0, 1.0, sources) + rng.normal(0, 1.0, (METRICS, sources)))
        swarm = rng.uniform(np.log(5), np.log(45))
        repetition = np.exp(swarm + 0.2 * rng.standard_normal(METRICS))
        return Truth(worth, rng.uniform(0.5, 0.9, METRICS), repetition)

    def costs(self, weights: Array, rates: Array) -> Array:
        """Without noise, (mixtures, metrics)."""
        rates = np.broadcast_to(rates, weights.shape)
        found = []
        for worth, beta, repetition in zip(self.worth, self.beta, self.repetition, strict=True):
            again = np.maximum(rates * weights - 1, 0)
            new = repetition * (1 - np.exp(-again / repetition))
            counted = np.where(again > 0, (1 + new) / np.maximum(rates, 1e-9), weights)
            found.append(3 * (0.1 + counted**beta @ worth) ** -0.4)
        return np.array(found).T

    def best(self, limits: Limits, rates: Array, rng: np.random.Generator) -> Array:
        """The best mixture within the limits, by a random search."""
        sources = len(rates)
        draws = [rng.dirichlet(np.full(sources, a), 3_000) for a in (0.1, 0.3, 1.0)]
        points = limits.feasible.project(np.vstack([*draws, np.eye(sources)]))
        best: Array = points[self.costs(points, rates).mean(axis=1).argmin()]
        for step in np.geomspace(0.5, 0.005, 80):
            tried = best * np.exp(step * rng.standard_normal((400, sources)))
            tried = limits.feasible.project(tried / tried.sum(axis=1, keepdims=True))
            tried = np.vstack([best, tried])
            best = tried[self.costs(tried, rates).mean(axis=1).argmin()]
        return best


def within(limits: Limits, caps: Array, prior: Array) -> Limits:
    feasible = replace(limits.feasible, upper=caps)
    middle = feasible.project(prior / prior.sum())[0]
    return replace(limits, feasible=replace(feasible, prior=middle), prior=middle)


def limits_prior(limits: Limits) -> Array:
    assert limits.prior is not None, "given above"
    return limits.prior


def moved(model: MixtureModel, rates: Array, repetition: float | None) -> MixtureModel:
    """The model predicting at the target's epochs."""
    return replace(model, stack=model.stack.at_rates(rates, repetition))


def summary(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "lowest": round(float(np.min(values)), 4),
        "highest": round(float(np.max(values)), 4),
    }


if __name__ == "__main__":
    main()
