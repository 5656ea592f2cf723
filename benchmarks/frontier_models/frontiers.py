"""Train another frontier model of the quickstart's world, and record its traces in three styles.

    python benchmarks/frontier_models/frontiers.py

One model learns three styles of right solutions, each after a cue of its own, so that one model's
traces differ in style alone. It is a fifth of the shipped one's size, has other texts, another
tokenizer and another seed, and is stopped at 2M of 4M tokens, when it is still mostly wrong. For
each style there are two files in `traces/` for each benchmark: its greedy solutions of the items,
right or wrong, recorded as `benchmarks/desk_scale/frontier.py` recorded the shipped ones; and right
solutions, written by rule, that it weighed, as `dataselect traces weigh` does. One process with one
thread; interrupted, it goes on where it was. Traces that are there are not made again.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from styles import STYLES, Style, documents
from transformers import PreTrainedTokenizerBase

from dataselect.benchmarks.answers import extract_number
from dataselect.benchmarks.items import BenchmarkItems, load_items
from dataselect.config.proxy import Architecture, Proxy
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.recipe import Recipe, make_recipe
from dataselect.proxies.train import train
from dataselect.scoring.local_frontier import LocalFrontier
from dataselect.synthetic.world import ANSWER_CUE, VERSION, benchmark_problems
from dataselect.traces.trace import TraceSet, write_traces
from dataselect.wording import slug

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAGES = ROOT / "stages" / "quickstart"
TRACES = HERE / "traces"
WORK = ROOT / ".dataselect" / "frontier-models"
BENCHMARKS = {"stories-short": (1, (2,)), "stories-long": (2, (3, 4))}
"""Seed and steps of the problems, as in `benchmarks/desk_scale/make_items.py`."""
SEED, TOKENS, LENGTH, BATCH, VOCABULARY = 1001, 4_000_000, 128, 8, 768
ITEMS = 200
STOP = 2_000_000
"""Tokens after which the training is stopped; the rates are those of a longer one."""
COMMAND = "python benchmarks/frontier_models/frontiers.py"


def main() -> None:
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(islice(documents(SEED), 4000), VOCABULARY, split_digits=False)
    tokenizer.save_pretrained(str(WORK / "tokenizer"))
    proxy = Proxy(
        architecture=Architecture(hidden_size=96, layers=3, heads=4, intermediate_size=192),
        tokens=TOKENS,
        sequence_length=LENGTH,
        batch_size=BATCH,
        learning_rate=6e-3,
        embedding_learning_rate=1.8e-2,
        seed=SEED,
        checkpoints=8,
    )
    recipe = make_recipe(proxy, len(tokenizer), "cpu", "frontier model")
    step = max(s for s in recipe.checkpoint_steps() if s * LENGTH * BATCH <= STOP)
    _train(recipe, tokenizer, step)
    frontier = LocalFrontier(str(_checkpoint(step)))
    for name, style in STYLES.items():
        for benchmark in BENCHMARKS:
            asked = _benchmark(benchmark, style)
            _write(name, recipe, step, asked, lambda asked=asked: frontier.generate(asked))
            texts = _right(benchmark, style)
            _write(
                f"{name}, right solutions",
                recipe,
                step,
                asked,
                lambda asked=asked, texts=texts: frontier.weigh(asked, texts),
            )


class _EnoughError(Exception):
    """The wanted checkpoint is there."""


def _checkpoint(step: int) -> Path:
    return WORK / f"step-{step:08d}"


def _train(recipe: Recipe, tokenizer: PreTrainedTokenizerBase, step: int) -> None:
    """Train until the checkpoint of a step is there."""

    def progress(fields: Mapping[str, float]) -> None:
        print({name: round(value, 2) for name, value in fields.items()}, flush=True)
        if fields["tokens"] > step * LENGTH * BATCH:
            raise _EnoughError

    if (_checkpoint(step) / "model.safetensors").exists():
        return
    if not (WORK / "tokens" / "index.json").exists():
        write_tokens(
            documents(SEED),
            WORK / "tokenizer",
            TOKENS + 2 * LENGTH,
            WORK / "tokens",
            processes=1,
            progress=lambda fields: None,
        )
    data = PackedData([Part(str(WORK / "tokens"), TOKENS)], LENGTH, SEED, TOKENS)
    with suppress(_EnoughError):
        train(recipe, data, tokenizer, WORK, progress)


def _benchmark(name: str, style: Style) -> BenchmarkItems:
    """A benchmark that asks for one style."""
    items, _ = load_items(STAGES / f"{name}.jsonl")
    prompt = f"Question: {{question}}\n{style.cue} First,"
    return BenchmarkItems(name, tuple(items), prompt=prompt, task="arithmetic")


def _right(benchmark: str, style: Style) -> dict[str, str]:
    """Right solutions in one style by item, as they go on after the prompt's "First,"."""
    seed, steps = BENCHMARKS[benchmark]
    solutions = {}
    for number, problem in enumerate(benchmark_problems(seed, steps, ITEMS)):
        text = style.write(problem).removeprefix("First, ")
        solutions[f"{benchmark}-{number:03d}"] = f"{text} {ANSWER_CUE} {problem.answer}."
    return solutions


def _write(
    name: str,
    recipe: Recipe,
    step: int,
    benchmark: BenchmarkItems,
    make: Callable[[], TraceSet],
) -> None:
    """The trace file of a benchmark, unless it is there."""
    out = TRACES / f"{benchmark.id}.{slug(name)}.jsonl.gz"
    if out.exists():
        return
    TRACES.mkdir(exist_ok=True)
    traces = make()
    answers = {item: trace.answer or "" for item, trace in traces.traces.items()}
    right = sum(extract_number(answers.get(item.id, "")) == item.answer for item in benchmark.items)
    header = replace(
        traces.header,
        model=name,
        created_by=COMMAND,
        notes={
            **traces.header.notes,
            "parameters": f"{recipe.parameters}",
            "tokens": f"{step * recipe.batch_size * recipe.sequence_length}",
            "recipe": json.dumps(recipe.describe(), sort_keys=True),
            "answers_right": f"{right} of {len(benchmark.items)}",
            "world": str(VERSION),
        },
    )
    write_traces(out, header, traces.traces.values(), traces.exclusions)
    print(f"{name}, {benchmark.id}: {right} of {len(benchmark.items)} right", flush=True)


if __name__ == "__main__":
    main()
