"""All the paper's metrics on one footing: decision accuracy against FLOPs.

    python benchmarks/desk_scale/all_metrics.py [--store DIR] [--seeds 3]

Trains proxies of several budgets on the quickstart's ten candidates, three seeds each (one of the
largest), measures every metric of the paper on them, and compares the rankings with the target
accuracies that `study.py` measured. Accuracy after fine-tuning (iSFT) is measured at two budgets,
on 1,024 problems of each benchmark's kind, at the paper's learning rate and at one that suits
proxies of this size. Writes `all_metrics.json` beside this file.

One process with one thread, half an hour of CPU time; interrupted, it goes on where it was.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from make_items import BENCHMARKS, rationale

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.training_set import without_examples
from dataselect.compute import InlineCompute
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.cost import training_flops
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import aggregate
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.proxies.make import Proxy, make_proxy
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import Measurement
from dataselect.scoring.finetune import FinetunedCheckpoint, asked_as_trained
from dataselect.scoring.isft import tune_recipe
from dataselect.scoring.measured import find
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import make_recipes, prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, write_atomic
from dataselect.synthetic.world import benchmark_problems
from dataselect.units import parse_count

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFEST = ROOT / "candidates" / "quickstart.yaml"
TRUTH = ROOT / "candidates" / "quickstart" / "target_accuracy.csv"
COMMAND = "python benchmarks/desk_scale/all_metrics.py"
MEASUREMENTS: tuple[Measurement, ...] = ("scores", "baselines", "graded")
COLUMNS: Mapping[str, tuple[Measurement, str, bool]] = {
    "accuracy": ("graded", "correct", False),
    "token edit distance": ("graded", "ted_per_token", True),
    "MPCA": ("baselines", "mpca", False),
    "NLL of the benchmark's label": ("scores", "label_nll", True),
    "ScalingBench": ("baselines", "scb_nll", True),
    "R^phi": ("scores", "trace_nll", True),
    "rBridge": ("scores", "rbridge", True),
}
"""Name in the tables: where it is measured, its column, and whether lower is better."""

TUNED = {"iSFT": 1e-5, "iSFT, rate 1e-3": 1e-3}
"""Accuracy after fine-tuning, by its learning rate."""
TUNED_AT = ("500K", "3M, 3 layers")
EXAMPLES = 1024

SMALL = ("62.5K", "125K", "250K", "500K", "1M")
"""Token budgets of the screening proxy."""
DRAWS, CONFIDENCE = 10_000, 0.9


@dataclass(frozen=True)
class Budget:
    """Proxies of one shape and one number of tokens."""

    name: str
    plan: Plan
    seeds: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "all-metrics")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.store)
    manifest = load_manifest(MANIFEST)
    truth = read_target_accuracy(TRUTH)
    quickstart = load_plan("quickstart", manifest.base)
    assert quickstart.predict is not None, "the quickstart has a second stage"

    budgets = [
        Budget(t, with_proxy(quickstart, {"tokens": parse_count(t)}), arguments.seeds)
        for t in SMALL
    ]
    assert quickstart.predict.proxy is not None, "the quickstart trains its proxies here"
    stage2 = quickstart.predict.proxy.model_dump()
    budgets.append(Budget("3M, 3 layers", with_proxy(quickstart, stage2), 1))
    # The longest streams serve all budgets.
    whole = prepare(manifest, budgets[-1].plan, Runtime(store, InlineCompute()))
    found: dict[str, Any] = {}
    for budget in budgets:
        runs = [_run(whole, budget, seed) for seed in range(budget.seeds)]
        found[budget.name] = {**_size(whole, budget), **_agreement(runs, truth), "runs": runs}
        print(budget.name, json.dumps(found[budget.name]["metrics"]), flush=True)
    write_atomic(
        HERE / "all_metrics.json",
        json.dumps(
            {
                "command": COMMAND,
                "hardware": processor_name(),
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
                "target_accuracy": truth,
                "budgets": found,
            },
            indent=1,
        ).encode(),
    )


def with_proxy(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan with one stage, its proxy changed."""
    assert plan.screen.proxy is not None, "the quickstart trains its proxies here"
    proxy = plan.screen.proxy.model_validate({**plan.screen.proxy.model_dump(), **changes})
    screen = plan.screen.model_copy(update={"proxy": proxy})
    return plan.model_copy(update={"screen": screen, "predict": None})


