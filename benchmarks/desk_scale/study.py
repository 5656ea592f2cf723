"""Measure what the quickstart's ranking is worth, and what one calibration run is.

    python benchmarks/desk_scale/study.py [--store DIR] [--jobs N]

Trains the target-size model on every candidate of `candidates/quickstart.yaml` (the ground
truth), proxies of several budgets, and Stage 2's proxy on every candidate. Then:

- decision accuracy and Kendall's tau of each metric against the targets' generated answers;
- a transfer function fitted on the checkpoints of one calibration candidate alone, proxy against
  target at equal tokens, and its error on the other candidates, on which nothing was fitted. The
  functions that the quickstart ships are fitted on other datasets (`calibration.py`);
- writes `results.json` here, and for the quickstart `candidates/quickstart/target_accuracy.csv`.

About 2 hours on two cores; interrupted, it goes on where it was.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from dataselect.compute import LocalProcesses
from dataselect.compute.cores import available_cores
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.cost import training_flops
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.proxies.make import find_proxy
from dataselect.report.live import LiveWatch
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import METRICS
from dataselect.scoring.measured import find
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import setting
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.stages.scores import StageScores
from dataselect.stages.screen import aggregate_metric
from dataselect.stages.stage import run_stage
from dataselect.store import Store, write_atomic
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit
from dataselect.units import parse_count

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFEST = ROOT / "candidates" / "quickstart.yaml"
CALIBRATION = "textbook"
"""Chosen before any result was seen: its checkpoints pass through all accuracies."""
BUDGETS = ("0.25M", "0.5M")
"""Stage 1 budgets, the quickstart's own among them."""
DRAWS, SEED, CONFIDENCE = 10_000, 0, 0.9
COMMAND = "python benchmarks/desk_scale/study.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "desk-scale")
    parser.add_argument("--jobs", type=int, default=available_cores())
    arguments = parser.parse_args()
    store = Store(arguments.store)
    with LocalProcesses(arguments.jobs, 1) as compute, LiveWatch(Console()) as watch:

        def experiment(plan: Plan) -> Experiment:
            return prepare(load_manifest(MANIFEST), plan, Runtime(store, compute, "cpu", watch))

        target = experiment(load_plan("target.yaml", HERE))
        quickstart = load_plan("quickstart", MANIFEST.parent)
        names = [candidate.id for candidate in target.manifest.candidates]
        truth = run_stage(target, StageName.SCREEN, target.plan.screen, names)
        accuracy = pd.DataFrame(
            {name: table.mean() for name, table in truth.table("accuracy").items()}
        )
        screens = {}
        for budget in BUDGETS:
            at_budget = experiment(_with_tokens(quickstart, budget))
            screens[budget] = run_stage(at_budget, StageName.SCREEN, at_budget.plan.screen, names)
        second = experiment(quickstart)
        assert second.plan.predict is not None, "the quickstart has a second stage"
        predicted = run_stage(second, StageName.PREDICT, second.plan.predict, names)
        pairs = _calibration_pairs(second, target)
        watch.step("Fit and compare")

    functions = {
        benchmark: _fitted(benchmark, rows, _setting(second, benchmark, predicted))
        for benchmark, rows in pairs.items()
    }
    results = {
        "command": COMMAND,
        "hardware": processor_name(),
        "target": _describe(truth),
        "target_accuracy": accuracy.to_dict("index"),
        "stage1": [_compare(scores, accuracy, truth) for scores in screens.values()],
        "stage2": _compare(predicted, accuracy, truth),
        "transfer": _zero_shot(functions, predicted, accuracy),
        "by_candidate": _by_candidate(screens["0.5M"], accuracy),
    }
    _write(HERE / "results.json", json.dumps(results, indent=1))
    _write(
        ROOT / "candidates/quickstart/target_accuracy.csv",
        accuracy.rename_axis("id").to_csv(float_format="%.4f"),
    )
    print(json.dumps({key: results[key] for key in ("stage1", "stage2", "transfer")}, indent=1))


def _setting(second: Experiment, benchmark: str, predicted: StageScores) -> Setting:
    return setting(second, benchmark, predicted.parameters, predicted.tokens, predicted.tokenizer)


def _with_tokens(plan: Plan, budget: str) -> Plan:
    assert plan.screen.proxy is not None, "the quickstart trains its proxies here"
    proxy = plan.screen.proxy.model_copy(update={"tokens": parse_count(budget)})
    return plan.model_copy(update={"screen": plan.screen.model_copy(update={"proxy": proxy})})


def _describe(scores: StageScores) -> dict[str, Any]:
    recipe = scores.recipe
    assert recipe is not None, "all proxies are trained here"
    flops = training_flops(recipe.parameters, recipe.tokens)
    return {"parameters": recipe.parameters, "tokens": recipe.tokens, "training_flops": flops}


