"""Baselines of many checkpoints: an earlier build beside this one, on real items.

    git worktree add BEFORE bf6979b
    python benchmarks/speed/baselines.py FOLDER --before BEFORE [--every 40] [--runs 3]
    python benchmarks/speed/baselines.py FOLDER --profile

FOLDER has local files of the benchmarks, as `dataselect score --folder`; every 40th item is taken.
The model is a random Olmo2 of hidden size 64 and 2 layers with the vocabulary of a byte-level BPE
tokenizer trained on the items, saved and loaded as a checkpoint; traces are the items' rationales,
or their questions again. Builds take turns, each as a process of one thread, which prepares the
items once and scores them as a checkpoint. CPU seconds of the scoring, what is done for each
checkpoint, are compared; preparing is done once for all of them. Results go to `baselines.json`
beside this file.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = (
    "gsm8k",
    "math500",
    "arc_challenge",
    "mmlu_pro_stem",
    "commonsense_qa",
    "humaneval",
)
SHOTS = 5
VOCABULARY = 16_000
LENGTH = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--every", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="Print torch's profile of MMLU-Pro.")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_build(given.folder, given.every)))
        return
    if given.profile:
        one_build(given.folder, given.every, profiled="mmlu_pro_stem")
        return
    builds = {"now": HERE.parents[1]}
    if given.before:
        builds = {"before": given.before.resolve(), **builds}
    found: dict[str, list[dict[str, Any]]] = {build: [] for build in builds}
    for _ in range(given.runs):
        for build, place in builds.items():
            call = [sys.executable, __file__, str(given.folder), "--one"]
            call += ["--every", str(given.every)]
            settings = {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
            told = subprocess.run(
                call, env={**os.environ, **settings}, check=True, capture_output=True, text=True
            )
            found[build].append(json.loads(told.stdout.splitlines()[-1]))
            print(build, {n: r["score"] for n, r in found[build][-1]["benchmarks"].items()})
    (HERE / "baselines.json").write_text(json.dumps(summary(found, given), indent=1) + "\n")


def one_build(folder: Path, every: int, profiled: str | None = None) -> dict[str, Any]:
    """CPU seconds and tables of this build; prints a profile of the benchmark `profiled`."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers import Olmo2Config, Olmo2ForCausalLM

    from dataselect.benchmarks.known import KNOWN
    from dataselect.benchmarks.load import load_benchmark
    from dataselect.scoring.baselines import prepare_baselines, score_prepared

    torch.set_num_threads(1)
    benchmarks = []
    for name in NAMES:
        benchmark = load_benchmark(KNOWN[name], folder, None)[0]
        if not benchmark.shots:
            benchmark = replace(
                benchmark, shots=benchmark.items[:SHOTS], items=benchmark.items[SHOTS:]
            )
        benchmarks.append(replace(benchmark, items=benchmark.items[::every]))
    tokenizer = trained_tokenizer(benchmarks)
    torch.manual_seed(0)
    ending = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    random = Olmo2ForCausalLM(
        Olmo2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            **ending,
        )
    )
    with tempfile.TemporaryDirectory() as name:
        random.save_pretrained(name)
        tokenizer.save_pretrained(name)
        model = load(Path(name))
    rows = {}
    for benchmark in benchmarks:
        began = time.process_time()
        prepared = prepare_baselines(benchmark, [made_traces(benchmark)], tokenizer, LENGTH)
        ready = time.process_time()
        with torch.profiler.profile() if benchmark.id == profiled else nullcontext() as profile:
            scored = score_prepared(model, prepared)
        if profile is not None:
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
        rows[benchmark.id] = {
            "items": len(benchmark.items),
            "prepare": ready - began,
            "score": time.process_time() - ready,
            "tokens": scored.tokens,
            "nll": scored.table[["answer_nll", "scb_nll"]].to_numpy().tolist(),
            "accuracies": scored.table.filter(regex="^acc_").to_numpy().tolist(),
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"benchmarks": rows, "peak_mib": peak, "vocabulary": len(tokenizer)}


def load(folder: Path) -> Any:
    """The checkpoint as this build loads it to score it."""
    try:
        from dataselect.scoring.likelihood_loading import load_for_likelihoods as load_model
    except ImportError:  # an earlier build has one way to load
        from dataselect.scoring.loading import load_model
    loaded = load_model(folder, "cpu", "float32")
    return getattr(loaded, "model", None) or loaded[0]


def made_traces(benchmark: Any) -> Any:
    """The items' rationales, or their questions again, with the answers."""
    from dataselect.traces.trace import Trace, TraceHeader, TraceSet

    traces = {}
    for item in benchmark.items:
        text = (item.rationale or f"First, {item.question}").strip()
        traces[item.id] = Trace(item.id, text, ((len(text), 0.5),), item.answer)
    return TraceSet(TraceHeader(benchmark.id, "frontier", benchmark.prompt, "made"), traces)


def trained_tokenizer(benchmarks: list[Any]) -> Any:
    """A byte-level BPE tokenizer of the items' questions, choices and rationales."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [
        " ".join([item.question, *(item.choices or ()), item.rationale or ""])
        for benchmark in benchmarks
        for item in benchmark.items
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")


def summary(found: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> dict[str, Any]:
    """By benchmark and of all: CPU seconds, their ratio, and the largest difference of a score."""
    import numpy as np
    import torch
    import transformers
    from measuring import spread

    last = {build: runs[-1]["benchmarks"] for build, runs in found.items()}
    rows: dict[str, Any] = {}
    for name in (*last["now"], "all"):
        names = list(last["now"]) if name == "all" else [name]
        seconds = {
            build: [sum(run["benchmarks"][n]["score"] for n in names) for run in runs]
            for build, runs in found.items()
        }
        rows[name] = {
            "items": sum(last["now"][n]["items"] for n in names),
            "cpu_seconds": {build: spread(each) for build, each in seconds.items()},
            "tokens": {b: sum(each[n]["tokens"] for n in names) for b, each in last.items()},
        }
        if "before" in seconds:
            rows[name]["before / now"] = spread(np.divide(seconds["before"], seconds["now"]))
            differences = [
                np.nanmax(np.abs(np.subtract(last["before"][n][key], last["now"][n][key])))
                for n in names
                for key in ("nll", "accuracies")
                if np.size(last["now"][n][key])
            ]
            rows[name]["largest_difference"] = float(f"{max(differences):.2g}")
    return {
        "command": "python benchmarks/speed/baselines.py FOLDER --before BEFORE",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "every": given.every,
        "runs": given.runs,
        "vocabulary": found["now"][-1]["vocabulary"],
        "load": round(os.getloadavg()[1], 1),
        "peak_mib": {build: runs[-1]["peak_mib"] for build, runs in found.items()},
        "benchmarks": rows,
    }


if __name__ == "__main__":
    main()
