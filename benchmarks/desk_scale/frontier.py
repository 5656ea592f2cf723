"""Train the synthetic world's frontier model and record its reasoning traces.

    python benchmarks/desk_scale/frontier.py

The frontier model is as large as the quickstart's target and is trained on several times its
tokens of worked problems alone. It has a tokenizer of its own, as a frontier model has, so the
weights really have to pass from one tokenizer to another. Its greedy solutions of the benchmark
items, right or wrong, become `stages/quickstart/*.traces.jsonl.gz`.
"""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from dataselect.benchmarks.answers import extract_number
from dataselect.benchmarks.items import BenchmarkItems, load_items
from dataselect.config.proxy import Architecture, Proxy
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.recipe import make_recipe
from dataselect.proxies.train import train
from dataselect.scoring.local_frontier import LocalFrontier
from dataselect.synthetic.world import VERSION, documents
from dataselect.traces.trace import TraceHeader, write_traces

ROOT = Path(__file__).parents[2]
STAGES = ROOT / "stages" / "quickstart"
WORK = ROOT / ".dataselect" / "frontier"
PROMPT = "Question: {question}\nAnswer: First,"
BENCHMARKS = ("stories-short", "stories-long")
SEED, TOKENS, LENGTH, BATCH = 1000, 6_000_000, 128, 8


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(islice(documents("worked", SEED), 4000), 768, split_digits=False)
    tokenizer.save_pretrained(str(WORK / "tokenizer"))
    proxy = Proxy(
        architecture=Architecture(hidden_size=192, layers=4, heads=6, intermediate_size=384),
        tokens=TOKENS,
        sequence_length=LENGTH,
        batch_size=BATCH,
        learning_rate=2e-3,
        embedding_learning_rate=6e-3,
        seed=SEED,
    )
    recipe = make_recipe(proxy, len(tokenizer), "cpu", "frontier model")
    if not (WORK / "tokens" / "index.json").exists():
        write_tokens(
            documents("worked", SEED),
            WORK / "tokenizer",
            TOKENS + 2 * LENGTH,
            WORK / "tokens",
            processes=1,
            progress=lambda fields: None,
        )
    data = PackedData([Part(str(WORK / "tokens"), TOKENS)], LENGTH, SEED, TOKENS)
    training = train(recipe, data, tokenizer, WORK, _print)
    print(f"N = {recipe.parameters:,}, D = {recipe.tokens:,}, loss {training.final_loss:.3f}")

    frontier = LocalFrontier(str(WORK / f"step-{recipe.steps:08d}"))
    for name in BENCHMARKS:
        items, _ = load_items(STAGES / f"{name}.jsonl")
        benchmark = BenchmarkItems(name, tuple(items), prompt=PROMPT, task="arithmetic")
        traces = frontier.generate(benchmark)
        gold = {item.id: item.answer for item in items}
        right = sum(
            extract_number(trace.answer or "") == gold[item]
            for item, trace in traces.traces.items()
        )
        header = TraceHeader(
            benchmark=name,
            model=f"desk-frontier ({recipe.parameters:,} parameters, {recipe.tokens:,} tokens)",
            prompt=benchmark.prompt,
            created_by="python benchmarks/desk_scale/frontier.py",
            notes={
                "decoding": "greedy",
                "recipe": json.dumps(recipe.describe(), sort_keys=True),
                "training_loss": f"{training.final_loss:.4f}",
                "answers_right": f"{right} of {len(items)}",
                "world": str(VERSION),
            },
        )
        write_traces(STAGES / f"{name}.traces.jsonl.gz", header, traces.traces.values())
        print(f"{name}: {len(traces.traces)} traces, {right} of {len(items)} answers right")


def _print(fields: Mapping[str, float]) -> None:
    if int(fields["tokens"]) % 102_400 < LENGTH * BATCH:
        print({name: round(value, 2) for name, value in fields.items()}, flush=True)


if __name__ == "__main__":
    main()