def _run(whole: Experiment, budget: Budget, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Mean of each metric by benchmark and candidate, proxies of one seed."""
    experiment = _experiment(whole, with_proxy(budget.plan, {"seed": seed}))
    means: dict[str, dict[str, dict[str, float]]] = {}
    for candidate in whole.manifest.candidates:
        request = experiment.request(StageName.SCREEN, candidate.id)
        proxy = make_proxy(whole.store, request, candidate.id, "cpu", lambda _: None)
        measured = measure_all(experiment, proxy, request.recipe.steps)
        if budget.name in TUNED_AT:
            measured |= measure_tuned(experiment, proxy, request.recipe.steps)
        for metric, by_benchmark in measured.items():
            for benchmark, mean in by_benchmark.items():
                means.setdefault(metric, {}).setdefault(benchmark, {})[candidate.id] = mean
    return means


def measure_all(experiment: Experiment, proxy: Proxy, step: int) -> dict[str, dict[str, float]]:
    """Mean over the items, by metric and benchmark, of one checkpoint."""
    checkpoint = TrainedCheckpoint(proxy, step)
    evaluations = list(experiment.evaluations.values())
    measure(
        experiment.store, checkpoint, evaluations, MEASUREMENTS, device="cpu", name="all metrics"
    )
    means: dict[str, dict[str, float]] = {}
    for metric, (measurement, column, _) in COLUMNS.items():
        for evaluation in evaluations:
            made = find(experiment.store, checkpoint, evaluation, measurement)
            assert made is not None, "measured a line ago"
            means.setdefault(metric, {})[evaluation.benchmark.id] = float(made.table[column].mean())
    return means


def measure_tuned(experiment: Experiment, proxy: Proxy, step: int) -> dict[str, dict[str, float]]:
    """Accuracy after fine-tuning on each benchmark, by metric and benchmark."""
    base = TrainedCheckpoint(proxy, step)
    store = experiment.store
    means: dict[str, dict[str, float]] = {}
    for metric, rate in TUNED.items():
        for name, evaluation in experiment.evaluations.items():
            training = training_set(evaluation.benchmark)
            recipe = replace(tune_recipe("cpu"), learning_rate=rate)
            tuned = FinetunedCheckpoint("all metrics", base, training, recipe, store, "cpu")
            asked = asked_as_trained(evaluation)
            measure(store, tuned, [asked], ("graded",), device="cpu", name="all metrics")
            made = find(store, tuned, asked, "graded")
            assert made is not None, "measured a line ago"
            means.setdefault(metric, {})[name] = float(made.table["correct"].mean())
    return means


@cache
def training_set(benchmark: BenchmarkItems) -> BenchmarkItems:
    """Other held-out problems of a benchmark's kind."""
    seed, steps = BENCHMARKS[benchmark.id]
    asked = {item.question for item in benchmark.items}
    problems = benchmark_problems(100 + seed, steps, EXAMPLES + len(asked))
    items = [
        Item(f"train-{n}", problem.prompt, str(problem.answer), rationale=rationale(problem))
        for n, problem in enumerate(problems)
        if problem.prompt not in asked
    ]
    return without_examples(replace(benchmark, items=tuple(items[:EXAMPLES])))


def _experiment(whole: Experiment, plan: Plan) -> Experiment:
    assert whole.tokenizer is not None, "prepared where anything is trained"
    recipes = make_recipes(plan, whole.tokenizer.vocab_size, whole.runtime.device)
    return replace(whole, plan=plan, recipes=recipes)


def _size(whole: Experiment, budget: Budget) -> dict[str, float]:
    recipe = _experiment(whole, budget.plan).recipes[StageName.SCREEN]
    return {
        "parameters": recipe.parameters,
        "tokens": recipe.tokens,
        "training_flops": training_flops(recipe.parameters, recipe.tokens),
    }


def _agreement(
    runs: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]],
    truth: Mapping[str, float],
) -> dict[str, Any]:
    target = pd.Series(truth)
    metrics = {}
    lower_is_better = {metric: lower for metric, (_, _, lower) in COLUMNS.items()}
    for metric in runs[0]:
        lower = lower_is_better.get(metric, False)
        tables = [pd.DataFrame(run[metric]) * (1 if lower else -1) for run in runs]
        by_seed = [
            decision_accuracy(aggregate(table), target).decision_accuracy for table in tables
        ]
        pooled = decision_accuracy(
            aggregate(sum(tables[1:], tables[0]) / len(tables)),
            target,
            bootstrap=Bootstrap(draws=DRAWS, confidence=CONFIDENCE),
        )
        metrics[metric] = {
            "by_seed": by_seed,
            "mean_of_seeds": float(np.mean(by_seed)),
            "scores_averaged": pooled.decision_accuracy,
            "interval": pooled.decision_accuracy_interval,
            "kendall_tau": pooled.kendall_tau,
            "kendall_tau_interval": pooled.kendall_tau_interval,
        }
    return {"metrics": metrics}


if __name__ == "__main__":
    main()
