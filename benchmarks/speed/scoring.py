"""Scoring against lm-evaluation-harness's HFLM: same model, same requests, same process.

    python benchmarks/speed/scoring.py [--runs 3] [--only NAME] [--profile]

Needs lm-eval in the environment. Requests are token ids of the shapes that real benchmarks have
(drawn at random, so nothing is downloaded): what is shared between items is what matters. Both
sides get one thread and take turns; the figures are CPU seconds of this process, so other work on
the machine disturbs them little. Results go to `scoring.json` beside this file.

With `--profile` the two sides run under torch's profiler instead, and a table of shares is printed.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.profiler import ProfilerActivity, profile
from transformers import Olmo2Config, Olmo2ForCausalLM

from dataselect.compute.machine import processor_name
from dataselect.scoring.likelihood.head import _VOCABULARY_TILE
from dataselect.scoring.likelihood.scorer import token_nll

HERE = Path(__file__).parent
VOCABULARY = 50_304
BATCH = 16

Pairs = list[tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class Load:
    """Requests in the shape of a benchmark: tokens of examples, question and continuation."""

    name: str
    items: int
    kinds: int
    examples: int
    question: int
    continuation: int
    choices: int
    hidden: int
    layers: int = 8

    def pairs(self) -> Pairs:
        """(context, continuation) of every request; lengths vary by a third around the mean."""
        rng = np.random.default_rng(0)

        def exactly(count: int) -> tuple[int, ...]:
            return tuple(int(x) for x in rng.integers(1, VOCABULARY, count))

        def some(mean: int) -> tuple[int, ...]:
            return exactly(int(rng.integers(max(1, mean * 2 // 3), mean * 4 // 3 + 2)))

        prefixes = [exactly(self.examples) for _ in range(self.kinds)]
        contexts = [(*prefixes[n % self.kinds], *some(self.question)) for n in range(self.items)]
        return [(c, some(self.continuation)) for c in contexts for _ in range(self.choices)]


# Lengths are those of the real ones with a vocabulary of 50 thousand.
LOADS = (
    Load("GSM8K traces, 5 shots, hidden 192", 80, 1, 366, 58, 66, 1, 192),
    Load("GSM8K traces, 5 shots, hidden 512", 30, 1, 366, 58, 66, 1, 512),
    Load("MMLU-Pro STEM traces, 5 shots, hidden 192", 48, 3, 1300, 150, 140, 1, 192),
    Load("ARC-C cloze, 5 shots, hidden 192", 60, 1, 210, 35, 6, 4, 192),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    import lm_eval

    torch.set_num_threads(1)
    loads = [load for load in LOADS if arguments.only in load.name]
    if arguments.profile:
        _print_profiles(loads)
        return
    results = [_measure(load, arguments.runs) for load in loads]
    for row in results:
        print(json.dumps(row))
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/scoring.py",
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "lm_eval": lm_eval.__version__,
            },
            "processor": processor_name(),
            "threads": 1,
            "batch": BATCH,
            "seed": 0,
            "runs": arguments.runs,
        }
        text = json.dumps({**facts, "loads": results}, indent=1)
        (HERE / "scoring.json").write_text(text + "\n", encoding="utf-8")


def _measure(load: Load, runs: int) -> dict[str, Any]:
    model = _model(load)
    theirs = _harness(model)
    pairs = load.pairs()
    requests = [(("", ""), list(context), list(ids)) for context, ids in pairs]
    seconds: dict[str, list[float]] = {"harness": [], "dataselect": []}
    sums: dict[str, list[float]] = {}
    for _ in range(runs):
        began = time.process_time()
        sums["harness"] = [found[0] for found in theirs._loglikelihood_tokens(requests)]
        seconds["harness"].append(time.process_time() - began)
        began = time.process_time()
        found = token_nll(model, pairs)
        seconds["dataselect"].append(time.process_time() - began)
        sums["dataselect"] = [-float(nll.sum()) for nll in found.nll]
    lengths = np.array([len(ids) for _, ids in pairs])
    apart = np.abs(np.array(sums["harness"]) - np.array(sums["dataselect"])) / lengths
    ratios = [a / b for a, b in zip(seconds["harness"], seconds["dataselect"], strict=True)]
    return {
        "load": load.name,
        "requests": len(pairs),
        "tokens_of_requests": int(sum(len(c) + len(ids) - 1 for c, ids in pairs)),
        "tokens_computed": found.tokens,
        "harness_cpu_seconds": [round(value, 2) for value in seconds["harness"]],
        "dataselect_cpu_seconds": [round(value, 2) for value in seconds["dataselect"]],
        "ratio": {
            "min": round(min(ratios), 2),
            "median": round(statistics.median(ratios), 2),
            "max": round(max(ratios), 2),
        },
        "largest_difference_nats_per_token": float(f"{apart.max():.2g}"),
    }


def _model(load: Load) -> Any:
    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=VOCABULARY,
        hidden_size=load.hidden,
        num_hidden_layers=load.layers,
        num_attention_heads=load.hidden // 64 or 1,
        intermediate_size=4 * load.hidden,
        max_position_embeddings=4096,
        pad_token_id=0,
        eos_token_id=0,
    )
    return Olmo2ForCausalLM(config).eval()


def _harness(model: Any) -> Any:
    """HFLM around the model; its tokenizer is never asked, since requests are token ids."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bytes_alone = {name: i for i, name in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(bytes_alone, [])), eos_token="Ā", pad_token="Ā"
    )
    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=BATCH, max_length=4096, device="cpu"
    )


