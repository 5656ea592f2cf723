"""Mixture models on a public swarm and on made-up ones whose truth is known.

    python benchmarks/mixture/study.py --data FOLDER [--part ranking coverage truths]

FOLDER holds RegMix's swarm (sail-sg/regmix): `regmix_train_*_1m.csv`, 512 mixtures of 17 Pile
domains at 1M parameters, and `regmix_test_*_60m.csv`, 256 other mixtures at 60M.

- ranking: models fitted to 32, 64, 128 of the 512 runs (8 subsets each) and to all of them rank the
  256 mixtures; beside LightGBM where it is installed, a linear model and each surrogate alone.
- coverage: share of runs that were left out inside 90% intervals.
- truths: swarms of 3 to 30 sources drawn from known functions with noise; how far the proposal is
  from the best mixture there is, beside the best run.

Nothing is chosen by what is reported: shares of surrogates come from cross-validation inside the
runs fitted to. Results go to `results.json` beside this file.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dataselect.mixture.constraints import no_limits
from dataselect.mixture.design import design
from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import best_mixture
from dataselect.mixture.swarm import Swarm

Array = NDArray[np.float64]
HERE = Path(__file__).parent
SIZES = {32: 8, 64: 8, 128: 8, 512: 1}
PILE_CC = "metric/the_pile_pile_cc_val_loss"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", nargs="*", default=["ranking", "coverage", "truths"])
    given = parser.parse_args()
    file = HERE / "results.json"
    parts: dict[str, Callable[[Path], Any]] = {
        "ranking": ranking,
        "coverage": coverage,
        "truths": lambda _: truths(),
    }
    for part in given.part:
        began = time.process_time()
        found = parts[part](given.data)
        results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        results["command"] = "python benchmarks/mixture/study.py --data FOLDER"
        results["versions"] = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }
        results[part] = found | {"cpu_seconds": round(time.process_time() - began)}
        file.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(found, indent=1))


def read(data: Path, which: str) -> tuple[list[str], list[str], Array, Array]:
    weights = pd.read_csv(data / f"regmix_{which.replace('_', '_mixture_')}.csv").set_index("index")
    losses = pd.read_csv(data / f"regmix_{which.replace('_', '_loss_')}.csv").set_index("index")
    losses = losses.loc[weights.index]
    shares = weights.to_numpy()
    shares = shares / shares.sum(axis=1, keepdims=True)
    return list(weights.columns), list(losses.columns), shares, losses.to_numpy()


def fit(sources: list[str], metrics: list[str], weights: Array, losses: Array) -> MixtureModel:
    runs = tuple(map(str, range(len(weights))))
    swarm = Swarm(runs, tuple(sources), tuple(metrics), weights, losses)
    even = Objective(np.full(len(metrics), 1 / len(metrics)), False)
    return fit_model(swarm, even, True, 0)


def subset(size: int, seed: int, runs: int = 512) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(runs)[:size]


def ranking(data: Path) -> dict[str, Any]:
    sources, metrics, weights, losses = read(data, "train_1m")
    _, _, new_weights, new_losses = read(data, "test_60m")
    cc = metrics.index(PILE_CC)

    def judge(predicted: Array) -> dict[str, float]:
        mean, true = predicted.mean(axis=1), new_losses.mean(axis=1)
        each = [spearmanr(p, t).statistic for p, t in zip(predicted.T, new_losses.T, strict=True)]
        return {
            "mean_of_domains": 100 * spearmanr(mean, true).statistic,
            "regret": float(true[mean.argmin()] - true.min()),
            "pile_cc": 100 * each[cc],
            "domain_average": 100 * float(np.mean(each)),
        }

    found: dict[str, Any] = {}
    for size, repeats in SIZES.items():
        rows: dict[str, list[dict[str, float]]] = {}
        for seed in range(repeats):
            some = subset(size, seed)
            began = time.process_time()
            model = fit(sources, metrics, weights[some], losses[some])
            seconds = time.process_time() - began
            rows.setdefault("average", []).append(
                judge(model.stack.predict(new_weights)) | {"seconds": seconds}
            )
            for name, each in model.stack.whole.items():
                rows.setdefault(name, []).append(judge(each.predict(new_weights)))
            for name, predicted in boosted(weights[some], losses[some], new_weights).items():
                rows.setdefault(name, []).append(judge(predicted))
            print(size, seed, rows["average"][-1], file=sys.stderr, flush=True)
        found[str(size)] = {
            name: {key: summary([row[key] for row in of_one]) for key in of_one[0]}
            for name, of_one in rows.items()
        }
    own = -new_weights[:, sources.index("train_the_pile_pile_cc")]
    found["single_share_pile_cc"] = 100 * spearmanr(own, new_losses[:, cc]).statistic
    return found


def boosted(weights: Array, losses: Array, at: Array) -> dict[str, Array]:
    """LightGBM with the settings of RegMix's release: one model per domain, one of the mean."""
    try:
        import lightgbm
    except ImportError:
        return {}
    settings = {
        "objective": "regression",
        "learning_rate": 0.01,
        "num_threads": 1,
        "seed": 42,
        "verbosity": -1,
    }

    def predict(target: Array) -> Array:
        data = lightgbm.Dataset(weights, target)
        return np.asarray(lightgbm.train(settings, data, num_boost_round=1000).predict(at))

    return {
        "LightGBM per domain": np.stack([predict(loss) for loss in losses.T], axis=1),
        "LightGBM on the mean": predict(losses.mean(axis=1))[:, None] + np.zeros(losses.shape[1]),
    }


