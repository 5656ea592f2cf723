"""Training on a GPU: many proxies as one program, and how much of the device each size uses.

    python benchmarks/speed/gpu.py [--only population|ladder] [--device cuda] [--small]

Two tables. How many tokens a second a population of the ladder's 4M models takes, for one, five and
25 models, against transformers' Trainer (bf16, fused AdamW) with one model at a time, and what that
means for 25 candidates of 87.3M tokens, the cheapest useful point of the paper. And for every size
of the ladder the share of the device's peak: 6N and attention's FLOPs a token, times tokens a
second, by the rate of a product of two large bf16 matrices measured in the same run.

Seconds are of the wall, with the device waited for, between steps after the first few: the device
should do nothing else. `--small` with `--device cpu` shows that the script runs, and no more.
Results go to `gpu.json` beside this file. Needs accelerate, for the Trainer.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from recipes import benchmark_recipe, flops_per_token, random_tokens
from training_loops import Rows, one_process_each, trainer

from dataselect.compute.machine import processor_name
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.ladder import LADDER, LADDER_SEQUENCE_LENGTH, Rung
from dataselect.proxies.recipe import Recipe, population_size
from dataselect.proxies.train import Member, train_population

HERE = Path(__file__).parent
VOCABULARY, SEED = 50_304, 0
WARM, STEPS = 3, 10
"""Steps before the clock starts, and under it."""
POPULATIONS = (1, 5, 25)
CANDIDATES, CANDIDATE_TOKENS = 25, 87.3e6
MOST_SEQUENCES = 32
"""In a step of one model; the ladder's larger sizes have up to 704, which only takes longer."""


