"""The same scores in the quickstart's own world, where counting words tells the candidates apart.

    python benchmarks/same_words/old_world.py [--seeds 3]

Proxies of the quickstart's first stage with 125K tokens of each of its candidates, against the
target accuracies that `benchmarks/desk_scale` measured. Writes `old_world.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from alterations import ALTERATIONS
from study import HERE, ROOT
from tables import BOOTSTRAP, token_means
from token_scores import measure_tokens, questions

from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.ranking import aggregate
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.proxies.make import checkpoint_name, make_proxy
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, write_atomic

MANIFEST = ROOT / "candidates" / "quickstart.yaml"
TRUTH = ROOT / "candidates" / "quickstart" / "target_accuracy.csv"
TOKENS = 125_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "old-world")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [_seed(arguments.store, seed) for seed in range(arguments.seeds)]
    target = pd.Series(read_target_accuracy(TRUTH))
    found = {}
    for metric in next(iter(seeds[0].values())).columns:
        tables = [pd.DataFrame({b: t[metric] for b, t in seed.items()}) for seed in seeds]
        pooled = aggregate(sum(tables[1:], tables[0]) / len(tables))
        agreement = decision_accuracy(pooled, target, bootstrap=BOOTSTRAP)
        found[metric] = {
            "by_seed": [decision_accuracy(aggregate(t), target).decision_accuracy for t in tables],
            "decision_accuracy": agreement.decision_accuracy,
            "interval": agreement.decision_accuracy_interval,
        }
        print(metric, json.dumps(found[metric]))
    command = "python benchmarks/same_words/old_world.py"
    text = json.dumps({"command": command, "tokens": TOKENS, "metrics": found}, indent=1)
    write_atomic(HERE / "old_world.json", (text + "\n").encode())


def _seed(folder: Path, seed: int) -> dict[str, pd.DataFrame]:
    """By benchmark the scores, candidates x metrics."""
    manifest = load_manifest(MANIFEST)
    plan = _plan(load_plan("quickstart", manifest.base), seed)
    experiment = prepare(manifest, plan, Runtime(Store(folder), InlineCompute()))
    assert experiment.tokenizer is not None, "prepared where anything is trained"
    # Longer solutions have more results than two to exchange.
    alterations = [name for name in ALTERATIONS if name != "results"]
    asked = {
        name: questions(evaluation, experiment.tokenizer.folder, alterations)
        for name, evaluation in experiment.evaluations.items()
    }
    rows: dict[str, dict[str, Any]] = {name: {} for name in asked}
    for candidate in manifest.candidates:
        request = experiment.request(StageName.SCREEN, candidate.id)
        proxy = make_proxy(experiment.store, request, candidate.id, "cpu", lambda _: None)
        checkpoint = proxy.artifact.path / checkpoint_name(request.recipe.steps)
        for name, each in asked.items():
            file = folder / "tokens" / f"{seed}-{candidate.id}-{name}.npy"
            rows[name][candidate.id] = token_means(measure_tokens(checkpoint, each, file), each)
        print(seed, candidate.id, flush=True)
    return {name: pd.DataFrame(each).T for name, each in rows.items()}


def _plan(plan: Plan, seed: int) -> Plan:
    assert plan.screen.proxy is not None, "the quickstart trains its proxies here"
    proxy = plan.screen.proxy.model_copy(update={"tokens": TOKENS, "seed": seed})
    screen = plan.screen.model_copy(update={"proxy": proxy})
    return plan.model_copy(update={"screen": screen, "predict": None})


if __name__ == "__main__":
    main()
