"""Attention of narrow heads on a CPU, forwards and backwards: ours against torch's fused one.

    python benchmarks/speed/attention.py [--runs 5]

One thread, CPU seconds, the ways take turns. Two sequences of 2,048, of which all earlier positions
are seen. Results go to `attention.json` beside this file.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import spread
from torch.nn.functional import scaled_dot_product_attention

from dataselect.compute.machine import processor_name
from dataselect.proxies.attention import causal_attention

HERE = Path(__file__).parent
LENGTH, SEQUENCES, SEED = 2048, 2, 0
# Heads and their size.
HEADS = ((8, 8), (8, 24), (2, 32), (4, 64))


def fused(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kind: torch.dtype
) -> torch.Tensor:
    q, k, v = (x.to(kind).transpose(1, 2) for x in (queries, keys, values))
    return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).to(queries.dtype)


WAYS: dict[str, tuple[Callable[..., torch.Tensor], torch.dtype]] = {
    "torch, fp32": (fused, torch.float32),
    "torch, bf16": (fused, torch.bfloat16),
    "dataselect, fp32": (causal_attention, torch.float32),
    "dataselect, bf16": (causal_attention, torch.bfloat16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    results = []
    print("| heads | way | ms for 1,000 tokens of a layer, median [min, max] | error |")
    print("|---|---|---|---|")
    for heads, size in HEADS:
        measured = _measure(heads, size, runs)
        results.append({"heads": heads, "size": size, "ways": measured})
        for name, row in measured.items():
            ms = row["milliseconds"]
            print(
                f"| {heads} of {size} | {name} | **{ms['median']}** [{ms['min']}, {ms['max']}] "
                f"| {row['error']:.1e} |",
                flush=True,
            )
    facts = {
        "command": "python benchmarks/speed/attention.py",
        "torch": torch.__version__,
        "processor": processor_name(),
        "threads": 1,
        "seed": SEED,
        "runs": runs,
        "results": results,
    }
    (HERE / "attention.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _measure(heads: int, size: int, runs: int) -> dict[str, dict[str, Any]]:
    """Times, and the largest error of the gradients against float64, of their largest value."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = [torch.randn(SEQUENCES, LENGTH, heads, size, generator=generator) for _ in range(4)]
    exact = _gradients(fused, [x.double() for x in drawn], torch.float64)[1]
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    errors = {}
    for run in range(runs + 1):
        for name, (way, kind) in WAYS.items():
            seconds, found = _gradients(way, drawn, kind)
            if run == 0:  # warms up
                pairs = zip(found, exact, strict=True)
                errors[name] = max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
            else:
                taken[name].append(seconds * 1e6 / (SEQUENCES * LENGTH))
    return {name: {"milliseconds": spread(taken[name]), "error": errors[name]} for name in WAYS}


def _gradients(
    way: Callable[..., torch.Tensor], drawn: list[torch.Tensor], kind: torch.dtype
) -> tuple[float, list[torch.Tensor]]:
    *inputs, upstream = drawn
    leaves = [x.clone().requires_grad_() for x in inputs]
    began = time.process_time()
    way(*leaves, kind).backward(upstream)
    return time.process_time() - began, [x.grad for x in leaves if x.grad is not None]


if __name__ == "__main__":
    main()
