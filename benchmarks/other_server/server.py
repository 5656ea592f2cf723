"""llama-cpp-python's server on the weights of a transformers model, in an environment of its own.

It is not among our dependencies: it is compiled on installation, and only this check needs it.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PACKAGES = ("llama-cpp-python[server]", "gguf")
_START_SECONDS = 60.0


def make_environment(folder: Path) -> Path:
    """The interpreter of a virtual environment with the server, made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", *PACKAGES], check=True)
        (folder / "done").touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """Versions of the server and of what writes its file."""
    code = (
        "import json, importlib.metadata as m;"
        "print(json.dumps({n: m.version(n) for n in ('llama-cpp-python', 'gguf')}))"
    )
    output = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(output.stdout)
    return found


def write_gguf(
    python: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Write the model as GGUF by the server's own environment."""
    folder = out.parent
    config = model.config
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
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
        "merges": [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]],
        "end": tokenizer.eos_token_id,
        "template": tokenizer.chat_template,
    }
    (folder / "description.json").write_text(json.dumps(description), encoding="utf-8")
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    np.savez(folder / "weights.npz", **weights)
    script = Path(__file__).parent / "gguf_file.py"
    subprocess.run([str(python), str(script), str(folder), str(out)], check=True)


@contextmanager
def serving(python: Path, gguf: Path, options: Sequence[str], log: Path) -> Iterator[str]:
    """Run the server on loopback; gives its address, and ends it afterwards.

    Raises RuntimeError when it does not answer within a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # It reads its settings from the environment too, by names as common as MODEL and SEED.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [str(python), "-m", "llama_cpp.server", "--model", str(gguf), "--model_alias", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "1024"]
    command += ["--logits_all", "true", "--verbose", "false", *options]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait()


def call(url: str, body: Any = None) -> Any:
    """The JSON that a server answers, to a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            call(f"{address}/v1/models")
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the server does not start; see {log}")
