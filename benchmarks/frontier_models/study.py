"""Does the choice of the frontier model change the ranking of the quickstart's candidates?

    python benchmarks/frontier_models/study.py [--store DIR] [--seeds 3]

Trains the proxies of `plan.yaml`, unless they are in the store, scores them by the shipped traces
and by those of `frontiers.py`, and compares the rankings with each other, with those of other
training seeds, and with the known target accuracies. Writes `results.json`. One process
with one thread; interrupted, it goes on where it was.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dataselect.compute import InlineCompute
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.frontier_agreement import compare_frontiers, seed_agreement
from dataselect.decisions.ranking import aggregate
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.scoring.evaluation import METRICS
from dataselect.stages.by_frontier import FrontierScores, score_stage_by_frontier, trace_sets
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.stages.stage import run_stage
from dataselect.store import Store, write_atomic
from dataselect.traces.grading import grade_traces
from dataselect.traces.trace import TraceSet

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFEST = ROOT / "candidates" / "quickstart.yaml"
TRUTH = ROOT / "candidates" / "quickstart" / "target_accuracy.csv"
ALL_METRICS = HERE.parent / "desk_scale" / "all_metrics.json"
COMMAND = "python benchmarks/frontier_models/study.py"
BOOTSTRAP = Bootstrap(10_000, 0, 0.9)
SHIPPED = "shipped"
Scores = pd.Series
"""A ranking's score by candidate; lower is better."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "frontier-study")
    parser.add_argument("--seeds", type=int, help="Of the proxies. [plan.yaml's]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = load_plan("plan.yaml", HERE)
    if arguments.seeds is not None:
        screen = plan.screen.model_copy(update={"seeds": arguments.seeds})
        plan = plan.model_copy(update={"screen": screen})
    runtime = Runtime(Store(arguments.store), InlineCompute())
    experiment = prepare(load_manifest(MANIFEST), plan, runtime)
    candidates = [each.id for each in experiment.manifest.candidates]
    run_stage(experiment, StageName.SCREEN, plan.screen, candidates)
    files = sorted((HERE / "traces").glob("*.jsonl.gz"))
    sets = {
        SHIPPED if model.startswith("desk-frontier") else model: by_benchmark
        for model, by_benchmark in trace_sets(experiment, files).items()
    }
    found = score_stage_by_frontier(experiment, sets)
    right = {
        model: {name: _right(experiment, name, traces) for name, traces in by_benchmark.items()}
        for model, by_benchmark in sets.items()
    }
    results = {
        "commands": ["python benchmarks/frontier_models/frontiers.py", COMMAND],
        "hardware": processor_name(),
        "traces": {model: _described(sets[model], right[model]) for model in sets},
        "seeds_by_shipped_traces": _seeds_of_all_metrics(),
        "proxies": {"tokens": "62.5K", "seeds": plan.screen.seeds},
        **_compared(found, right, read_target_accuracy(TRUTH)),
    }
    write_atomic(HERE / "results.json", f"{json.dumps(results, indent=1)}\n".encode())


def _seeds_of_all_metrics() -> dict[str, list[float]]:
    """Share of the pairs that every two seeds order alike by the shipped traces, by budget."""
    found = {}
    for budget, measured in json.loads(ALL_METRICS.read_bytes())["budgets"].items():
        scores = [aggregate(pd.DataFrame(run["rBridge"])) for run in measured["runs"]]
        found[budget] = [_same_order(one, other) for one, other in combinations(scores, 2)]
    return found


def _right(experiment: Experiment, benchmark: str, traces: TraceSet) -> set[str]:
    """Items whose trace ends in the right answer."""
    grades = grade_traces(traces, experiment.evaluations[benchmark].benchmark)
    return {item for item, grade in grades.items() if grade}


def _described(
    by_benchmark: Mapping[str, TraceSet], right: Mapping[str, set[str]]
) -> dict[str, Any]:
    """Share of right answers, letters and probabilities of the letters."""
    traces = [trace for each in by_benchmark.values() for trace in each.traces.values()]
    runs = [run for trace in traces for run in trace.runs if run[1] is not None]
    letters = np.array([count for count, _ in runs], dtype=np.float64)
    p = np.array([value for _, value in runs], dtype=np.float64)
    mean = float(np.average(p, weights=letters))
    return {
        "traces": len(traces),
        "right": {name: len(right[name]) / 200 for name in by_benchmark},
        "letters": float(np.mean([len(trace.text) for trace in traces])),
        "p_mean": mean,
        "p_sd": float(np.sqrt(np.average((p - mean) ** 2, weights=letters))),
        "share_below_half": float(letters[p < 0.5].sum() / letters.sum()),
    }


def _compared(
    found: FrontierScores,
    right: Mapping[str, Mapping[str, set[str]]],
    truth: Mapping[str, float],
) -> dict[str, Any]:
    models = list(found.stages)
    scores: dict[str, dict[str, Scores]] = {
        f"{metric}, {model}": _rankings(found, metric, model)
        for metric in METRICS
        for model in models
    }
    for metric in METRICS:
        each = [scores[f"{metric}, {model}"] for model in models]
        scores[f"{metric}, averaged"] = {key: _averaged(found, metric, key) for key in each[0]}
    for model in models:
        only = {
            name: table[table.index.isin(right[model][name])].mean()
            for name, table in found.stages[model].table("rbridge").items()
        }
        scores[f"rbridge, {model}, right traces only"] = {"all": aggregate(pd.DataFrame(only))}
    target = pd.Series(truth)
    agreements = compare_frontiers(found.tables).agreements
    return {
        "candidates": {name: {m: s["all"][name] for m, s in scores.items()} for name in truth},
        "scores": {name: _judged(each, target) for name, each in scores.items()},
        "frontiers": {
            f"{each.first} and {each.second}": {
                "same_order": each.same_order,
                "kendall_tau": each.kendall_tau,
                "kept_on_resampled_items": each.resampled,
                "changed": [
                    [pair.by_first, pair.by_second, pair.p_first, pair.p_second]
                    for pair in each.changed
                ],
                "same_seed": _mean(
                    _same_order(
                        scores[f"rbridge, {each.first}"][seed],
                        scores[f"rbridge, {each.second}"][seed],
                    )
                    for seed in scores[f"rbridge, {each.first}"]
                    if seed != "all"
                ),
            }
            for each in agreements
        },
        "seeds": {model: seed_agreement(runs) for model, runs in found.runs.items()},
        "metrics": {
            f"{first} and {second}, {model}": _same_order(
                scores[f"{first}, {model}"]["all"], scores[f"{second}, {model}"]["all"]
            )
            for model in models
            for first, second in combinations(METRICS, 2)
        },
    }


def _rankings(found: FrontierScores, metric: str, model: str) -> dict[str, Scores]:
    """By seed, and over all seeds as "all"."""
    return {key: aggregate(_means(found, metric, model, key)) for key in _keys(found)}


def _averaged(found: FrontierScores, metric: str, key: str) -> Scores:
    each = [_means(found, metric, model, key) for model in found.stages]
    return aggregate(sum(each[1:], each[0]) / len(each))


def _keys(found: FrontierScores) -> list[str]:
    runs = next(iter(next(iter(found.stages.values())).runs.values()))
    return ["all", *map(str, runs.index.get_level_values("seed").unique())]


def _means(found: FrontierScores, metric: str, model: str, key: str) -> pd.DataFrame:
    """Candidates x benchmarks of one metric, of one seed or of all."""
    stage = found.stages[model]
    if key == "all":
        return pd.DataFrame({name: table.mean() for name, table in stage.table(metric).items()})
    return pd.DataFrame(
        {
            name: table[metric].xs(int(key), level="seed").groupby(level="candidate").mean()
            for name, table in stage.runs.items()
        }
    )


def _judged(by_seed: Mapping[str, Scores], target: pd.Series) -> dict[str, Any]:
    """A score against the truth: the mean over seeds with intervals, and each seed alone."""
    whole = decision_accuracy(by_seed["all"], target, bootstrap=BOOTSTRAP)
    seeds = {key: scores for key, scores in by_seed.items() if key != "all"}
    return {
        "decision_accuracy": whole.decision_accuracy,
        "interval": whole.decision_accuracy_interval,
        "kendall_tau": whole.kendall_tau,
        "kendall_tau_interval": whole.kendall_tau_interval,
        "by_seed": {
            key: decision_accuracy(each, target).decision_accuracy for key, each in seeds.items()
        },
        "first": by_seed["all"].idxmin(),
        "regret_points": _regret(by_seed["all"], target),
        "regret_by_seed": {key: _regret(each, target) for key, each in seeds.items()},
    }


def _regret(scores: Scores, target: pd.Series) -> float:
    """Accuracy of the best candidate less that of the chosen one, in points."""
    return 100 * float(target.max() - target[scores.idxmin()])


def _same_order(one: Scores, other: Scores) -> float:
    return decision_accuracy(one, -other.loc[one.index]).decision_accuracy


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
