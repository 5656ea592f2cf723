"""`mix fit` on other tables than `mix_fit.py`: errors and CPU seconds of an earlier build and this.

    git worktree add FOLDER bf6979b
    python benchmarks/speed/mix_fit_tables.py --before FOLDER --data RESULTS [--tables NAME ...]

RESULTS holds RegMix's runs, as for `benchmarks/mixture/study.py`; subsets of the 512 are fitted,
and the others predicted. The made-up tables follow a data law, the exponential law, or functions
with interactions in which few sources matter to a metric; 400 other mixtures are predicted, whose
true metrics have no noise. Reported: the held-out error that the fit finds for itself; true: the
error of its predictions of the other mixtures. Both are root mean squares divided by the spread
over the same mixtures, the mean over metrics. Builds run in turn, a process each with one thread;
CPU seconds are of the fit alone. Results go to `mix_fit_tables.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Table = tuple[Array, Array, Array, Array]
"""Shares and metrics of runs, shares and metrics of other mixtures."""

HERE = Path(__file__).parent
NOISE, OTHERS = 0.15, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, help="Checkout of the earlier build.")
    parser.add_argument("--data", type=Path, required=True, help="Folder of RegMix's runs.")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(TABLES[given.one](given.data))))
        return
    builds = {"now": HERE.parents[1]}
    if given.before:
        builds = {"before": given.before.resolve(), **builds}
    file = HERE / "mix_fit_tables.json"
    result = json.loads(file.read_text()) if file.exists() else {}
    result["command"] = "python benchmarks/speed/mix_fit_tables.py --before FOLDER --data RESULTS"
    result.setdefault("tables", {})
    for name in given.tables:
        for build, folder in builds.items():
            call = [sys.executable, __file__, "--data", str(given.data.resolve()), "--one", name]
            environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
            ran = subprocess.run(call, env=environment, check=True, capture_output=True, text=True)
            found = json.loads(ran.stdout)
            result["tables"].setdefault(name, {})[build] = found
            print(name, build, found, flush=True)
        file.write_text(json.dumps(result, indent=1) + "\n")


def measure(table: Table) -> dict[str, float]:
    """Errors and CPU seconds of the build that is imported."""
    from dataselect.mixture.stack import errors_of, fit_stack
    from dataselect.mixture.surrogates import surrogates

    shares, metrics, other, true = table
    began = time.process_time()
    stack = fit_stack(shares, metrics, surrogates(0), 0)
    seconds = time.process_time() - began
    _, reported = errors_of(stack, metrics)
    away = np.sqrt(((stack.predict(other) - true) ** 2).mean(axis=0))
    return {
        "cpu_seconds": round(seconds, 1),
        "reported": round(float((reported / metrics.std(axis=0)).mean()), 5),
        "true": round(float((away / true.std(axis=0)).mean()), 5),
    }


def regmix(runs: int, seed: int) -> Callable[[Path], Table]:
    def table(data: Path) -> Table:
        weights = pd.read_csv(data / "regmix_train_mixture_1m.csv").set_index("index")
        losses = pd.read_csv(data / "regmix_train_loss_1m.csv").set_index("index")
        shares, metrics = weights.to_numpy(), losses.loc[weights.index].to_numpy()
        shares = shares / shares.sum(axis=1, keepdims=True)
        order = np.random.default_rng(seed).permutation(len(shares))
        some, rest = order[:runs], order[runs:]
        return shares[some], metrics[some], shares[rest], metrics[rest]

    return table


def made(kind: str, runs: int, sources: int, metrics: int) -> Callable[[Path], Table]:
    def table(_: Path) -> Table:
        rng = np.random.default_rng(7)
        shares = rng.dirichlet(np.full(sources, 0.4), runs + OTHERS)
        shares[shares < 2e-3] = 0
        shares /= shares.sum(axis=1, keepdims=True)
        true = np.stack([TRUTHS[kind](shares, rng) for _ in range(metrics)], axis=1)
        spread = true[:runs].std(axis=0)
        noisy = true[:runs] + NOISE * spread * rng.standard_normal((runs, metrics))
        return shares[:runs], noisy, shares[runs:], true[runs:]

    return table


def data_law(shares: Array, rng: np.random.Generator) -> Array:
    cost: Array = (0.1 + shares**0.6 @ np.exp(rng.normal(0, 1, shares.shape[1]))) ** -0.4
    return cost


def exponential(shares: Array, rng: np.random.Generator) -> Array:
    cost: Array = np.exp(shares @ rng.normal(0, 1.5, shares.shape[1]))
    return cost


def interactions(shares: Array, rng: np.random.Generator) -> Array:
    sources = shares.shape[1]
    alone = rng.normal(0, 1, sources) * (rng.random(sources) < 0.3)
    left, right = rng.integers(0, sources, (2, 8))
    together = np.sqrt(shares[:, left] * shares[:, right]) @ rng.normal(0, 3, 8)
    cost: Array = np.sqrt(shares) @ alone + together + np.tanh(4 * shares @ alone)
    return cost


TRUTHS = {"data law": data_law, "exponential": exponential, "interactions": interactions}
TABLES: dict[str, Callable[[Path], Table]] = {
    **{f"RegMix, {n} runs, seed {k}": regmix(n, k) for n in (32, 64, 128) for k in (0, 1, 2)},
    "RegMix, 256 runs, seed 0": regmix(256, 0),
    **{
        f"{kind}, {runs}x{sources}x{metrics}": made(kind, runs, sources, metrics)
        for kind in TRUTHS
        for runs, sources, metrics in ((48, 16, 4), (96, 24, 8), (256, 40, 8))
    },
}


if __name__ == "__main__":
    main()
