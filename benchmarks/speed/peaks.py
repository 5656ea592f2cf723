"""Peaks of memory: commands and jobs in this build, in an earlier one and in the peer of each.

    git worktree add BEFORE bf6979b
    python benchmarks/speed/peaks.py --before BEFORE

Every job is a whole process of one thread with the libraries that it loads, and the figure is the
most memory that it or one of its children had (`ru_maxrss` of the process alone). Inputs are those
of `blas_threads.py`, `training_small.py` and `answers.py`, whose docstrings say what they are.
Needs accelerate and numba in the environment. Results go to `peaks.json` beside this file; the
peaks of `mix fit` on wide swarms are in `mix_fit.json`, those of baselines in `baselines.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from blas_threads import COMMANDS, write_tables
from mix_fit import OPTIONS_OF_BEFORE

HERE = Path(__file__).parent
ROWS = 32
MODEL = (192, 50_304)
"""Hidden size and vocabulary of the model that writes answers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(*given.train)
        return
    builds = {"before": given.before.resolve(), "now": HERE.parents[1]}
    peaks: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        for build, place in builds.items():
            folder = Path(name) / build
            folder.mkdir()
            write_tables(folder)
            for command, line in COMMANDS.items():
                options = OPTIONS_OF_BEFORE if build == "before" and "mix" in command else {}
                words = [options.get(word, word) for word in line.split()]
                call = ["-m", "dataselect", *words]
                peaks.setdefault(command, {})[build] = peak(call, folder, place)
        rows = Path(name) / "rows.npy"
        for load, loop, build in training():
            save_tokens(load, rows)
            place = builds["before" if build == "before" else "now"]
            script = "training_small.py" if build == "before" else "peaks.py"
            call = [str(HERE / script), "--before", str(given.before.resolve())]
            call += ["--alone", f"{load}|{rows}"] if build == "before" else []
            call += [] if build == "before" else ["--train", load, loop, str(rows)]
            peaks.setdefault(f"training, {load}", {})[build] = peak(call, Path(name), place)
        answers = [str(HERE / "answers.py"), "--alone", ",".join(map(str, (*MODEL, ROWS)))]
        peaks[f"written answers, {ROWS} rows"] = {
            build: peak(answers, Path(name), place) for build, place in builds.items()
        }
    found = {
        "command": "python benchmarks/speed/peaks.py --before BEFORE",
        "versions": {name: version(name) for name in ("torch", "transformers", "numba", "pandas")},
        "peak_mib": peaks,
    }
    (HERE / "peaks.json").write_text(json.dumps(found, indent=1) + "\n")
    for job, each in peaks.items():
        print(f"{job:40} {each}")


def training() -> list[tuple[str, str, str]]:
    """Names of loads, of loops, and of what they stand for in the results."""
    from training_small import LOADS

    loops = [("before", "before"), ("HF Trainer", "HF Trainer"), ("fused", "now")]
    return [(load.name, loop, build) for load in LOADS for loop, build in loops]


def save_tokens(name: str, rows: Path) -> None:
    """The tokens of a load of `training_small.py`."""
    from recipes import random_tokens
    from training_small import LOADS, SEED

    (load,) = (each for each in LOADS if each.name == name)
    np.save(rows, random_tokens(load.recipe, SEED))


def train(name: str, loop: str, rows: str) -> None:
    """Train a load once, in this process."""
    from training_loops import Task, run
    from training_small import LOADS

    (load,) = (each for each in LOADS if each.name == name)
    recipe = replace(load.recipe, kernels="fused" if loop == "fused" else "torch")
    run(Task("dataselect" if loop == "fused" else loop, recipe, Path(rows)))


def peak(call: list[str], folder: Path, build: Path) -> int:
    """MiB of a process of Python with the package of a build."""
    settings = {"PYTHONPATH": str(build), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *call],
        cwd=folder,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
    ) as started:
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        raise RuntimeError(f"{call} failed")
    return round(used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