@dataclass
class Clocked(Rows):
    """Notes when each step asks for its sequences, once the device has done what it was given."""

    ids: NDArray[np.int64]
    device: str
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.ids)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        wait(self.device)
        self.times.append(time.perf_counter())
        return super().batch(first, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("population", "ladder"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    device, small = arguments.device, arguments.small
    results: dict[str, Any] = {}
    with one_process_each() as call:
        peak = call(product_rate, device, 512 if small else 8192)
        if arguments.only != "ladder":
            results["population"] = populations(call, device, small)
            print_populations(results["population"])
        if arguments.only != "population":
            results["ladder"] = [
                share_of_peak(rung, peak, call, device, small)
                for rung in list(LADDER.values())[: 2 if small else None]
            ]
            print_ladder(results["ladder"])
    if not arguments.only and not small:
        facts = {
            "command": "python benchmarks/speed/gpu.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "device": device_name(device),
            "product_tflops": peak / 1e12,
            "steps": STEPS,
            "seed": SEED,
        }
        text = json.dumps({**facts, **results}, indent=1)
        (HERE / "gpu.json").write_text(text + "\n", encoding="utf-8")


def recipe_of(rung: Rung, small: bool) -> Recipe:
    """The rung with a step of at most `MOST_SEQUENCES`."""
    return benchmark_recipe(
        rung.shape,
        512 if small else VOCABULARY,
        rate=rung.learning_rate,
        steps=WARM + STEPS + 1,
        batch_size=2 if small else min(rung.batch_size, MOST_SEQUENCES),
        sequence_length=64 if small else LADDER_SEQUENCE_LENGTH,
        precision="bf16",
        seed=SEED,
    )


def populations(call: Callable[..., Any], device: str, small: bool) -> list[dict[str, Any]]:
    """Tokens a second of all models together, by the number of models."""
    recipe = recipe_of(LADDER["4M"], small)
    rows = [{"loop": "HF Trainer", "models": 1, **call(trainer_rate, recipe, device)}]
    for models in POPULATIONS[: 2 if small else None]:
        rows.append({"loop": "dataselect", "models": models, **call(rate, recipe, models, device)})
    for row in rows:
        row["ratio"] = row["tokens_per_second"] / rows[0]["tokens_per_second"]
        row["minutes"] = CANDIDATES * CANDIDATE_TOKENS / row["tokens_per_second"] / 60
    return rows


def share_of_peak(
    rung: Rung, peak: float, call: Callable[..., Any], device: str, small: bool
) -> dict[str, Any]:
    """Of one model alone, and of as many as a run stacks on this device."""
    recipe = recipe_of(rung, small)
    stacked = min(CANDIDATES, population_size("auto", recipe.parameters, device))
    found = {}
    for models in sorted({1, stacked}):
        measured = call(rate, recipe, models, device)
        share = measured["tokens_per_second"] * flops_per_token(recipe) / peak
        found[str(models)] = {**measured, "share_of_peak": share}
    return {"size": rung.name, "parameters": recipe.parameters, "models": found}


def rate(recipe: Recipe, models: int, device: str) -> dict[str, float]:
    """Ours: tokens a second and the peak of the device's memory in GiB."""
    transformers.logging.disable_progress_bar()
    tokenizer = train_tokenizer(iter(["one text"]), 257, split_digits=True)
    with tempfile.TemporaryDirectory() as folder:
        members = []
        for n in range(models):
            place = Path(folder) / str(n)
            place.mkdir()
            # All are asked for at once; the first one's clock speaks for them.
            data = Clocked(random_tokens(recipe, n), device if n == 0 else "")
            members.append(Member(data, place, recipe.seed + n))
        train_population(recipe, members, tokenizer, lambda fields: None, device, 1e9)
        clocked = members[0].data
        assert isinstance(clocked, Clocked), "made a few lines ago"
        return measured(clocked.times, models * recipe.batch_size * recipe.sequence_length, device)


def trainer_rate(recipe: Recipe, device: str) -> dict[str, float]:
    """transformers' Trainer: likewise, of one model."""
    times: list[float] = []

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *arguments: Any, **options: Any) -> None:
            wait(device)
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        data = Rows(random_tokens(recipe, 0))
        trainer(recipe, data, Path(folder), recipe.batch_size, Clock(), device).train()
    return measured(times, recipe.batch_size * recipe.sequence_length, device)


def measured(times: list[float], per_step: int, device: str) -> dict[str, float]:
    """By the median step after the first ones, which a hiccup of the machine does not move."""
    steps = np.diff(times)[WARM:]
    assert len(steps) == STEPS, "as the recipe says"
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.startswith("cuda") else 0.0
    return {"tokens_per_second": per_step / statistics.median(steps), "memory_gib": memory}


def product_rate(device: str, size: int) -> float:
    """FLOPs a second of products of square bf16 matrices: the device's practical peak."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(20):
        wait(device)
        began = time.perf_counter()
        for _ in range(5):
            torch.matmul(a, b)
        wait(device)
        seconds.append((time.perf_counter() - began) / 5)
    return 2 * size**3 / statistics.median(seconds)


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def device_name(device: str) -> str:
    """As its maker calls it."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()


def print_populations(rows: list[dict[str, Any]]) -> None:
    minutes = f"minutes for {CANDIDATES} x {CANDIDATE_TOKENS / 1e6:g}M tokens"
    print(f"\n| loop | 4M models | tokens/s | HF Trainer = 1 | {minutes} | memory, GiB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['loop']} | {row['models']} | {row['tokens_per_second']:,.0f} "
            f"| **{row['ratio']:.2f}** | {row['minutes']:,.1f} | {row['memory_gib']:.1f} |"
        )


def print_ladder(rows: list[dict[str, Any]]) -> None:
    print("\n| size | parameters | models | tokens/s | share of peak | memory, GiB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        for models, found in row["models"].items():
            print(
                f"| {row['size']} | {row['parameters'] / 1e6:,.1f}M | {models} "
                f"| {found['tokens_per_second']:,.0f} | {100 * found['share_of_peak']:.1f}% "
                f"| {found['memory_gib']:.1f} |"
            )


if __name__ == "__main__":
    main()
