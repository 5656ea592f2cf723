"""Where a training step's time goes, in a plain loop and in ours.

    python benchmarks/speed/training_profile.py [--only NAME]

By torch's profiler, for two sizes of the ladder with a large vocabulary: the time of
each operation itself, sorted by its name and by whether the vocabulary is among its inputs'
dimensions. Building the model is left out. The profiler reads the wall clock, which other work on
the machine moves, so only shares are its own: they are shares of the steps' CPU seconds. Results
go to `training_profile.json` beside this file.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from recipes import random_tokens
from torch.profiler import ProfilerActivity, profile
from training import BATCH, LOADS, SEED, Load, Precision
from training_loops import LOOPS, Rows, one_process_each

from dataselect.compute.machine import processor_name

HERE = Path(__file__).parent
STEPS = 2
CONTENDERS: tuple[tuple[str, Precision], ...] = (
    ("plain loop", "fp32"),
    ("dataselect", "fp32"),
    ("dataselect", "bf16"),
)
DTYPES = (
    "products with the output layer",
    "softmax and loss",
    "other products",
    "attention",
    "norms, activations, sums, casts",
    "optimizer and clipping",
    "rest",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    loads = [
        load for load in LOADS if load.vocabulary > 10_000 and load.name.startswith(arguments.only)
    ]
    with one_process_each() as call:
        results = [
            {
                "load": load.name,
                "loops": [
                    {"loop": loop, "precision": precision, **call(_profile, load, loop, precision)}
                    for loop, precision in CONTENDERS
                ],
            }
            for load in loads
        ]
    _print_tables(results)
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/training_profile.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "processor": processor_name(),
            "threads": 1,
            "seed": SEED,
            "unit": "CPU milliseconds per 1,000 tokens",
        }
        text = json.dumps({**facts, "loads": results}, indent=1)
        (HERE / "training_profile.json").write_text(text + "\n", encoding="utf-8")


@dataclass
class _Watched(Rows):
    """Starts the profiler when the first sequences are asked for: the model is built by then."""

    ids: Any
    profiler: profile
    started: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.ids)

    def batch(self, first: int, count: int) -> Any:
        if not self.started:
            self.profiler.start()
            self.started = True
        return super().batch(first, count)


def _profile(load: Load, loop: str, precision: Precision) -> dict[str, Any]:
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    recipe = replace(load.recipe, steps=STEPS, precision=precision)
    ids = random_tokens(recipe, SEED)
    with tempfile.TemporaryDirectory() as folder:
        LOOPS[loop](replace(recipe, steps=1, batch_size=1), Rows(ids), Path(folder))
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with tempfile.TemporaryDirectory() as folder:
        cpu_seconds = LOOPS[loop](recipe, _Watched(ids, profiler), Path(folder))[0]
        profiler.stop()
    spent: dict[str, float] = defaultdict(float)
    names: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages(group_by_input_shape=True):
        spent[_kind(event.key, event.input_shapes, load)] += event.self_cpu_time_total
        names[event.key] += event.self_cpu_time_total
    scale = cpu_seconds * 1e6 / recipe.tokens / sum(spent.values())
    largest = sorted(names, key=lambda name: -names[name])[:12]
    return {
        "kinds": {kind: round(spent[kind] * scale, 2) for kind in DTYPES},
        "largest_operations": {name: round(names[name] * scale, 2) for name in largest},
    }


def _kind(name: str, shapes: list[list[int]], load: Load) -> str:
    name, vocabulary = name.removeprefix("aten::"), load.vocabulary
    # Only our attention has heads, some or all of them, in front.
    by_heads = any(len(shape) == 3 and 2 < shape[0] <= BATCH * load.heads for shape in shapes)
    if by_heads or "scaled_dot_product" in name:
        return "attention"
    if name.rstrip("_") in ("mm", "bmm", "addmm", "baddbmm"):
        met = any(vocabulary in shape for shape in shapes)
        return "products with the output layer" if met else "other products"
    if any(part in name for part in ("adamw", "AdamW", "_foreach", "norm_2", "vector_norm")):
        return "optimizer and clipping"
    if any(len(shape) > 1 and shape[-1] == vocabulary for shape in shapes):
        return "softmax and loss"
    if name in _IN_LAYERS or "Backward" in name or "rms_norm" in name:
        return "norms, activations, sums, casts"
    return "rest"


# fmt: off
_IN_LAYERS = frozenset((
    "mul", "mul_", "add", "add_", "sub", "div", "pow", "neg", "mean", "sum", "rsqrt", "silu",
    "silu_backward", "cat", "copy_", "clone", "_to_copy", "slice_backward", "fill_", "zero_",
))
# fmt: on


def _print_tables(results: list[dict[str, Any]]) -> None:
    for load in results:
        loops = load["loops"]
        heads = [f"{row['loop']}, {row['precision']}" for row in loops]
        print(f"\n{load['load']}, CPU milliseconds per 1,000 tokens\n\n| | {' | '.join(heads)} |")
        print("|---" * (len(loops) + 1) + "|")
        for kind in DTYPES:
            figures = [row["kinds"][kind] for row in loops]
            print(f"| {kind} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |")
        totals = [sum(row["kinds"].values()) for row in loops]
        print(f"| all | {' | '.join(f'{total:,.0f}' for total in totals)} |")


if __name__ == "__main__":
    main()
