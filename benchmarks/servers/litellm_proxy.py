"""LiteLLM's proxy in front of vLLM: what of its log-probabilities comes through.

    python benchmarks/servers/litellm_proxy.py [--work DIR]

Installs both servers, each in an environment of its own, and writes results/litellm_proxy.json. See
vllm_cpu.py for what vllm-cpu needs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from checks import Bench, main
from environments import Server, environment, serving
from measure import measure
from vllm_cpu import NAME, VLLM, command

LITELLM = Server(
    "litellm_proxy",
    ("litellm[proxy]==1.104.8",),
    ("litellm", "openai"),
    variables={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"},
    ready="/health/liveliness",
)
_CONFIG = """model_list:
  - model_name: {name}
    litellm_params:
      model: {provider}/{name}
      api_base: {address}/v1
      api_key: none
"""
# How LiteLLM may be told to speak to vLLM.
PROVIDERS = ("hosted_vllm", "openai")


def options(parser: argparse.ArgumentParser) -> None:
    """What this command takes beside the others' options."""
    parser.add_argument("--vllm-python", type=Path, help="an interpreter with vllm-cpu")


def run(bench: Bench) -> dict[str, Any]:
    """Each provider that vLLM may be configured as."""
    behind = bench.arguments.vllm_python or environment(VLLM, bench.work)
    measured = {}
    exact = command(bench.model, "--dtype", "float32")
    with serving(VLLM, behind, exact, bench.work / "vllm.log") as address:
        for provider in PROVIDERS:
            config = bench.work / f"{provider}.yaml"
            text = _CONFIG.format(name=NAME, provider=provider, address=address)
            config.write_text(text, encoding="utf-8")
            start = [str(bench.python.parent / "litellm"), "--config", str(config)]
            start += ["--host", "127.0.0.1", "--port", "PORT"]
            with serving(LITELLM, bench.python, start, bench.work / "litellm.log") as front:
                measured[provider] = measure(bench.subject(front, NAME), thinks=False)
    return measured


if __name__ == "__main__":
    sys.exit(main(LITELLM, run, options))