DTYPES = (
    "products with the output layer",
    "softmax over the vocabulary",
    "other products",
    "attention",
    "norms, activations, positions, copies",
    "rest",
)
# fmt: off
_OF_SOFTMAX = frozenset((
    "logsumexp", "_log_softmax", "log_softmax", "exp", "exp_", "amax", "sub", "sub_", "gather",
    "logaddexp", "log_", "argmax", "eq", "where",
))
_IN_LAYERS = frozenset((
    "mul", "mul_", "add", "add_", "pow", "neg", "mean", "rsqrt", "silu", "cat", "copy_", "clone",
    "_to_copy", "masked_fill_", "fill_", "zero_", "cos", "sin", "index", "index_select", "sum",
))
# fmt: on


def _print_profiles(loads: list[Load]) -> None:
    """Where the time of the operations goes, in percent of the harness's."""
    columns: dict[str, dict[str, float]] = {}
    for load in loads:
        model, pairs = _model(load), load.pairs()
        theirs = _harness(model)
        requests = [(("", ""), list(context), list(ids)) for context, ids in pairs]
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as one:
            theirs._loglikelihood_tokens(requests, disable_tqdm=True)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as other:
            token_nll(model, pairs)
        columns[f"{load.name}: HFLM"] = _spent(one)
        columns[f"{load.name}: dataselect"] = _spent(other)
    names = list(columns)
    totals = {name: sum(columns[names[i - i % 2]].values()) / 100 for i, name in enumerate(names)}
    print(f"| percent of HFLM's time | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for kind in DTYPES:
        shares = (columns[name][kind] / totals[name] for name in names)
        print(f"| {kind} | {' | '.join(f'{share:.1f}' for share in shares)} |")
    sums = (sum(columns[name].values()) / totals[name] for name in names)
    print(f"| all | {' | '.join(f'{share:.1f}' for share in sums)} |")


def _spent(profiler: profile) -> dict[str, float]:
    spent = dict.fromkeys(DTYPES, 0.0)
    for event in profiler.key_averages(group_by_input_shape=True):
        spent[_kind(event.key, event.input_shapes)] += event.self_cpu_time_total
    return spent


def _kind(name: str, shapes: list[list[int]]) -> str:
    name = name.removeprefix("aten::")
    if name in ("mm", "addmm", "bmm", "matmul", "linear"):
        # No layer of the loads has so many columns as a tile.
        columns = {shape[-1] for shape in shapes[1:] if shape}
        of_head = {VOCABULARY, _VOCABULARY_TILE, VOCABULARY % _VOCABULARY_TILE}
        return DTYPES[0] if columns & of_head else DTYPES[2]
    if "scaled_dot_product" in name:
        return DTYPES[3]
    if name in _OF_SOFTMAX:
        return DTYPES[1]
    return DTYPES[4] if name in _IN_LAYERS else DTYPES[5]


if __name__ == "__main__":
    main()
