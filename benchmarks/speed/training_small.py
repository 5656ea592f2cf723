"""The fused step of small models against transformers' Trainer and an earlier build of ours.

    python benchmarks/speed/training_small.py --before CHECKOUT [--runs 3] [--only NAME]

Needs accelerate and numba in the environment; CHECKOUT is a folder with the earlier build. The two
shapes of the quickstart's stages with its sequences and batches, a model of 0.9M, and the ladder's
4M with a vocabulary of 4,096, in fp32. Tokens are drawn at random, so nothing is downloaded. Every
loop gets a process of its own with one thread, and the loops take turns; the figures are CPU
seconds of the steps alone. Before that the compiled step is made ready in an empty folder, and once
more from that folder: what first use costs, and every later one. Results go to
`training_small.json` beside this file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from measuring import spread
from recipes import benchmark_recipe, flops_per_token, random_tokens
from training_loops import Outcome, Task, matmul_rate, one_process_each, run

from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe

HERE = Path(__file__).parent
SEED = 0


@dataclass(frozen=True)
class Load:
    """A model and its batches; `steps` are as many as the slowest loop takes some seconds for."""

    name: str
    shape: Shape
    vocabulary: int
    batch: int
    length: int
    steps: int

    @property
    def recipe(self) -> Recipe:
        return benchmark_recipe(
            self.shape,
            self.vocabulary,
            rate=3e-3,
            steps=self.steps,
            batch_size=self.batch,
            sequence_length=self.length,
            seed=SEED,
        )


LOADS = (
    Load("quickstart, Stage 1 (148K)", Shape(64, 2, 2, 2, 128), 1024, 8, 128, 200),
    Load("quickstart, Stage 2 (189K)", Shape(64, 3, 2, 2, 128), 1024, 8, 128, 100),
    Load("0.9M", Shape(128, 4, 4, 4, 256), 2048, 8, 128, 20),
    Load("4M, vocabulary 4,096", Shape(64, 8, 8, 8, 256), 4096, 2, 2048, 2),
)
BEFORE, TORCH, FUSED = "before", "dataselect, kernels: torch", "dataselect, kernels: fused"
CONTENDERS = ("HF Trainer", "plain loop", BEFORE, TORCH, FUSED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="the beginning of a load's name")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--ready", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ready:
        print(_ready())
        return
    if arguments.alone:
        name, rows = arguments.alone.split("|")
        (load,) = (each for each in LOADS if each.name == name)
        outcome = run(Task("dataselect", load.recipe, Path(rows)))
        print(json.dumps({"seconds": outcome.cpu_seconds, "losses": outcome.losses}))
        return
    # Not in a build of before.
    from dataselect.compute.machine import processor_name

    facts = {
        "command": "python benchmarks/speed/training_small.py --before CHECKOUT",
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "before": _commit(arguments.before),
            **{name: __import__(name).__version__ for name in ("accelerate", "numba")},
        },
        "processor": processor_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "seed": SEED,
        "runs": arguments.runs,
        "ready_cpu_seconds": _ready_twice(),
    }
    print(facts["ready_cpu_seconds"])
    loads = [load for load in LOADS if load.name.startswith(arguments.only)]
    results = []
    with one_process_each() as call:
        for load in loads:
            results.append(_measure(load, arguments.runs, arguments.before, call))
            _print(results[-1])
            text = json.dumps({**facts, "loads": results}, indent=1)
            if not arguments.only:
                (HERE / "training_small.json").write_text(text + "\n", encoding="utf-8")


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _alone(folder: Path, *options: str, **extra: str) -> str:
    """What this script prints with the package of a folder and in an environment of its own."""
    command = [sys.executable, __file__, "--before", str(folder), *options]
    environment = {**os.environ, "PYTHONPATH": str(folder), **extra}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _ready() -> float:
    """CPU seconds until the first fused step is done, without importing torch."""
    import time

    from dataselect.proxies.optimizer import make_optimizer
    from dataselect.proxies.population import stack
    from dataselect.proxies.train import build_model

    recipe = replace(LOADS[0].recipe, kernels="fused")
    parameters = stack([build_model(recipe, None)], torch.device("cpu"))
    began = time.process_time()
    from dataselect.proxies.fused.training_step import FusedStep

    step = FusedStep(recipe, parameters, make_optimizer(parameters, recipe))
    step.add_gradients(random_tokens(recipe, SEED)[:8], 1.0)
    step.update(0)
    return time.process_time() - began


def _ready_twice() -> dict[str, float]:
    here = HERE.parents[1]
    with tempfile.TemporaryDirectory() as folder:
        seconds = [float(_alone(here, "--ready", NUMBA_CACHE_DIR=folder)) for _ in range(2)]
    return dict(zip(("first use", "later"), (round(each, 2) for each in seconds), strict=True))


def _measure(load: Load, runs: int, before: Path, call: Callable[..., Any]) -> dict[str, Any]:
    recipe = load.recipe
    found: dict[str, list[Outcome]] = {name: [] for name in CONTENDERS}
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, random_tokens(recipe, SEED))
        for _ in range(runs):
            peaks.append(call(matmul_rate, "float32"))
            for name in CONTENDERS:
                if name == BEFORE:
                    told = json.loads(_alone(before, "--alone", f"{load.name}|{rows}"))
                    losses = [(step, loss) for step, loss in told["losses"]]
                    outcome = Outcome(told["seconds"], losses, 0.0, 0.0)
                else:
                    kernels = "fused" if name == FUSED else "torch"
                    loop = "dataselect" if name in (TORCH, FUSED) else name
                    outcome = call(run, Task(loop, replace(recipe, kernels=kernels), rows))
                found[name].append(outcome)
    return {
        "load": load.name,
        "parameters": recipe.parameters,
        "steps": recipe.steps,
        "matmul_gflops": spread(peak / 1e9 for peak in peaks),
        "loops": {
            name: {
                "cpu_ms_a_step": spread(1e3 * one.cpu_seconds / recipe.steps for one in each),
                "hf_trainer_is": _ratios(found["HF Trainer"], each),
                "before_is": _ratios(found[BEFORE], each),
                "share_of_matmul": spread(
                    recipe.tokens * flops_per_token(recipe) / one.cpu_seconds / peak
                    for one, peak in zip(each, peaks, strict=True)
                ),
                "difference_of_loss": _apart(each[0], found["plain loop"][0]),
            }
            for name, each in found.items()
        },
    }


def _ratios(base: list[Outcome], other: list[Outcome]) -> dict[str, float]:
    pairs = zip(base, other, strict=True)
    return spread(a.cpu_seconds / b.cpu_seconds for a, b in pairs)


def _apart(outcome: Outcome, plain: Outcome) -> dict[str, float]:
    """Largest relative difference of loss from the plain loop: over a tenth of the steps, all."""
    wanted = plain.losses
    if len(outcome.losses) == 1:
        wanted = [(wanted[-1][0], statistics.mean(loss for _, loss in wanted))]
    pairs = zip(outcome.losses, wanted, strict=True)
    apart = [(step, abs(a - b) / b) for (step, a), (_, b) in pairs]
    last = apart[-1][0]
    early = [difference for step, difference in apart if step <= last / 10]
    return {
        "a tenth": float(f"{max(early, default=0.0):.2g}"),
        "all": float(f"{max(difference for _, difference in apart):.2g}"),
    }


def _print(load: dict[str, Any]) -> None:
    print(f"\n{load['load']}, {load['matmul_gflops']['median']:.0f} GFLOP/s\n")
    print("| loop | CPU ms a step | HF Trainer = 1 | before = 1 | share of peak | loss |")
    print("|---|---|---|---|---|---|")
    for name, row in load["loops"].items():
        cells = [f"{row['cpu_ms_a_step']['median']:.1f}"]
        for key in ("hf_trainer_is", "before_is"):
            one = row[key]
            cells.append(f"**{one['median']:.2f}** [{one['min']:.2f}, {one['max']:.2f}]")
        cells.append(f"{row['share_of_matmul']['median']:.0%}")
        differences = row["difference_of_loss"]
        cells.append(f"{differences['a tenth']:.1e}, {differences['all']:.1e}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
