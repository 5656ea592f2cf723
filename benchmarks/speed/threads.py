"""Two proxies in two processes of one thread each, or one after the other with two threads?

    python benchmarks/speed/threads.py [--runs 3]

What `jobs: auto` and `threads: auto` should be on a CPU. Wall time of the steps alone, so the
machine has to be quiet; the two ways take turns. Results go to `threads.json` beside this file.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import spread
from numpy.typing import NDArray
from recipes import benchmark_recipe

from dataselect.compute.machine import processor_name
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe

HERE = Path(__file__).parent
# hidden, layers, heads, vocabulary, length, sequences a step, steps
LOADS = {
    "desk size (64 x 2, vocabulary 1,024)": (64, 2, 2, 1024, 256, 8, 150),
    "4M, vocabulary 4,096": (64, 8, 8, 4096, 2048, 2, 6),
    "4M, vocabulary 50,304": (64, 8, 8, 50_304, 2048, 2, 4),
}


class Rows:
    """Tokens drawn at random."""

    def __init__(self, recipe: Recipe) -> None:
        size = (recipe.steps * recipe.batch_size, recipe.sequence_length + 1)
        self._rows = np.random.default_rng(0).integers(0, recipe.vocab_size, size)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        return self._rows[first : first + count]


def train_here(load: str, threads: int, models: int) -> None:
    """Train the models one after the other; says when it starts and when it has ended."""
    import torch

    from dataselect.corpus.tokenizer import train_tokenizer
    from dataselect.proxies.train import train

    torch.set_num_threads(threads)
    hidden, layers, heads, vocabulary, length, batch, steps = LOADS[load]
    recipe = benchmark_recipe(
        Shape(hidden, layers, heads, heads, 4 * hidden),
        vocabulary,
        rate=1e-3,
        steps=steps,
        batch_size=batch,
        sequence_length=length,
    )
    tokenizer = train_tokenizer(iter(["Ann has 3 red apples."] * 20), 280, True)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(models):
        with tempfile.TemporaryDirectory() as folder:
            train(recipe, Rows(recipe), tokenizer, Path(folder), lambda fields: None)
    print("done", flush=True)


def seconds(load: str, processes: int, threads: int) -> float:
    """Wall seconds that two models take."""
    command = [sys.executable, __file__, "--child", load, str(threads), str(2 // processes)]
    children = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(processes)
    ]

    def wait_for(word: str) -> None:
        for child in children:
            assert child.stdout is not None
            if word not in child.stdout.readline():
                raise RuntimeError(f"a process that trains ended before it was {word}")

    wait_for("ready")
    began = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    wait_for("done")
    took = time.perf_counter() - began
    for child in children:
        child.communicate()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        load, threads, models = arguments.child
        train_here(load, int(threads), int(models))
        return
    results = {}
    print("| load | two processes, s | two threads, s | ratio, median [min, max] |")
    print("|---|---|---|---|")
    for load in LOADS:
        pairs = [(seconds(load, 2, 1), seconds(load, 1, 2)) for _ in range(arguments.runs)]
        apart, together = (spread(each) for each in zip(*pairs, strict=True))
        ratio = spread(b / a for a, b in pairs)
        results[load] = {"processes": apart, "threads": together, "ratio": ratio}
        print(
            f"| {load} | {apart['median']} | {together['median']} "
            f"| **{ratio['median']}** [{ratio['min']}, {ratio['max']}] |",
            flush=True,
        )
    facts = {
        "command": "python benchmarks/speed/threads.py",
        "processor": processor_name(),
        "seed": 0,
        "runs": arguments.runs,
        "loads": results,
    }
    (HERE / "threads.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