def coverage(data: Path) -> dict[str, Any]:
    sources, metrics, weights, losses = read(data, "train_1m")
    found: dict[str, Any] = {}
    for size in (24, 32, 64, 128, 256):
        rows = []
        for seed in range(8 if size <= 64 else 4):
            some = subset(size, 100 + seed)
            rest = np.setdiff1d(np.arange(len(weights)), some)
            model = fit(sources, metrics, weights[some], losses[some])
            at = model.predict(weights[rest], 0.9)
            inside = np.abs(losses[rest] - at.metrics) <= at.metrics_half
            true = losses[rest].mean(axis=1)
            a, b = (
                np.random.default_rng(seed)
                .permutation(len(rest))[: 2 * (len(rest) // 2)]
                .reshape(2, -1)
            )
            gain = (at.objective[a] - at.objective[b]) - (true[a] - true[b])
            reach = np.hypot(at.objective_half[a], at.objective_half[b])
            rows.append(
                {
                    "metrics": inside.mean(),
                    "lowest_metric": inside.mean(axis=0).min(),
                    "objective": (np.abs(true - at.objective) <= at.objective_half).mean(),
                    "differences": (np.abs(gain) <= reach).mean(),
                    "objective_width": 2 * at.objective_half.mean(),
                }
            )
            print(size, seed, rows[-1], file=sys.stderr, flush=True)
        found[str(size)] = {key: summary([float(r[key]) for r in rows]) for key in rows[0]}
    return found


def truths() -> dict[str, Any]:
    """Known functions: what is proposed against the best there is, in the noise-free objective."""
    found: dict[str, Any] = {}
    for kind in ("data law", "linear", "interactions", "accuracy"):
        for sources, runs in ((3, 16), (8, 40), (16, 48), (30, 60)):
            rows = []
            for seed in range(5):
                rows.append(truth(kind, sources, runs, seed))
            name = f"{kind}, {sources} sources, {runs} runs"
            found[name] = {key: summary([r[key] for r in rows]) for key in rows[0]}
            print(name, found[name], file=sys.stderr, flush=True)
    return found


def truth(kind: str, sources: int, runs: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    metrics = 6
    worth = np.exp(rng.normal(0, 1.5, (metrics, sources)))
    slopes = rng.normal(0, 1, (metrics, sources))
    pairs = rng.integers(sources, size=(metrics, 2, 3))

    def costs(weights: Array) -> Array:
        if kind == "linear":
            return weights @ slopes.T
        data = 0.1 + (weights**0.6) @ worth.T
        cost = 3 * data**-0.4
        if kind == "interactions":
            for k in range(metrics):
                for i, j in pairs[k].T:
                    cost[:, k] -= 0.6 * np.sqrt(weights[:, i] * weights[:, j])
        if kind == "accuracy":
            return -1 / (1 + np.exp(3 * (cost - np.median(3 * worth.mean(axis=1) ** -0.4))))
        return cost

    prior = rng.dirichlet(np.ones(sources))
    weights = design(prior, runs, seed)
    clean = costs(weights)
    spread = clean.std(axis=0)
    noisy = clean + 0.1 * spread * rng.standard_normal(clean.shape)
    names = [f"s{i}" for i in range(sources)]
    model = fit(names, [f"m{k}" for k in range(metrics)], weights, noisy)
    limits = no_limits(names)
    proposed = best_mixture(model, limits, 0)
    bold = best_mixture(model, limits, 0, caution=0.0)
    draws = np.vstack(
        [rng.dirichlet(np.full(sources, a), 20_000) for a in (0.1, 0.3, 1.0)]
        + [np.eye(sources), prior[None], proposed[None]]
    )
    best = draws[costs(draws).mean(axis=1).argmin()]
    for step in np.geomspace(0.5, 0.01, 60):
        tried = best * np.exp(step * rng.standard_normal((400, sources)))
        tried /= tried.sum(axis=1, keepdims=True)
        tried = np.vstack([best, tried])
        best = tried[costs(tried).mean(axis=1).argmin()]

    def lost(mixture: Array) -> float:
        """Share of the way from the prior to the best that is missed."""
        value, ideal, start = (costs(w[None]).mean() for w in (mixture, best, prior))
        return float((value - ideal) / (start - ideal))

    new = design(prior, 200, seed + 1000)
    at = model.predict(new, 0.9)
    measured = costs(new) + 0.1 * spread * rng.standard_normal((len(new), metrics))
    predicted = model.predict(np.vstack([proposed, prior]), 0.9)
    gain = predicted.objective[1] - predicted.objective[0]
    true_gain = costs(prior[None]).mean() - costs(proposed[None]).mean()
    return {
        "proposal_lost": lost(proposed),
        "proposal_lost_without_caution": lost(bold),
        "best_run_lost": lost(weights[noisy.mean(axis=1).argmin()]),
        "coverage": float((np.abs(measured - at.metrics) <= at.metrics_half).mean()),
        "gain_covered": float(abs(gain - true_gain) <= np.hypot(*predicted.objective_half)),
        "gain_overstated": float((gain - true_gain) / true_gain) if true_gain > 0 else 0.0,
        "objective_spearman": float(spearmanr(at.objective, costs(new).mean(axis=1)).statistic),
    }


def summary(values: list[float]) -> dict[str, float | None]:
    """None where there is nothing to rank by, as when every prediction is the same."""
    if not np.isfinite(values).all():
        return {"mean": None, "lowest": None, "highest": None}
    return {
        "mean": round(float(np.mean(values)), 4),
        "lowest": round(float(np.min(values)), 4),
        "highest": round(float(np.max(values)), 4),
    }


if __name__ == "__main__":
    main()
