"""Two processes for one proxy on a CPU, against one process under torchrun: time, and agreement.

    OMP_NUM_THREADS=1 python benchmarks/several_processes/run.py

The ladder's 6M shape with 4,096 words, random tokens, a thread for each process; ways take turns.
A CPU gains nothing by several processes beyond its second core: this shows what the machinery
takes, and that the losses are the same. CPU time is the figure to read on a busy machine.
"""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from dataselect.compute.machine import processor_name
from dataselect.corpus.packing import Part
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.ladder import LADDER
from dataselect.proxies.layout import Layout
from dataselect.proxies.processes import Spec, train_together
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Training
from dataselect.synthetic import world

HERE = Path(__file__).parent
TURNS = 2
WAYS = {
    "one process": Layout(1, "ddp"),
    "two, ddp": Layout(2, "ddp"),
    "two, fsdp": Layout(2, "fsdp"),
}
RECIPE = Recipe(
    shape=LADDER["6M"].shape,
    vocab_size=4096,
    steps=12,
    batch_size=8,
    sequence_length=256,
    learning_rate=1e-3,
    embedding_learning_rate=1e-3,
    weight_decay=0.1,
    warmup_fraction=0.05,
    grad_clip=1.0,
    precision="fp32",
    checkpoints=1,
    seed=0,
)


def write_tokens(folder: Path) -> Path:
    folder.mkdir()
    ids = np.random.default_rng(0).integers(0, RECIPE.vocab_size, RECIPE.tokens + 100)
    (folder / "tokens-00000.bin").write_bytes(ids.astype("<u2").tobytes())
    index = {"dtype": "uint16", "shard_tokens": 10**7, "tokens": len(ids), "documents": 1}
    index |= {"exhausted": False, "counts": None}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def main() -> None:
    made: dict[str, list[Training]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        stream = write_tokens(base / "stream")
        texts = (text for text, _ in zip(world.documents("worked", 5), range(200), strict=False))
        train_tokenizer(texts, RECIPE.vocab_size, True).save_pretrained(base / "tokenizer")
        for turn in range(TURNS):
            for way, layout in WAYS.items():
                folder = base / f"{way}-{turn}"
                folder.mkdir()
                parts = (Part(str(stream), RECIPE.tokens),)
                spec = Spec(RECIPE, base / "tokenizer", parts, folder, "cpu", layout, 1e9)
                made[way].append(train_together(spec, lambda fields: None))
                print(turn, way, made[way][-1].seconds, made[way][-1].cpu_seconds, flush=True)
    first = dict(made["one process"][0].losses)
    results = {
        way: {
            "tokens_per_second": RECIPE.tokens / median(each.seconds for each in runs),
            # Of all processes: they work in step.
            "cpu_seconds_per_million_tokens": WAYS[way].processes
            * median(each.cpu_seconds for each in runs)
            / RECIPE.tokens
            * 1e6,
            "largest_difference_of_losses": max(
                abs(loss - first[step]) for step, loss in runs[0].losses
            ),
        }
        for way, runs in made.items()
    }
    facts = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_at_end": os.getloadavg()[0],
        "turns": TURNS,
        "recipe": asdict(RECIPE),
        "parameters": RECIPE.parameters,
        "results": results,
    }
    (HERE / "results.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
