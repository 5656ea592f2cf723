"""`mix fit` and `mix propose` on swarms of many sources: an earlier build beside this one.

    git worktree add FOLDER bf6979b
    python benchmarks/speed/mix_fit.py --before FOLDER [--repeats 1] [--sizes 256x62x20 256x62x110]
        [--command "mix propose"]

A size is runs × sources × metrics. Swarms are made here: two thirds of shares are 0, and metrics
follow effective-data laws of their own with noise of 0.35 standard deviations. Builds run in turn,
each command as a process with one thread; CPU seconds and the peak of memory are the process's.
The error is the root mean square on held-out runs divided by the metric's spread, the mean over
metrics; builds that compute the same agree in it. Results go to `mix_fit.json`.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from measuring import process_seconds, spread

HERE = Path(__file__).parent
RUN = (
    "import resource, runpy, sys\n"
    "sys.argv = ['dataselect', *sys.argv[1:]]\n"
    "try:\n"
    "    runpy.run_module('dataselect', run_name='__main__')\n"
    "finally:\n"
    "    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "    open('peak', 'w').write(str(used / 1024))\n"
)
COMMANDS = {
    "mix fit": "mix fit --ratios ratios.csv --metrics metrics.csv --lower-is-better --out mix.json",
    "mix propose": "mix propose --with mix.json",
}
OPTIONS_OF_BEFORE = {"--out": "--json", "--with": "--model"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, help="Checkout of the earlier build.")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sizes", nargs="*", default=["256x62x20"])
    parser.add_argument("--command", default="mix fit", choices=list(COMMANDS))
    given = parser.parse_args()
    builds = {"now": HERE.parents[1]}
    if given.before:
        builds = {"before": given.before.resolve(), **builds}
    # A proposal needs a fit.
    commands = list(COMMANDS)[: list(COMMANDS).index(given.command) + 1]
    file = HERE / "mix_fit.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"sizes": {}}
    result |= {
        "command": "python benchmarks/speed/mix_fit.py --before FOLDER --sizes SIZE",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    for size in given.sizes:
        result["sizes"].setdefault(size, {}).update(measure(builds, size, commands, given.repeats))
        file.write_text(json.dumps(result, indent=1) + "\n")


def measure(
    builds: dict[str, Path], size: str, commands: list[str], repeats: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {build: Path(name) / build for build in builds}
        for folder in folders.values():
            folder.mkdir()
            write_swarm(folder, *map(int, size.split("x")))
        for command in commands:
            seconds, peaks = {}, {}
            for _ in range(repeats):
                for build, folder in folders.items():
                    extra = {"PYTHONPATH": str(builds[build]), "OMP_NUM_THREADS": "1"}
                    line = COMMANDS[command]
                    for option, old in OPTIONS_OF_BEFORE.items() if build == "before" else ():
                        line = line.replace(option, old)
                    call = [sys.executable, "-c", RUN, *line.split()]
                    seconds.setdefault(build, []).append(process_seconds(call, folder, extra)[1])
                    peaks[build] = round(float((folder / "peak").read_text()))
                    print(size, command, build, seconds[build][-1], peaks[build], flush=True)
            found[command] = {
                build: {"cpu_seconds": spread(each), "peak_mib": peaks[build]}
                for build, each in seconds.items()
            }
            if len(builds) > 1:
                ratios = np.divide(seconds["before"], seconds["now"])
                found[command]["before / now"] = spread(ratios)
        for build, folder in folders.items():
            errors = json.loads((folder / "mix.json").read_text())["relative_errors"]["average"]
            found.setdefault("error", {})[build] = float(f"{np.mean(list(errors.values())):.9f}")
    print(found)
    return found


def write_swarm(folder: Path, runs: int, sources: int, metrics: int) -> None:
    """`ratios.csv` and `metrics.csv`."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(rng.dirichlet(np.ones(sources)) * sources * 0.15, runs)
    shares[shares < 2e-3] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    common = rng.normal(0, 1, sources)
    worth = np.exp(0.8 * common + 0.6 * rng.normal(0, 1, (metrics, sources)))
    beta = np.exp(rng.normal(np.log(0.6), 0.15, metrics))
    alpha = np.exp(rng.normal(np.log(0.4), 0.2, metrics))
    data = np.stack([0.1 + shares**b @ t for b, t in zip(beta, worth, strict=True)], axis=1)
    losses = 2 + data**-alpha
    losses += rng.normal(0, 0.35, losses.shape) * losses.std(axis=0)
    names = [f"source{i}" for i in range(sources)]
    write(folder / "ratios.csv", shares, names)
    write(folder / "metrics.csv", losses, [f"loss{i}" for i in range(metrics)])


def write(path: Path, values: np.ndarray, columns: list[str]) -> None:
    pd.DataFrame(values, columns=columns).rename_axis("run").reset_index().to_csv(path, index=False)


if __name__ == "__main__":
    main()
