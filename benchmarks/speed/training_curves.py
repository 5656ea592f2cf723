"""Whether models learn here what they learn in a plain loop: loss curves at the same seeds.

    python benchmarks/speed/training_curves.py [DATA] [--seeds 3]

DATA holds `corpora/*.jsonl.gz` (a `text` a line), of which `brown` and `gsm8k_train` are read;
without it the texts are the synthetic world's. A seed decides the initial weights and the order
of the data. The last models are compared on held-out text, too, for which ours are read back from
their checkpoints by transformers.

Training at a high rate magnifies any difference, so two equal programs part in the end, too. The
measure is therefore the plain loop itself, from weights that differ in their last bit; and there
are two rates, a steady one and one near the edge. Results go to `training_curves.json` beside this
file.
"""

import argparse
import gzip
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from recipes import benchmark_recipe
from training import Precision
from training_loops import Ids, Outcome, Task, one_process_each, run

from dataselect.compute.machine import processor_name
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.ladder import Shape
from dataselect.synthetic.world import documents

HERE = Path(__file__).parent
VOCABULARY, HELD_OUT = 2048, 128
RATES = (2e-3, 5e-3)
RECIPE = benchmark_recipe(
    Shape(64, 2, 2, 2, 256),
    VOCABULARY,
    rate=0.0,
    steps=300,
    batch_size=8,
    sequence_length=128,
)
CONTENDERS: tuple[tuple[str, Precision], ...] = (
    ("plain loop", "fp32"),
    ("plain loop, weights nudged by 1e-7", "fp32"),
    ("dataselect", "fp32"),
    ("plain loop", "bf16"),
    ("dataselect", "bf16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    rows = sequences(arguments.data)
    with tempfile.TemporaryDirectory() as folder, one_process_each() as call:
        results = [
            {
                "learning_rate": rate,
                **_summary(
                    [
                        _train(rate, seed, rows, Path(folder), call)
                        for seed in range(arguments.seeds)
                    ]
                ),
            }
            for rate in RATES
        ]
    facts = {
        "command": "python benchmarks/speed/training_curves.py DATA",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "processor": processor_name(),
        "threads": 1,
        "text": "brown and gsm8k_train" if arguments.data else "desk world",
        "recipe": RECIPE.describe(),
        "seeds": arguments.seeds,
    }
    _print_tables(results)
    text = json.dumps({**facts, "rates": results}, indent=1)
    (HERE / "training_curves.json").write_text(text + "\n", encoding="utf-8")


def sequences(data: Path | None) -> Ids:
    """Real text, tokenised and cut: (count, length + 1), documents in an order of their own."""
    texts = list(_texts(data))
    np.random.default_rng(0).shuffle(texts)
    tokenizer = train_tokenizer(islice(texts, 1500), VOCABULARY, split_digits=True)
    wanted, width = RECIPE.steps * RECIPE.batch_size + HELD_OUT, RECIPE.sequence_length + 1
    ids: list[int] = []
    for text in texts:
        ids += [*tokenizer(text).input_ids, tokenizer.eos_token_id]
        if len(ids) >= wanted * width:
            return np.array(ids[: wanted * width], np.int64).reshape(wanted, width)
    raise SystemExit("there is too little text")


def _texts(data: Path | None) -> Iterator[str]:
    if data is None:
        for genre in ("worked", "narrative"):
            yield from islice(documents(genre, seed=0), 4000)
        return
    for name in ("brown", "gsm8k_train"):
        with gzip.open(data / "corpora" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            yield from islice((json.loads(line)["text"] for line in lines), 2000)


def _train(
    rate: float, seed: int, rows: Ids, folder: Path, call: Callable[..., Any]
) -> list[Outcome]:
    training, held_out = rows[:-HELD_OUT], rows[-HELD_OUT:]
    np.save(folder / "held_out.npy", held_out)
    np.save(folder / "rows.npy", np.random.default_rng(seed).permutation(training))
    found = []
    for loop, precision in CONTENDERS:
        recipe = replace(
            RECIPE,
            seed=seed,
            precision=precision,
            learning_rate=rate,
            embedding_learning_rate=rate,
        )
        task = Task(loop, recipe, folder / "rows.npy", folder / "held_out.npy")
        found.append(call(run, task))
    return found


def _summary(found: list[list[Outcome]]) -> dict[str, Any]:
    """For each contender its last losses, and how far it is from the plain loop's, in nats."""
    plain = [of_seed[0] for of_seed in found]
    rows = []
    for n, (loop, precision) in enumerate(CONTENDERS):
        mine = [of_seed[n] for of_seed in found]
        curves = [
            max(abs(a - b) for (_, a), (_, b) in zip(one.losses, other.losses, strict=True))
            for one, other in zip(mine, plain, strict=True)
        ]
        ends = [
            abs(_held_out(one) - _held_out(other)) for one, other in zip(mine, plain, strict=True)
        ]
        rows.append(
            {
                "loop": loop,
                "precision": precision,
                "held_out_loss": [round(_held_out(one), 5) for one in mine],
                "final_training_loss": [round(_last_tenth(one), 5) for one in mine],
                "largest_difference_of_curve": [float(f"{each:.2g}") for each in curves],
                "difference_of_held_out_loss": [float(f"{each:.2g}") for each in ends],
            }
        )
    losses = [_held_out(one) for one in plain]
    return {
        "contenders": rows,
        "between_seeds": {
            "held_out_loss_sd": round(statistics.stdev(losses), 5),
            "held_out_loss_range": round(max(losses) - min(losses), 5),
            "largest_difference_of_curve": round(
                max(
                    abs(a - b)
                    for one, other in pairwise(plain)
                    for (_, a), (_, b) in zip(one.losses, other.losses, strict=True)
                ),
                5,
            ),
        },
    }


def _held_out(outcome: Outcome) -> float:
    assert outcome.held_out_loss is not None, "the task asks for it"
    return outcome.held_out_loss


def _last_tenth(outcome: Outcome) -> float:
    return statistics.mean(loss for step, loss in outcome.losses if step > 0.9 * RECIPE.steps)


def _print_tables(results: list[dict[str, Any]]) -> None:
    for result in results:
        apart = result["between_seeds"]
        print(f"\nlearning rate {result['learning_rate']}\n")
        print("| loop | held-out loss by seed | from the plain loop's | largest, along the curve |")
        print("|---|---|---|---|")
        for row in result["contenders"]:
            ends = ", ".join(f"{each:.4f}" for each in row["held_out_loss"])
            away = ", ".join(f"{each:.1e}" for each in row["difference_of_held_out_loss"])
            curve = max(row["largest_difference_of_curve"])
            print(f"| {row['loop']}, {row['precision']} | {ends} | {away} | {curve:.1e} |")
        print(
            f"| between seeds | sd {apart['held_out_loss_sd']:.4f} "
            f"| range {apart['held_out_loss_range']:.4f} "
            f"| {apart['largest_difference_of_curve']:.2f} |"
        )


if __name__ == "__main__":
    main()
