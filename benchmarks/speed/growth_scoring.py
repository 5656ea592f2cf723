"""How scoring's time and memory grow: one quantity at a time, with the exponent.

    python benchmarks/speed/growth_scoring.py [--only NAME]

Every point scores a random Olmo2 in a process of its own with one thread, on requests drawn as in
`scoring.py`. Memory is the peak beyond what the process has when its model is loaded and has scored
one text. A sweep's exponent is the slope of a line through the logarithms; where a part does not
grow, it stays below that of the part. With several checkpoints, worked examples and questions of
random words are tokenised once and then scored by one model after the other. Results go to
`growth_scoring.json` beside this file.
"""

import argparse
import json
import multiprocessing
import resource
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.compute.machine import processor_name
from dataselect.scoring.likelihood.scorer import score, token_nll
from dataselect.scoring.prepare import prepare
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, runs_of

HERE = Path(__file__).parent
SEED = 0
QUESTION = 40
LAYERS = 4
SHOTS = 5
MIB = 1024  # of ru_maxrss, in KiB


@dataclass(frozen=True)
class Size:
    """What a point scores; lengths in tokens."""

    items: int = 128
    trace: int = 48
    examples: int = 256
    vocabulary: int = 8192
    hidden: int = 64
    checkpoints: int = 0


SWEEPS: dict[str, tuple[int, ...]] = {
    "items": (64, 128, 256, 512, 1024),
    "trace": (24, 48, 96, 192, 384),
    "examples": (128, 256, 512, 1024, 2048),
    "vocabulary": (2048, 8192, 32_768, 131_072),
    "hidden": (32, 64, 128, 256, 512),
    "checkpoints": (1, 2, 4, 8),
}
UNITS = {
    "items": "items",
    "trace": "tokens of a trace",
    "examples": "tokens of worked examples",
    "vocabulary": "vocabulary",
    "hidden": "hidden size",
    "checkpoints": "checkpoints in one process",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # Forked, so that the libraries are loaded once; a process ends with its point.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        results = [
            _sweep(name, values, pool)
            for name, values in SWEEPS.items()
            if arguments.only in UNITS[name]
        ]
    _print_table(results)
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/growth_scoring.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "processor": processor_name(),
            "threads": 1,
            "seed": SEED,
            "base": {**asdict(Size()), "question": QUESTION, "layers": LAYERS},
        }
        text = json.dumps({**facts, "sweeps": results}, indent=1)
        (HERE / "growth_scoring.json").write_text(text + "\n", encoding="utf-8")


def _sweep(name: str, values: tuple[int, ...], pool: Any) -> dict[str, Any]:
    points = [
        pool.apply(_several if name == "checkpoints" else _one, (replace(Size(), **{name: value}),))
        for value in values
    ]
    seconds, memory = [each[0] for each in points], [each[1] for each in points]
    return {
        "unit": UNITS[name],
        "values": values,
        "cpu_seconds": [round(each, 3) for each in seconds],
        "memory_mib": [round(each, 1) for each in memory],
        "exponent_of_seconds": _slope(values, seconds),
        "exponent_of_memory": _slope(values, memory),
    }


def _one(size: Size) -> tuple[float, float]:
    """CPU seconds and MiB of one model on random requests."""
    rng = np.random.default_rng(SEED)

    def some(count: int) -> tuple[int, ...]:
        return tuple(int(x) for x in rng.integers(1, size.vocabulary, count))

    def about(mean: int) -> tuple[int, ...]:
        return some(int(rng.integers(mean * 2 // 3, mean * 4 // 3 + 1)))

    examples = some(size.examples)
    pairs = [((*examples, *about(QUESTION)), about(size.trace)) for _ in range(size.items)]
    model = _model(size.hidden, size.vocabulary)
    token_nll(model, [((1, 2), (3,))])
    before, began = _peak(), time.process_time()
    token_nll(model, pairs)
    return time.process_time() - began, _peak() - before


def _several(size: Size) -> tuple[float, float]:
    """The same for several models on texts, the tokenising included."""
    rng = np.random.default_rng(SEED)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in range(2000)]

    def text(count: int) -> str:
        return " ".join(rng.choice(words, count))

    items = [
        Item(str(n), text(QUESTION // 2), text(1), rationale=text(size.trace // 2))
        for n in range(size.items + SHOTS)
    ]
    benchmark = BenchmarkItems("words", tuple(items[SHOTS:]), tuple(items[:SHOTS]))
    traces = {}
    for item in benchmark.items:
        letters = rng.uniform(0, 1, len(str(item.rationale)))
        traces[item.id] = Trace(item.id, str(item.rationale), runs_of(letters))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size.vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*words, *(benchmark.context(item) for item in items)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe)
    header = TraceHeader("words", "frontier", benchmark.prompt, "random")
    token_nll(_model(size.hidden, size.vocabulary), [((1, 2), (3,))])
    before, began = _peak(), time.process_time()
    prepared = prepare(benchmark, TraceSet(header, traces), tokenizer, 4096).items
    spent = time.process_time() - began
    for _ in range(size.checkpoints):
        model = _model(size.hidden, size.vocabulary)
        began = time.process_time()
        score(model, prepared)
        spent += time.process_time() - began
    return spent, _peak() - before


def _model(hidden: int, vocabulary: int) -> Any:
    torch.manual_seed(SEED)
    config = Olmo2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=max(1, hidden // 64),
        intermediate_size=4 * hidden,
        max_position_embeddings=4096,
        pad_token_id=0,
        eos_token_id=0,
    )
    return Olmo2ForCausalLM(config).eval()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def _slope(values: tuple[int, ...], found: list[float]) -> float:
    # What stays below a page has not grown.
    logs = np.log(np.maximum(found, 1e-2))
    return round(float(np.polyfit(np.log(values), logs, 1)[0]), 2)


def _print_table(results: list[dict[str, Any]]) -> None:
    print("| what grows | values | CPU s | CPU s ~ n^ | memory, MiB | memory ~ n^ |")
    print("|---|---|---|---|---|---|")
    for row in results:
        lists = [
            ", ".join(f"{each:,}" for each in row[name])
            for name in ("values", "cpu_seconds", "memory_mib")
        ]
        print(
            f"| {row['unit']} | {lists[0]} | {lists[1]} | {row['exponent_of_seconds']} "
            f"| {lists[2]} | {row['exponent_of_memory']} |"
        )


if __name__ == "__main__":
    main()
