"""Train the frontier model of the stories with the same words, and record its reasoning traces.

    python benchmarks/same_words/frontier.py

It is larger than the target, is trained on four times its tokens, of right solutions alone, and has
a tokenizer of its own, so the weights really have to pass from one tokenizer to another. Its greedy
solutions of the items, right or wrong, become `stages/same-words/stories-tiny.traces.jsonl.gz`.
"""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from make_items import FOLDER, NAME

from dataselect.benchmarks.answers import extract_number
from dataselect.benchmarks.items import BenchmarkItems, load_items
from dataselect.config.proxy import Architecture, Proxy
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.recipe import make_recipe
from dataselect.proxies.train import train
from dataselect.scoring.local_frontier import LocalFrontier
from dataselect.synthetic.same_words import VERSION, documents
from dataselect.traces.trace import TraceHeader, write_traces

WORK = Path(__file__).parents[2] / ".dataselect" / "same-words-frontier"
PROMPT = "Question: {question}\nAnswer: First,"
GENRE, SEED, TOKENS, LENGTH, BATCH = "right-steps", 1000, 2_000_000, 128, 8


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(islice(documents(GENRE, SEED), 4000), 400, split_digits=False)
    tokenizer.save_pretrained(str(WORK / "tokenizer"))
    proxy = Proxy(
        architecture=Architecture(hidden_size=96, layers=3, heads=4, intermediate_size=192),
        tokens=TOKENS,
        sequence_length=LENGTH,
        batch_size=BATCH,
        learning_rate=6e-3,
        embedding_learning_rate=1.8e-2,
        seed=SEED,
    )
    recipe = make_recipe(proxy, len(tokenizer), "cpu", "frontier model")
    if not (WORK / "tokens" / "index.json").exists():
        write_tokens(
            documents(GENRE, SEED),
            WORK / "tokenizer",
            TOKENS + 2 * LENGTH,
            WORK / "tokens",
            processes=1,
            progress=lambda fields: None,
        )
    data = PackedData([Part(str(WORK / "tokens"), TOKENS)], LENGTH, SEED, TOKENS)
    training = train(recipe, data, tokenizer, WORK, _print)
    print(f"N = {recipe.parameters:,}, D = {recipe.tokens:,}, loss {training.final_loss:.3f}")

    items, _ = load_items(FOLDER / f"{NAME}.jsonl")
    benchmark = BenchmarkItems(NAME, tuple(items), prompt=PROMPT, task="arithmetic")
    traces = LocalFrontier(str(WORK / f"step-{recipe.steps:08d}")).generate(benchmark)
    gold = {item.id: item.answer for item in items}
    right = sum(
        extract_number(trace.answer or "") == gold[item] for item, trace in traces.traces.items()
    )
    header = TraceHeader(
        benchmark=NAME,
        model=f"same-words-frontier ({recipe.parameters:,} parameters, {recipe.tokens:,} tokens)",
        prompt=benchmark.prompt,
        created_by="python benchmarks/same_words/frontier.py",
        notes={
            "decoding": "greedy",
            "recipe": json.dumps(recipe.describe(), sort_keys=True),
            "training_loss": f"{training.final_loss:.4f}",
            "answers_right": f"{right} of {len(items)}",
            "world": str(VERSION),
        },
    )
    write_traces(FOLDER / f"{NAME}.traces.jsonl.gz", header, traces.traces.values())
    print(f"{NAME}: {len(traces.traces)} traces, {right} of {len(items)} answers right")


def _print(fields: Mapping[str, float]) -> None:
    if int(fields["tokens"]) % 102_400 < LENGTH * BATCH:
        print({name: round(value, 2) for name, value in fields.items()}, flush=True)


if __name__ == "__main__":
    main()
