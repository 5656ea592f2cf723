"""Written answers against HF generate, lm-evaluation-harness and an earlier build of ours.

    python benchmarks/speed/answers.py [--before CHECKOUT] [--runs 3] [--rows 32,128]
        [--models 192x50304,192x4096,512x50304]
    python benchmarks/speed/answers.py --parts

Needs lm-eval in the environment; CHECKOUT is a folder with the earlier build. A random Olmo2 of 8
layers writes 128 tokens after prompts in the shape of 5-shot GSM8K: 366 tokens of
worked examples that all share and a question of 58 on average, drawn at random, so nothing is
downloaded. Each side gets one thread and its turn, and the earlier build a process of its own; the
figures are CPU seconds without loading. The results of each load go to `answers.json` beside this
file once it is done, in place of an earlier one of the same load. `--parts` prints milliseconds of
what is done for each token with the first model's output layer.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from dataselect.scoring.decoding import greedy

HERE = Path(__file__).parent
MODELS = "192x50304,192x4096,512x50304"
"""Hidden size and vocabulary of each."""
EXAMPLES, QUESTION, NEW = 366, 58, 128
LENGTH = 1024
LOAD = ("hidden", "vocabulary", "rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", default="32,128")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.alone:
        hidden, words, rows = map(int, arguments.alone.split(","))
        model, tokenizer = _model(hidden, words), _tokenizer(words)
        seconds, written = _timed(lambda: _ours(model, tokenizer, _prompts(words, rows)))
        print(json.dumps({"seconds": seconds, "written": written}))
        return
    if arguments.parts:
        for rows in map(int, arguments.rows.split(",")):
            _parts(rows)
        return
    for model_name in arguments.models.split(","):
        hidden, words = map(int, model_name.split("x"))
        for rows in map(int, arguments.rows.split(",")):
            _write(_measure(hidden, words, rows, arguments.runs, arguments.before))


def _write(row: dict[str, Any]) -> None:
    """Into the file, with the other loads that it has."""
    path = HERE / "answers.json"
    known = json.loads(path.read_text(encoding="utf-8"))["loads"] if path.exists() else []
    kept = [x for x in known if any(x[name] != row[name] for name in LOAD)]
    loads = sorted([*kept, row], key=lambda each: [each[name] for name in LOAD])
    facts = {
        "command": "python benchmarks/speed/answers.py --before CHECKOUT",
        "threads": 1,
        "new_tokens": NEW,
        "seed": 0,
    }
    path.write_text(json.dumps({**facts, "loads": loads}, indent=1) + "\n", encoding="utf-8")


def _facts(runs: int, before: Path | None) -> dict[str, Any]:
    import lm_eval

    from dataselect.compute.machine import processor_name

    return {
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "lm_eval": lm_eval.__version__,
            "before": _commit(before),
        },
        "processor": processor_name(),
        "load_average": round(os.getloadavg()[1], 1),
        "runs": runs,
    }


def _measure(hidden: int, words: int, rows: int, runs: int, before: Path | None) -> dict[str, Any]:
    model, tokenizer, prompts = _model(hidden, words), _tokenizer(words), _prompts(words, rows)
    harness = _harness(model, tokenizer)
    sides = {
        "hf_generate": lambda: _generate(model, tokenizer, prompts),
        "lm_eval": lambda: _by_harness(harness, tokenizer, prompts),
        "dataselect": lambda: _ours(model, tokenizer, prompts),
    }
    seconds: dict[str, list[float]] = {}
    written: dict[str, list[list[int]]] = {}
    for _ in range(runs):
        for name, side in sides.items():
            took, written[name] = _timed(side)
            seconds.setdefault(name, []).append(took)
        if before is not None:
            took, written["before"] = _before(before, f"{hidden},{words},{rows}")
            seconds.setdefault("before", []).append(took)
    ours = written["dataselect"]
    row = {
        "hidden": hidden,
        "vocabulary": words,
        "rows": rows,
        **_facts(runs, before),
        "cpu_seconds": {name: [round(s, 2) for s in values] for name, values in seconds.items()},
        "ratio": {
            name: round(
                statistics.median(
                    a / b for a, b in zip(values, seconds["dataselect"], strict=True)
                ),
                2,
            )
            for name, values in seconds.items()
            if name != "dataselect"
        },
        "rows_equal": {
            name: sum(a == b for a, b in zip(ours, others, strict=True))
            for name, others in written.items()
            if name != "dataselect"
        },
    }
    print(json.dumps(row), flush=True)
    return row


def _parts(rows: int) -> None:
    from dataselect.scoring.most_probable import most_probable
    from dataselect.scoring.packed_layers import packed_layers

    hidden, words = map(int, MODELS.partition(",")[0].split("x"))
    torch.manual_seed(0)
    head = torch.nn.Linear(hidden, words, bias=False)
    states = torch.randn(rows, hidden)

    def as_torch() -> Any:
        top, token = logits.max(-1)
        return token, (top - logits.logsumexp(-1)).exp()

    with torch.inference_mode():
        logits = head(states)
        took = {"product": _milliseconds(lambda: head(states))}
        with packed_layers(torch.nn.ModuleList([head])):
            took["product, packed"] = _milliseconds(lambda: head(states))
        took["token and probability, torch"] = _milliseconds(as_torch)
        took["token and probability"] = _milliseconds(lambda: most_probable(logits))
    print(json.dumps({"rows": rows, **took}))


def _milliseconds(part: Any) -> float:
    return round(1e3 * statistics.median(_timed(part)[0] for _ in range(30)), 2)


def _timed(side: Any) -> tuple[float, Any]:
    began = time.process_time()
    found = side()
    return time.process_time() - began, found


def _ours(model: Any, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    return [list(each.ids) for each in greedy(model, tokenizer, prompts, NEW)]


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    with torch.inference_mode():
        ids = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=NEW,
            do_sample=False,
        )
    return ids[:, batch["input_ids"].shape[1] :].tolist()


def _by_harness(harness: Any, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    from lm_eval.api.instance import Instance

    options = {"until": ["\n\n"], "max_gen_toks": NEW, "do_sample": False}
    requests = [
        Instance("generate_until", {}, (prompt, dict(options)), number)
        for number, prompt in enumerate(prompts)
    ]
    found = harness.generate_until(requests, disable_tqdm=True)
    return [tokenizer(text)["input_ids"] for text in found]


def _before(checkout: Path, load: str) -> tuple[float, list[list[int]]]:
    found = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--alone", load],
        env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer = json.loads(found.stdout)
    return answer["seconds"], answer["written"]


def _commit(checkout: Path | None) -> str | None:
    if checkout is None:
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _model(hidden: int, words: int) -> Any:
    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=8,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
        max_position_embeddings=LENGTH,
        pad_token_id=0,
        eos_token_id=None,
    )
    return Olmo2ForCausalLM(config).eval()


def _tokenizer(words: int) -> Any:
    """Each word is a token, so that texts and ids say the same; word 0 pads and ends."""
    ids = {f"w{number}": number for number in range(words)}
    plain = Tokenizer(models.WordLevel(ids, unk_token="w0"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="w0", eos_token="w0")


def _prompts(words: int, rows: int) -> list[str]:
    rng = np.random.default_rng(0)

    def some(count: int) -> str:
        return " ".join(f"w{number}" for number in rng.integers(1, words, count))

    shared = some(EXAMPLES)
    least, most = QUESTION * 2 // 3, QUESTION * 4 // 3 + 2
    return [f"{shared} {some(int(rng.integers(least, most)))}" for _ in range(rows)]


def _harness(model: Any, tokenizer: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=128, max_length=LENGTH, device="cpu"
    )


if __name__ == "__main__":
    main()