def _compare(scores: StageScores, accuracy: pd.DataFrame, truth: StageScores) -> dict[str, Any]:
    """Agreement of every metric with the target's mean accuracy over the benchmarks."""
    target = accuracy.mean(axis=1)
    flops = _describe(scores)["training_flops"]
    compared: dict[str, Any] = {
        **_describe(scores),
        "share_of_target_flops": flops / _describe(truth)["training_flops"],
        "metrics": {},
    }
    for metric in (*METRICS, "accuracy"):
        if metric not in next(iter(scores.tables.values())):
            continue
        ranked = aggregate_metric(scores, metric)
        agreement = decision_accuracy(
            ranked, target, bootstrap=Bootstrap(draws=DRAWS, seed=SEED, confidence=CONFIDENCE)
        )
        compared["metrics"][metric] = {
            "decision_accuracy": agreement.decision_accuracy,
            "decision_accuracy_interval": agreement.decision_accuracy_interval,
            "kendall_tau": agreement.kendall_tau,
            "kendall_tau_interval": agreement.kendall_tau_interval,
            "pairs": agreement.pairs,
        }
    return compared


def _calibration_pairs(second: Experiment, target: Experiment) -> dict[str, list[dict[str, float]]]:
    """rBridge of the proxy and accuracy of the target, at equal tokens of one candidate."""
    proxy = find_proxy(second.store, second.request(StageName.PREDICT, CALIBRATION))
    large = find_proxy(target.store, target.request(StageName.SCREEN, CALIBRATION))
    assert proxy is not None, "it was trained before"
    assert large is not None, "it was trained before"
    pairs: dict[str, list[dict[str, float]]] = {name: [] for name in target.evaluations}
    for step in large.recipe.checkpoint_steps():
        tokens = step * large.recipe.batch_size * large.recipe.sequence_length
        small_step = tokens // (proxy.recipe.batch_size * proxy.recipe.sequence_length)
        assert small_step in proxy.recipe.checkpoint_steps(), "checkpoints are at equal tokens"
        both = list(second.evaluations.values())
        small = TrainedCheckpoint(proxy, small_step)
        whole = TrainedCheckpoint(large, step)
        measure(second.store, small, both, ("scores",), device="cpu", name="calibration")
        measure(target.store, whole, both, ("graded",), device="cpu", name="calibration")
        for evaluation in both:
            scores = find(second.store, small, evaluation, "scores")
            right = find(target.store, whole, evaluation, "graded")
            assert scores is not None, "measured a line ago"
            assert right is not None, "measured a line ago"
            pairs[evaluation.benchmark.id].append(
                {
                    "tokens": tokens,
                    "rbridge": float(scores.table["rbridge"].mean()),
                    "accuracy": float(right.table["correct"].mean()),
                }
            )
    return pairs


def _fitted(benchmark: str, rows: list[dict[str, float]], where: Setting) -> TransferFunction:
    calibration = f"{len(rows)} checkpoints of {CALIBRATION}"
    return fit(
        [row["rbridge"] for row in rows],
        [row["accuracy"] for row in rows],
        benchmark=benchmark,
        provenance=Provenance(where, calibration, COMMAND),
    )


def _zero_shot(
    functions: Mapping[str, TransferFunction], predicted: StageScores, accuracy: pd.DataFrame
) -> dict[str, Any]:
    """Error of the functions on candidates that they were not fitted on."""
    results: dict[str, Any] = {"calibration": CALIBRATION, "benchmarks": {}}
    predictions = {}
    for benchmark, function in functions.items():
        scores = predicted.table("rbridge")[benchmark].mean()
        forecast = pd.Series(function.predict(scores.to_numpy()), index=scores.index)
        predictions[benchmark] = forecast
        error = (forecast - accuracy[benchmark]).drop(CALIBRATION).abs()
        results["benchmarks"][benchmark] = {
            "family": function.family,
            "train_r2": function.r2,
            "leave_one_out_mae": function.mae,
            "points": function.points,
            "zero_shot_mae": float(error.mean()),
            "zero_shot_worst": float(error.max()),
            "predicted": forecast.to_dict(),
        }
    overall = pd.DataFrame(predictions).mean(axis=1).drop(CALIBRATION)
    truth = accuracy.mean(axis=1).drop(CALIBRATION)
    results["zero_shot_mae"] = float((overall - truth).abs().mean())
    results["constant_mae"] = float((truth - truth.mean()).abs().mean())
    results["decision_accuracy"] = decision_accuracy(
        overall, truth, lower_is_better=False
    ).decision_accuracy
    return results


def _by_candidate(scores: StageScores, accuracy: pd.DataFrame) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    truth = accuracy.mean(axis=1)
    for name in scores.scored:
        rows[name] = {"target_accuracy": float(truth[name])}
        for metric in (*METRICS, "accuracy"):
            means = [float(t[name].mean()) for t in scores.table(metric).values()]
            rows[name][metric] = float(np.mean(means))
    return rows


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


if __name__ == "__main__":
    main()
