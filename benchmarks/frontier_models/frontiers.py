"""Train another frontier model of the quickstart's world, and record its traces in three styles.

    python benchmarks/frontier_models/frontiers.py

One model learns three styles of right solutions, each after a cue of its own, so that one model's
traces differ in style alone. It is a fifth of the shipped one's size, and has other texts, another
tokenizer and another seed. Its checkpoint after half of the training is wrong more often. Greedy
solutions of the benchmark items, right or wrong, become `traces/BENCHMARK.NAME.jsonl.gz` beside
this file, by the way that `benchmarks/desk_scale/frontier.py` made the shipped ones. One process
with one thread; interrupted, it goes on where it was. Traces that are there are not made again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import torch
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
from dataselect.synthetic.problems import Problem, make_problem
from dataselect.synthetic.world import ANSWER_CUE, VERSION, is_held_out
from dataselect.traces.trace import write_traces

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAGES = ROOT / "stages" / "quickstart"
TRACES = HERE / "traces"
WORK = ROOT / ".dataselect" / "frontier-models"
BENCHMARKS = ("stories-short", "stories-long")
SEED, TOKENS, LENGTH, BATCH, VOCABULARY = 1001, 4_000_000, 128, 8, 768
COMMAND = "python benchmarks/frontier_models/frontiers.py"


def worked(problem: Problem) -> str:
    """The world's own worked solution."""
    return problem.reasoning()


def notation(problem: Problem) -> str:
    """The solution in the notation of the candidate `notebook`: bare equations with arrows."""
    return f"First, {problem.equations()}."


def calculator(problem: Problem) -> str:
    """The solution in sentences that no candidate has, without the words of the story."""
    sentences, previous = [], 0
    for step in problem.steps:
        left, right = step.operands(previous)
        previous = step.result(previous)
        words = _CALCULATOR[step.symbol].format(left=left, right=right)
        sentences.append(f"{words} gives {previous}.")
    first, *others = sentences
    return " ".join([f"First, {first}", *(f"{each[0].upper()}{each[1:]}" for each in others)])


_CALCULATOR = {
    "+": "adding {right} to {left}",
    "-": "subtracting {right} from {left}",
    "*": "multiplying {left} by {right}",
    "/": "dividing {left} by {right}",
}


@dataclass(frozen=True)
class Style:
    """How solutions are written, and what asks for it."""

    write: Callable[[Problem], str]
    cue: str
    """What stands between the question and the solution."""
    share: float
    """Of the training texts."""


STYLES: Mapping[str, Style] = {
    "small": Style(worked, "Answer:", 0.5),
    "notation": Style(notation, "In notation:", 0.25),
    "calculator": Style(calculator, "By calculator:", 0.25),
}
"""By the name of the traces."""
EARLY = "early"
"""Traces in the style of `small` by its checkpoint after half of the training."""


def documents(seed: int) -> Iterator[str]:
    """Endless training texts, with right solutions in all styles; no story that is held out."""
    rng = Random(f"frontier models/{seed}/{VERSION}")
    styles, shares = list(STYLES.values()), [style.share for style in STYLES.values()]
    while True:
        problem = make_problem(rng, rng.choice((2, 2, 3, 3, 4)))
        if is_held_out(problem):
            continue
        (style,) = rng.choices(styles, shares)
        solution = f"{style.write(problem)} {ANSWER_CUE} {problem.answer}."
        yield f"Question: {problem.prompt}\n{style.cue} {solution}"


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
    _train(recipe, tokenizer)
    steps = recipe.checkpoint_steps()
    for name in STYLES:
        _write(name, name, recipe, steps[-1])
    _write(EARLY, "small", recipe, steps[len(steps) // 2 - 1])


def _train(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> None:
    """Train to the end unless that is done."""
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
    training = train(recipe, data, tokenizer, WORK, _print)
    print(
        f"N = {recipe.parameters:,}, D = {recipe.tokens:,}, loss {training.final_loss:.3f}, "
        f"{training.cpu_seconds:.0f} CPU s",
        flush=True,
    )


def _write(name: str, style: str, recipe: Recipe, step: int) -> None:
    """The trace file of each benchmark, by one checkpoint in one style."""
    TRACES.mkdir(exist_ok=True)
    frontier = LocalFrontier(str(WORK / f"step-{step:08d}"))
    prompt = f"Question: {{question}}\n{STYLES[style].cue} First,"
    for benchmark in BENCHMARKS:
        out = TRACES / f"{benchmark}.{name}.jsonl.gz"
        if out.exists():
            continue
        items, _ = load_items(STAGES / f"{benchmark}.jsonl")
        asked = BenchmarkItems(benchmark, tuple(items), prompt=prompt, task="arithmetic")
        traces = frontier.generate(asked)
        answers = {item: trace.answer or "" for item, trace in traces.traces.items()}
        right = sum(extract_number(answers.get(item.id, "")) == item.answer for item in items)
        header = replace(
            traces.header,
            model=name,
            created_by=COMMAND,
            notes={
                "decoding": "greedy",
                "parameters": f"{recipe.parameters}",
                "tokens": f"{step * recipe.batch_size * recipe.sequence_length}",
                "recipe": json.dumps(recipe.describe(), sort_keys=True),
                "answers_right": f"{right} of {len(items)}",
                "world": str(VERSION),
            },
        )
        write_traces(out, header, traces.traces.values(), traces.exclusions)
        print(f"{name}, {benchmark}: {right} of {len(items)} right", flush=True)


def _print(fields: Mapping[str, float]) -> None:
    print({name: round(value, 2) for name, value in fields.items()}, flush=True)


if __name__ == "__main__":
    main()
