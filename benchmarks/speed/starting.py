"""CPU seconds to load what commands need: an earlier build beside this one, and their libraries.

    git worktree add BEFORE bf6979b
    python benchmarks/speed/starting.py --before BEFORE [--runs 3] [--store STORE]

Loading for `score` is that of its modules and of a random Olmo2 of 64 × 2, as kernels know it, and
of the same as a Llama, which transformers loads; with numba or without, as the environment is.
With `--store` also the quickstart whose everything is in that store, which this build's `dataselect
run candidates/quickstart.yaml --store STORE` has filled. (bf6979b would train other proxies.)
Whole processes that take turns, with compiled modules in a folder of their own that the first turn,
which is not counted, fills. Libraries alone show what no change here can save. Results go to
`starting.json` beside this file.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from measuring import process_seconds, spread

HERE = Path(__file__).parent
MODEL = "from transformers import Olmo2ForCausalLM"
LIBRARIES = {
    "python": "pass",
    "torch": "import torch",
    "torch, its compiler": "import torch._dynamo",
    "torch, its distributed tensors": "import torch.distributed.tensor",
    "one model class of transformers": MODEL,
    "pandas": "import pandas",
}
SCORING = """
import {api}, dataselect.scoring.baselines
from pathlib import Path
try:
    from dataselect.scoring.likelihood_loading import load_for_likelihoods as load
except ImportError:  # an earlier build has one way to load
    from dataselect.scoring.loading import load_model as load
load(Path("{folder}"), "cpu", "float32")
"""
"""What `score` needs of a build, and a checkpoint: "proxy", or "other", which no kernels know."""
COMMAND = (sys.executable, "-m", "dataselect")
AGREE = "agree proxies.csv targets.csv --lower-is-better"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    builds = {"now": HERE.parents[1]}
    if given.before:
        builds = {"before": given.before.resolve(), **builds}
    python = (sys.executable, "-c")
    calls: dict[str, tuple[tuple[str, ...], Path]] = {
        name: ((*python, code), HERE.parents[1]) for name, code in LIBRARIES.items()
    }
    for build, place in builds.items():
        # bf6979b has its functions beside the packages.
        early = not (place / "dataselect/api").exists()
        api = "score" if early else "api.score"
        for checkpoint in ("proxy", "other"):
            code = SCORING.format(api=f"dataselect.{api}", folder=checkpoint)
            calls[f"score's loading, {checkpoint}, {build}"] = ((*python, code), place)
        calls[f"agree, {build}"] = ((*COMMAND, *AGREE.split()), place)
        if given.store and not early:
            run = ("run", "candidates/quickstart.yaml", "--store", str(given.store.resolve()))
            calls[f"cached run, {build}"] = ((*COMMAND, *run), place)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(folder)
        write_checkpoints(folder)
        for inputs in ("candidates", "stages"):
            shutil.copytree(HERE.parents[1] / inputs, folder / inputs)
        compiled = {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        for turn in range(given.runs + 1):
            for what, (call, place) in calls.items():
                extra = {**compiled, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
                taken = process_seconds(call, folder, extra)[1]
                if turn:
                    seconds[what].append(taken)
    found = {
        "command": "python benchmarks/speed/starting.py --before BEFORE",
        "versions": {name: version(name) for name in ("torch", "transformers", "pandas")},
        "extras": {name: find_spec(name) is not None for name in ("numba", "gigatoken")},
        "load": round(os.getloadavg()[1], 1),
        "runs": given.runs,
        "cpu_seconds": {name: spread(each) for name, each in seconds.items()},
    }
    (HERE / "starting.json").write_text(json.dumps(found, indent=1) + "\n")
    for what, each in found["cpu_seconds"].items():
        print(f"{what:40} {each['median']:.2f} [{each['min']:.2f}, {each['max']:.2f}]")


def write_tables(folder: Path) -> None:
    """Twelve candidates with three seeds, and their targets."""
    proxies = [f"c{i},{s},{1 + 0.1 * i + 0.03 * s}" for i in range(12) for s in range(3)]
    targets = [f"c{i},{40 - i}" for i in range(12)]
    (folder / "proxies.csv").write_text("\n".join(["id,seed,made", *proxies]) + "\n")
    (folder / "targets.csv").write_text("\n".join(["id,accuracy", *targets]) + "\n")


def write_checkpoints(folder: Path) -> None:
    """A model of 64 × 2 with 300 words, as Olmo2 and as Llama, with a byte-level tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Olmo2Config,
        Olmo2ForCausalLM,
        PreTrainedTokenizerFast,
    )

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["a few words and a few more words"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")
    shape = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 128}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    shape |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    made = {
        "proxy": Olmo2ForCausalLM(Olmo2Config(**shape)),
        "other": LlamaForCausalLM(LlamaConfig(**shape)),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


if __name__ == "__main__":
    main()
