"""CPU seconds of the commands that compute with NumPy: as they are, with one thread, with all.

    python benchmarks/speed/blas_threads.py [--repeats 3]

The tables are made here: a swarm of 48 runs over 6 sources with 2 metrics, 10 datasets of 4
checkpoints, 12 candidates with 3 seeds. *All cores* is what BLAS takes when nobody says otherwise,
and what the commands took before threads were settled. The three are interleaved. Results go to
`blas_threads.json`.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import process_seconds, spread

HERE = Path(__file__).parent
WAYS = {
    "as it is": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "all cores": {"OPENBLAS_NUM_THREADS": str(os.cpu_count())},
}
COMMANDS = {
    "mix fit": "mix fit --ratios ratios.csv --metrics metrics.csv --lower-is-better --out mix.json",
    "mix propose": "mix propose --with mix.json",
    "fit": "fit pairs.csv --lower-is-better --out transfer.json",
    "predict": "predict --with transfer.json scores.csv",
    "agree": "agree proxies.csv targets.csv --lower-is-better",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    os.environ.clear()
    os.environ.update(kept)
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(folder)
        for command, line in COMMANDS.items():
            seconds = found.setdefault(command, {way: [] for way in WAYS})
            for _ in range(given.repeats):
                for way, extra in WAYS.items():
                    call = [sys.executable, "-m", "dataselect", *line.split()]
                    seconds[way].append(process_seconds(call, folder, extra)[1])
            print(
                command, {way: spread(each)["median"] for way, each in seconds.items()}, flush=True
            )
    rows = {
        command: {
            "cpu_seconds": {way: spread(each) for way, each in seconds.items()},
            "to_one_thread": {
                way: spread(np.divide(each, seconds["one thread"]))
                for way, each in seconds.items()
                if way != "one thread"
            },
        }
        for command, seconds in found.items()
    }
    result = {
        "command": "python benchmarks/speed/blas_threads.py",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "numpy": np.__version__,
        "commands": rows,
    }
    (HERE / "blas_threads.json").write_text(json.dumps(result, indent=1) + "\n")


def write_tables(folder: Path) -> None:
    """The inputs of all commands."""
    rng = np.random.default_rng(0)
    runs, sources = 48, 6
    weights = rng.dirichlet(np.ones(sources), runs)
    worth = rng.uniform(0.2, 3, (2, sources))
    losses = 2 + 3 * np.exp(-(weights @ worth.T)) + rng.normal(0, 0.01, (runs, 2))
    write(folder / "ratios.csv", weights, [f"source{i}" for i in range(sources)])
    write(folder / "metrics.csv", losses, ["loss_a", "loss_b"])
    quality = rng.uniform(0, 1, 22)
    pairs = [
        {"benchmark": "made", "group": f"set{i}", "tokens": t * 1e9, "metric": x, "accuracy": y}
        for i in range(10)
        for t in range(1, 5)
        for x in [2 - 0.5 * quality[i] - 0.1 * t + rng.normal(0, 0.01)]
        for y in [1 / (1 + np.exp(6 * (x - 1.4)))]
    ]
    pd.DataFrame(pairs).to_csv(folder / "pairs.csv", index=False)
    names = [f"set{i}" for i in range(10, 22)]
    seeds = pd.DataFrame(
        {"id": name, "seed": seed, "made": 1.6 - 0.5 * q + rng.normal(0, 0.02)}
        for name, q in zip(names, quality[10:], strict=True)
        for seed in range(3)
    )
    seeds.to_csv(folder / "scores.csv", index=False)
    seeds.to_csv(folder / "proxies.csv", index=False)
    targets = pd.DataFrame({"id": names, "accuracy": quality[10:]})
    targets.to_csv(folder / "targets.csv", index=False)


def write(path: Path, values: np.ndarray, columns: list[str]) -> None:
    pd.DataFrame(values, columns=columns).rename_axis("run").reset_index().to_csv(path, index=False)


if __name__ == "__main__":
    main()
