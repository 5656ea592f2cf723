"""Training against transformers' Trainer and a plain loop: same model, same data, same steps.

    python benchmarks/speed/training.py [--runs 3] [--only NAME]

Needs accelerate in the environment, for the Trainer. Tokens are drawn at random (small ids more
often than large ones), so nothing is downloaded. Every loop gets a process of its own with one
thread, and the loops take turns; the figures are CPU seconds of that process, so other work on the
machine disturbs them little. Results go to `training.json` beside this file.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import accelerate
import numpy as np
import torch
import transformers
from measuring import spread
from recipes import benchmark_recipe, flops_per_token, random_tokens
from training_loops import Outcome, Task, matmul_rate, one_process_each, run

from dataselect.compute.machine import processor_name
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe

HERE = Path(__file__).parent
LENGTH, BATCH, SEED = 2048, 2, 0

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Load:
    """A size of the ladder; `steps` are as many as the slowest loop takes half a minute for."""

    name: str
    hidden: int
    heads: int
    vocabulary: int
    steps: int

    @property
    def recipe(self) -> Recipe:
        return benchmark_recipe(
            Shape(self.hidden, 8, self.heads, self.heads, 4 * self.hidden),
            self.vocabulary,
            rate=5e-3,
            steps=self.steps,
            batch_size=BATCH,
            sequence_length=LENGTH,
            seed=SEED,
        )


LOADS = (
    Load("4M, vocabulary 50,304", 64, 8, 50_304, 3),
    Load("14M, vocabulary 50,304", 192, 8, 50_304, 3),
    Load("4M, vocabulary 4,096", 64, 8, 4_096, 4),
    Load("14M, vocabulary 4,096", 192, 8, 4_096, 3),
    Load("4M with 2 heads, vocabulary 4,096", 64, 2, 4_096, 4),
)

CONTENDERS: tuple[tuple[str, Precision], ...] = (
    ("HF Trainer", "fp32"),
    ("HF Trainer, one sequence at a time", "fp32"),
    ("HF Trainer, one sequence at a time", "bf16"),
    ("plain loop", "fp32"),
    ("dataselect", "fp32"),
    ("dataselect", "bf16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="the beginning of a load's name")
    arguments = parser.parse_args()
    loads = [load for load in LOADS if load.name.startswith(arguments.only)]
    with one_process_each() as call:
        results = []
        for load in loads:
            results.append(_measure(load, arguments.runs, call))
            _print_table(results[-1:])
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/training.py",
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "accelerate": accelerate.__version__,
            },
            "processor": processor_name(),
            "threads": 1,
            "tokens_in_a_step": BATCH * LENGTH,
            "sequence_length": LENGTH,
            "seed": SEED,
            "runs": arguments.runs,
        }
        text = json.dumps({**facts, "loads": results}, indent=1)
        (HERE / "training.json").write_text(text + "\n", encoding="utf-8")


def _measure(load: Load, runs: int, call: Callable[..., Any]) -> dict[str, Any]:
    recipe = load.recipe
    outcomes: dict[tuple[str, Precision], list[Outcome]] = {each: [] for each in CONTENDERS}
    peaks: dict[Precision, list[float]] = {"fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, random_tokens(recipe, SEED))
        for _ in range(runs):
            peaks["fp32"].append(call(matmul_rate, "float32"))
            peaks["bf16"].append(call(matmul_rate, "bfloat16"))
            for loop, precision in CONTENDERS:
                task = Task(loop, replace(recipe, precision=precision), rows)
                outcomes[loop, precision].append(call(run, task))
    plain, first = outcomes["plain loop", "fp32"][0], outcomes[CONTENDERS[0]]
    return {
        "load": load.name,
        "parameters": recipe.parameters,
        "steps": recipe.steps,
        "matmul_gflops": {name: spread([p / 1e9 for p in each]) for name, each in peaks.items()},
        "loops": [
            {
                "loop": loop,
                "precision": precision,
                "cpu_seconds": [round(one.cpu_seconds, 2) for one in found],
                "tokens_per_cpu_second": spread([_speed(recipe, one) for one in found]),
                "ratio_to_hf_trainer": spread(
                    [a.cpu_seconds / b.cpu_seconds for a, b in zip(first, found, strict=True)]
                ),
                "share_of_matmul": spread(
                    [
                        _speed(recipe, one) * flops_per_token(recipe) / peak
                        for one, peak in zip(found, peaks[precision], strict=True)
                    ]
                ),
                "peak_memory_mib": spread([one.peak_memory for one in found]),
                "memory_before_mib": spread([one.memory_before for one in found]),
                "losses": found[0].losses,
                "largest_relative_difference_of_loss": _apart(found[0], plain),
            }
            for (loop, precision), found in outcomes.items()
        ],
    }


def _speed(recipe: Recipe, outcome: Outcome) -> float:
    return recipe.tokens / outcome.cpu_seconds


def _apart(outcome: Outcome, plain: Outcome) -> float:
    """Over the steps; where only the mean over all steps is known, of that."""
    wanted = plain.losses
    if len(outcome.losses) == 1:
        wanted = [(wanted[-1][0], statistics.mean(loss for _, loss in wanted))]
    pairs = zip(outcome.losses, wanted, strict=True)
    return float(f"{max(abs(a - b) / b for (_, a), (_, b) in pairs):.2g}")


def _print_table(results: list[dict[str, Any]]) -> None:
    print("| model | loop | tokens a CPU s | HF Trainer = 1, median [min, max] | peak MiB", end=" ")
    print("| share of matmul | largest difference of loss |\n|---|---|---|---|---|---|---|")
    for load in results:
        for row in load["loops"]:
            ratio = row["ratio_to_hf_trainer"]
            print(
                f"| {load['load']} | {row['loop']}, {row['precision']} "
                f"| {row['tokens_per_cpu_second']['median']:,.0f} "
                f"| **{ratio['median']:.2f}** [{ratio['min']:.2f}, {ratio['max']:.2f}] "
                f"| {row['peak_memory_mib']['median']:,.0f} "
                f"| {row['share_of_matmul']['median']:.1%} "
                f"| {row['largest_relative_difference_of_loss']:.1e} |"
            )
    for load in results:
        fp32, bf16 = (load["matmul_gflops"][name]["median"] for name in ("fp32", "bf16"))
        print(f"\n{load['load']}: matmul of {fp32:,.0f} GFLOP/s in fp32, {bf16:,.0f} in bf16")


if __name__ == "__main__":
    main()
