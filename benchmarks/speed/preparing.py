"""Tokens and weights of real benchmarks, against lm-evaluation-harness's way of tokenising.

    python benchmarks/speed/preparing.py FOLDER [--runs 3]

FOLDER has local files of the benchmarks, as `dataselect score --folder`. A byte-level BPE tokenizer
of 16 thousand entries is trained on their questions. HFLM tokenises each context once alone and
once with its continuation; ours does the same requests with the letters' weights on top. Reasoning
traces are the items' rationales, or the question again where they have none, with random letter
probabilities. Both sides get one thread and take turns; figures are CPU seconds. Needs lm-eval.
Results go to `preparing.json` beside this file.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tokenizers
import torch
import transformers
from measuring import spread
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.compute.machine import processor_name
from dataselect.scoring.baselines import prepare_baselines
from dataselect.scoring.prepare import prepare
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, runs_of

HERE = Path(__file__).parent
ITEMS = {"gsm8k": 300, "mmlu_pro_stem": 150, "arc_challenge": 300}
SHOTS = 5
VOCABULARY = 16_000
LENGTH = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    import lm_eval

    torch.set_num_threads(1)
    benchmarks = [_load(name, arguments.folder, limit) for name, limit in ITEMS.items()]
    tokenizer = _tokenizer(benchmarks)
    theirs = _harness(tokenizer)
    results = []
    for benchmark in benchmarks:
        results += _measure(benchmark, tokenizer, theirs, arguments.runs)
    _print_table(results)
    facts = {
        "command": "python benchmarks/speed/preparing.py FOLDER",
        "versions": {
            "tokenizers": tokenizers.__version__,
            "transformers": transformers.__version__,
            "lm_eval": lm_eval.__version__,
        },
        "processor": processor_name(),
        "threads": 1,
        "seed": 0,
        "runs": arguments.runs,
        "vocabulary": len(tokenizer),
    }
    text = json.dumps({**facts, "loads": results}, indent=1)
    (HERE / "preparing.json").write_text(text + "\n", encoding="utf-8")


def _load(name: str, folder: Path, limit: int) -> BenchmarkItems:
    """Where the folder has no file of worked examples, the first items become them."""
    benchmark, _, _ = load_benchmark(KNOWN[name], folder, limit)
    if benchmark.shots:
        return benchmark
    return replace(benchmark, shots=benchmark.items[:SHOTS], items=benchmark.items[SHOTS:])


def _measure(
    benchmark: BenchmarkItems, tokenizer: Any, theirs: Any, runs: int
) -> list[dict[str, Any]]:
    traces = _traces(benchmark)

    def scored() -> Any:
        made = prepare(benchmark, traces, tokenizer, LENGTH).items
        labels = [(item.label_context_ids, item.label_ids) for item in made]
        return [(item.context_ids, item.trace_ids) for item in made] + labels

    def compared() -> Any:
        return prepare_baselines(benchmark, [traces], tokenizer, LENGTH).pairs

    rows = []
    for what, ours in (("traces and labels", scored), ("baselines", compared)):
        pairs = ours()
        texts = [(tokenizer.decode(c), tokenizer.decode(ids)) for c, ids in pairs]
        seconds: dict[str, list[float]] = {"harness": [], "dataselect": []}
        for _ in range(runs):
            began = time.process_time()
            encoded = [theirs._encode_pair(context, text) for context, text in texts]
            seconds["harness"].append(time.process_time() - began)
            began = time.process_time()
            ours()
            seconds["dataselect"].append(time.process_time() - began)
        same = sum(
            (*mine[0], *mine[1]) == (*other[0], *other[1])
            for mine, other in zip(pairs, encoded, strict=True)
        )
        turns = zip(seconds["harness"], seconds["dataselect"], strict=True)
        rows.append(
            {
                "load": f"{benchmark.id}, {what}",
                "items": len(benchmark.items),
                "requests": len(pairs),
                "tokens": sum(len(c) + len(ids) for c, ids in pairs),
                "requests_with_the_same_tokens": same,
                "harness_cpu_seconds": spread(seconds["harness"]),
                "dataselect_cpu_seconds": spread(seconds["dataselect"]),
                "ratio": spread(a / b for a, b in turns),
            }
        )
    return rows


def _traces(benchmark: BenchmarkItems) -> TraceSet:
    rng = np.random.default_rng(0)
    traces = {}
    for item in benchmark.items:
        text = (item.rationale or f"First, {item.question}").strip()
        # A frontier's token has some four letters, and they share its probability.
        letters = np.repeat(rng.uniform(0.1, 1, len(text) // 4 + 1), 4)[: len(text)]
        traces[item.id] = Trace(item.id, text, runs_of(letters), item.answer)
    return TraceSet(TraceHeader(benchmark.id, "frontier", benchmark.prompt, "random"), traces)


def _tokenizer(benchmarks: list[BenchmarkItems]) -> Any:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((b.context(item) for b in benchmarks for item in b.items), trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end)


def _harness(tokenizer: Any) -> Any:
    """HFLM with the tokenizer; its model is never asked."""
    from lm_eval.models.huggingface import HFLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return HFLM(pretrained=LlamaForCausalLM(config), tokenizer=tokenizer, device="cpu")


def _print_table(results: list[dict[str, Any]]) -> None:
    print("| requests | count | tokens | HFLM, CPU s | dataselect, CPU s | ratio | same tokens |")
    print("|---|---|---|---|---|---|---|")
    for row in results:
        ratio = row["ratio"]
        print(
            f"| {row['load']} | {row['requests']:,} | {row['tokens']:,} "
            f"| {row['harness_cpu_seconds']['median']} | {row['dataselect_cpu_seconds']['median']} "
            f"| **{ratio['median']}** [{ratio['min']}, {ratio['max']}] "
            f"| {row['requests_with_the_same_tokens'] / row['requests']:.1%} |"
        )


if __name__ == "__main__":
    main()
