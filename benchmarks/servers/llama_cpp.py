"""llama-cpp-python's server: what dataselect makes of it, against transformers.

    python benchmarks/servers/llama_cpp.py [--work DIR]

Writes the weights as single-precision GGUF (gguf_file.py), serves them as installed and in exact
settings, and writes results/llama_cpp.json. Ends with 1 when a log-probability in exact settings
differs by more than 1e-4 nats. Installing the server compiles llama.cpp.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from checks import Bench, main
from environments import Server, call, serving
from measure import Subject, measure
from model import FORMS, TASK, make_model, prompt_ids

from dataselect.traces.recording.completion import messages

LLAMA_CPP = Server(
    "llama_cpp",
    ("llama-cpp-python[server]==0.3.36", "gguf==0.19.0"),
    ("llama-cpp-python", "gguf"),
    # No pictures, which take as long to compile as the rest.
    variables={"CMAKE_ARGS": "-DLLAVA_BUILD=OFF"},
)
SETTINGS: dict[str, tuple[str, ...]] = {
    "as installed": (),
    # Keys and values cached in single precision (0 is GGML's F32), and no penalty on tokens that
    # came before: the server's own default is one of 1.1 over the last 64.
    "exact": ("--type_k", "0", "--type_v", "0", "--last_n_tokens_size", "0"),
}


def run(bench: Bench) -> dict[str, Any]:
    """Both settings."""
    gguf = bench.work / "model.gguf"
    write_gguf(bench, gguf)
    start = ["-m", "llama_cpp.server", "--model", str(gguf), "--model_alias", "tiny"]
    start += ["--host", "127.0.0.1", "--port", "PORT", "--n_ctx", "2048"]
    start += ["--logits_all", "true", "--verbose", "false"]
    measured = {}
    for name, options in SETTINGS.items():
        log = bench.work / "llama.log"
        with serving(LLAMA_CPP, bench.python, [*start, *options], log) as address:
            subject = bench.subject(address, "tiny")
            alike = {"prompts_tokenised_alike": prompts_alike(subject)}
            measured[name] = alike | measure(subject, thinks=True)
    return measured


def prompts_alike(subject: Subject) -> int:
    """How many of the prompts the server turns into the same token ids."""
    alike = 0
    for form in FORMS:
        for item in subject.items:
            prompt = messages(item.question, TASK, form)
            text = subject.tokenizer.apply_chat_template(
                prompt, tokenize=False, add_generation_prompt=True
            )
            ids = call(f"{subject.address}/extras/tokenize", {"input": text})["tokens"]
            alike += ids == prompt_ids(subject.tokenizer, prompt)
    return alike


def write_gguf(bench: Bench, out: Path) -> None:
    """Write the model as GGUF by the server's own environment."""
    model, tokenizer = make_model(bench.model, 0, 0)
    config = model.config
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())
    description = {
        "context": config.max_position_embeddings,
        "hidden": config.hidden_size,
        "layers": config.num_hidden_layers,
        "feed_forward": config.intermediate_size,
        "heads": config.num_attention_heads,
        "key_value_heads": config.num_key_value_heads,
        "rope_theta": config.rope_parameters["rope_theta"],
        "epsilon": config.rms_norm_eps,
        "tokens": tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))),
        "shown": [each["id"] for each in bpe["added_tokens"] if not each["special"]],
        "merges": [m if isinstance(m, str) else " ".join(m) for m in bpe["model"]["merges"]],
        "end": tokenizer.eos_token_id,
        "template": tokenizer.chat_template,
    }
    (out.parent / "description.json").write_text(json.dumps(description), encoding="utf-8")
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    np.savez(out.parent / "weights.npz", **weights)
    script = Path(__file__).parent / "gguf_file.py"
    subprocess.run([str(bench.python), str(script), str(out.parent), str(out)], check=True)


if __name__ == "__main__":
    sys.exit(main(LLAMA_CPP, run))
