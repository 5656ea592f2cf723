"""How training's time and memory grow: one quantity at a time, with the exponent.

    python benchmarks/speed/growth_training.py [--only NAME]

Every point trains a small model in a process of its own with one thread. A sweep's exponent is the
slope of a line through the logarithms: of CPU seconds in all, and of memory beyond what the
libraries take. Where a part does not grow (the blocks, as the vocabulary does), the exponent of all
stays below that of the part. Results go to `growth_training.json` beside this file.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from recipes import benchmark_recipe, random_tokens
from training_loops import Outcome, Task, one_process_each, run

from dataselect.compute.machine import processor_name
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe

HERE = Path(__file__).parent
SEED = 0
BASE = benchmark_recipe(
    Shape(64, 4, 2, 2, 256),
    8192,
    rate=5e-3,
    steps=2,
    batch_size=4,
    sequence_length=512,
    seed=SEED,
)


@dataclass(frozen=True)
class Sweep:
    """`change` makes the base recipe that of a value; `unit` is what the value counts."""

    unit: str
    values: tuple[int, ...]
    change: Callable[[int], Recipe]


def _wide(hidden: int) -> Recipe:
    heads = hidden // 32
    return replace(BASE, shape=Shape(hidden, 4, heads, heads, 4 * hidden))


SWEEPS = (
    Sweep("sequences of 512 in a step", (1, 2, 4, 8, 16), lambda n: replace(BASE, batch_size=n)),
    Sweep(
        "tokens in a sequence", (256, 512, 1024, 2048), lambda n: replace(BASE, sequence_length=n)
    ),
    Sweep("vocabulary", (1024, 4096, 16_384, 65_536), lambda n: replace(BASE, vocab_size=n)),
    Sweep("hidden size", (32, 64, 128, 256), _wide),
    Sweep("layers", (2, 4, 8, 16), lambda n: replace(BASE, shape=replace(BASE.shape, layers=n))),
    Sweep("steps", (2, 4, 8, 16), lambda n: replace(BASE, steps=n)),
)
MODELS = (1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    with one_process_each() as call:
        results = [_follow(sweep, call) for sweep in SWEEPS if arguments.only in sweep.unit]
        if arguments.only in "models":
            results.append(_models(call))
    _print_tables(results)
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/growth_training.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "processor": processor_name(),
            "threads": 1,
            "seed": SEED,
            "base": BASE.describe(),
        }
        text = json.dumps({**facts, "sweeps": results}, indent=1)
        (HERE / "growth_training.json").write_text(text + "\n", encoding="utf-8")


def _follow(sweep: Sweep, call: Callable[..., Any]) -> dict[str, Any]:
    recipes = [sweep.change(value) for value in sweep.values]
    outcomes = [_train(recipe, 1, call) for recipe in recipes]
    return _fitted(sweep.unit, sweep.values, [recipe.tokens for recipe in recipes], outcomes)


def _models(call: Callable[..., Any]) -> dict[str, Any]:
    """A population of so many models, trained as one program."""
    outcomes = [_train(BASE, count, call) for count in MODELS]
    return _fitted("models", MODELS, [count * BASE.tokens for count in MODELS], outcomes)


def _train(recipe: Recipe, models: int, call: Callable[..., Any]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, random_tokens(recipe, SEED))
        outcome: Outcome = call(run, Task("dataselect", recipe, rows, models=models))
    return outcome


def _fitted(
    unit: str, values: tuple[int, ...], tokens: list[int], outcomes: list[Outcome]
) -> dict[str, Any]:
    seconds = [outcome.cpu_seconds for outcome in outcomes]
    memory = [outcome.peak_memory - outcome.memory_before for outcome in outcomes]
    return {
        "unit": unit,
        "values": values,
        "cpu_seconds": [round(each, 3) for each in seconds],
        "tokens_per_cpu_second": [round(n / s) for n, s in zip(tokens, seconds, strict=True)],
        "peak_memory_mib": [round(outcome.peak_memory) for outcome in outcomes],
        "memory_beyond_libraries_mib": [round(each) for each in memory],
        "exponent_of_seconds": _slope(values, seconds),
        "exponent_of_memory": _slope(values, memory),
    }


def _slope(values: tuple[int, ...], found: list[float]) -> float:
    return round(float(np.polyfit(np.log(values), np.log(found), 1)[0]), 2)


def _print_tables(results: list[dict[str, Any]]) -> None:
    print("| what grows | values | tokens a CPU second | CPU s ~ n^ | memory, MiB | memory ~ n^ |")
    print("|---|---|---|---|---|---|")
    for row in results:
        fields = ("values", "tokens_per_cpu_second", "memory_beyond_libraries_mib")
        lists = [", ".join(f"{each:,}" for each in row[name]) for name in fields]
        print(
            f"| {row['unit']} | {lists[0]} | {lists[1]} | {row['exponent_of_seconds']} "
            f"| {lists[2]} | {row['exponent_of_memory']} |"
        )


if __name__ == "__main__":
    main()
