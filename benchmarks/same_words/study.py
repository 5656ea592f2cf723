"""Which score orders candidates that have the same words? Targets, proxies and all their scores.

    python benchmarks/same_words/study.py targets [--held-out] [--seeds 3]
    python benchmarks/same_words/study.py proxies [--held-out] [--seeds 3]
    python benchmarks/same_words/tables.py

`targets` trains the target on every candidate of `candidates/same-words.yaml`, or of
`held_out.yaml` with `--held-out`, and grades its answers; `proxies` does the same with proxies of
five budgets. Each writes its part of `measured.json` in the store's folder. `tables.py` scores the
checkpoints of the proxies by all that they say about the traces, and compares. One process with one
thread; interrupted, it goes on where it was.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.proxies.make import ProxyRequest, make_proxy
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluate import measure
from dataselect.scoring.measured import find
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import make_recipes, prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, write_atomic

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFESTS = {
    "candidates": ROOT / "candidates" / "same-words.yaml",
    "held out": HERE / "held_out.yaml",
}
STORE = ROOT / ".dataselect" / "same-words"
SIZES: Mapping[str, Mapping[str, Any]] = {
    "small": {"hidden_size": 32, "tokens": 50_000, "batch_size": 2},
    "middle": {"hidden_size": 48, "tokens": 100_000, "batch_size": 4},
    "large": {"hidden_size": 64, "tokens": 160_000, "batch_size": 4},
    "long": {"hidden_size": 32, "tokens": 400_000, "batch_size": 4},
    "quarter": {"hidden_size": 64, "tokens": 400_000, "batch_size": 4},
}
"""Proxies of two layers, of about 1/104, 1/27, 1/10, 1/13 and 1/4 of the target's FLOPs. The last
two were added after the others' scores were seen; they read half as many tokens as the target."""


@dataclass(frozen=True)
class Run:
    """One model to train."""

    size: str
    """A size of `SIZES`, or "target"."""
    seed: int
    candidate: str
    request: ProxyRequest

    @property
    def name(self) -> str:
        """Its key in `measured.json`."""
        return f"{self.size}/{self.seed}/{self.candidate}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["targets", "proxies"])
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--held-out", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    experiment = prepared("held out" if arguments.held_out else "candidates", arguments.store)
    sizes = ["target"] if arguments.what == "targets" else list(SIZES)
    file = arguments.store / "measured.json"
    for run in runs(experiment, sizes, arguments.seeds):
        measured = json.loads(file.read_bytes()) if file.exists() else {}
        if run.name not in measured:
            measured[run.name] = _measure(experiment, run)
            write_atomic(file, json.dumps(measured).encode())
        print(run.name, measured[run.name]["accuracy"], flush=True)


def prepared(which: str, store: Path) -> Experiment:
    """The targets' experiment; their streams are the longest and serve all sizes."""
    runtime = Runtime(Store(store), InlineCompute())
    return prepare(load_manifest(MANIFESTS[which]), load_plan("target.yaml", HERE), runtime)


def runs(experiment: Experiment, sizes: list[str], seeds: int) -> Iterator[Run]:
    """Every model of these sizes and so many seeds."""
    assert experiment.tokenizer is not None, "prepared where anything is trained"
    vocabulary = experiment.tokenizer.vocab_size
    for size in sizes:
        for seed in range(seeds):
            plan = with_proxy(experiment.plan, size, seed)
            at_size = replace(experiment, plan=plan, recipes=make_recipes(plan, vocabulary, "cpu"))
            for candidate in experiment.manifest.candidates:
                request = at_size.request(StageName.SCREEN, candidate.id)
                yield Run(size, seed, candidate.id, request)


def with_proxy(plan: Plan, size: str, seed: int) -> Plan:
    """The target's plan for a proxy of this size and seed."""
    assert plan.screen.proxy is not None, "target.yaml has one"
    old = plan.screen.proxy.model_dump()
    changes: dict[str, Any] = {"seed": seed}
    if size != "target":
        of_size = dict(SIZES[size])
        width = of_size.pop("hidden_size")
        shape = {"hidden_size": width, "layers": 2, "heads": 2, "intermediate_size": 2 * width}
        changes |= {"architecture": shape, **of_size}
    proxy = plan.screen.proxy.model_validate({**old, **changes})
    return plan.model_copy(update={"screen": plan.screen.model_copy(update={"proxy": proxy})})


def _measure(experiment: Experiment, run: Run) -> dict[str, Any]:
    """Size, cost and accuracy of a model, trained first where the store lacks it."""
    store, (evaluation,) = experiment.store, experiment.evaluations.values()
    proxy = make_proxy(store, run.request, run.candidate, "cpu", lambda _: None)
    recipe = run.request.recipe
    checkpoint = TrainedCheckpoint(proxy, recipe.steps)
    measure(store, checkpoint, [evaluation], ("graded",), device="cpu", name=run.name)
    graded = find(store, checkpoint, evaluation, "graded")
    assert graded is not None, "measured a line ago"
    return {
        "parameters": recipe.parameters,
        "tokens": recipe.tokens,
        "cpu_seconds": proxy.facts["cpu_seconds"],
        "accuracy": float(graded.table["correct"].mean()),
        "ted": float(graded.table["ted_per_token"].mean()),
    }


if __name__ == "__main__":
    main()
