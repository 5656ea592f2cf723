"""Train what the quickstart's transfer functions are fitted on, and choose how they are fitted.

    python benchmarks/desk_scale/calibration.py [--store DIR] [--again]

On every dataset of `calibration.yaml` the target and the proxy of the quickstart's last stage are
trained. At their last three checkpoints, which are at equal tokens, the proxy is scored and the
target's answers are graded; the target is scored as well, to see what a perfect proxy would say.
The way of fitting is the one with the least error on calibration datasets left out, so the
quickstart's candidates have no part in it. Writes beside this file

- `calibration.json`: scores and accuracies by dataset, the ways of fitting with their errors;
- `calibration.csv`: the pairs of the way chosen, for `dataselect fit` (command in the README);
- `calibration_setting.json`: what they were measured with, for its `--setting`.

With `--again` targets of some of the quickstart's candidates are trained with another seed, to see
how much of their accuracy is chance. One process with one thread, 1.5 CPU hours, a quarter of an
hour more for each other seed; interrupted, it goes on where it was.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers
from ways import WAYS, left_out_errors, rows_of

from dataselect.compute import InlineCompute
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.proxies.make import ProxyRequest, make_proxy
from dataselect.scoring.checkpoint import TrainedCheckpoint
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import METRICS, Measurement
from dataselect.scoring.measured import find
from dataselect.stages.counting import FIRST, count_texts, texts_of
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import setting
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, write_atomic

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALIBRATION = HERE / "calibration.yaml"
QUICKSTART = ROOT / "candidates" / "quickstart.yaml"
AGAIN, SEED = ("answer-key", "textbook"), 1
"""Candidates whose targets are trained with another seed. The shipped function of before put the
first far above its accuracy, and the second is the one that it was fitted on."""
LATE = 3
"""Checkpoints of each model that are measured."""
PROXY: Mapping[Measurement, tuple[str, ...]] = {"scores": METRICS}
TARGET: Mapping[Measurement, tuple[str, ...]] = {"scores": METRICS, "graded": ("correct",)}
"""What is measured of proxies and targets, and the columns that are kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "calibration")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.store)

    def experiment(manifest: Path, plan: str, base: Path) -> Experiment:
        runtime = Runtime(store, InlineCompute())
        return prepare(load_manifest(manifest), load_plan(plan, base), runtime)

    small = experiment(CALIBRATION, "quickstart", QUICKSTART.parent)
    large = experiment(CALIBRATION, "target.yaml", HERE)
    own = experiment(QUICKSTART, "quickstart", QUICKSTART.parent)
    runs: dict[str, dict[str, Any]] = {"calibration": {}, "candidates": {}, "again": {}}
    for name in names(small):
        proxy = late(small, small.request(StageName.PREDICT, name), name, PROXY)
        target = late(large, large.request(StageName.SCREEN, name), name, TARGET)
        runs["calibration"][name] = {"proxy": proxy, "target": target}
    add_counted(small, runs["calibration"])
    runs["candidates"] = {name: {} for name in names(own)}
    add_counted(own, runs["candidates"])
    if arguments.again:
        targets = experiment(QUICKSTART, "target.yaml", HERE)
        for name in AGAIN:
            request = targets.request(StageName.SCREEN, name)
            request = replace(request, recipe=replace(request.recipe, seed=SEED))
            runs["again"][name] = {"target": late(targets, request, name, TARGET)}

    ways = {way: left_out_errors(runs["calibration"], way) for way in WAYS}
    chosen = min(ways, key=lambda way: ways[way]["error"])
    setting_of(small, runs["calibration"])
    pairs = pd.DataFrame(rows_of(runs["calibration"], chosen))
    write_atomic(HERE / "calibration.csv", pairs.to_csv(index=False).encode())
    found = {
        "command": "python benchmarks/desk_scale/calibration.py",
        "hardware": processor_name(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "ways": ways,
        "chosen": chosen,
        **runs,
    }
    write_atomic(HERE / "calibration.json", json.dumps(found, indent=1).encode() + b"\n")
    print(json.dumps({"ways": ways, "chosen": chosen}, indent=1))


def names(experiment: Experiment) -> list[str]:
    return [candidate.id for candidate in experiment.manifest.candidates]


def late(
    experiment: Experiment,
    request: ProxyRequest,
    name: str,
    measured: Mapping[Measurement, tuple[str, ...]],
) -> dict[str, Any]:
    """Size and cost of a model, and of its last checkpoints the means by benchmark.

    It is trained first where the store lacks it.
    """
    made = make_proxy(experiment.store, request, name, "cpu", lambda _: None)
    recipe, evaluations = request.recipe, list(experiment.evaluations.values())
    checkpoints = []
    for step in recipe.checkpoint_steps()[-LATE:]:
        checkpoint = TrainedCheckpoint(made, step)
        measure(experiment.store, checkpoint, evaluations, tuple(measured), device="cpu", name=name)
        row: dict[str, Any] = {"tokens": step * recipe.batch_size * recipe.sequence_length}
        for evaluation in evaluations:
            means = {}
            for measurement, columns in measured.items():
                found = find(experiment.store, checkpoint, evaluation, measurement)
                assert found is not None, "measured a line ago"
                means |= {column: float(found.table[column].mean()) for column in columns}
            row[evaluation.benchmark.id] = means
        checkpoints.append(row)
    print(recipe.parameters, name, checkpoints[-1], flush=True)
    return {
        "parameters": recipe.parameters,
        "cpu_seconds": round(float(made.facts["cpu_seconds"])),
        "checkpoints": checkpoints,
    }


def add_counted(experiment: Experiment, runs: Mapping[str, dict[str, Any]]) -> None:
    """Adds the NLL of the traces under a unigram model of Stage 1's text of each dataset."""
    texts, _ = texts_of(experiment)
    counted = count_texts(experiment, texts, list(experiment.evaluations)).tables[FIRST]
    for name, of_one in runs.items():
        of_one["unigrams"] = {b: float(table[name].mean()) for b, table in counted.items()}


def setting_of(experiment: Experiment, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes what the pairs were measured with."""
    proxy = next(iter(runs.values()))["proxy"]
    tokenizer = experiment.tokenizer
    assert tokenizer is not None, "prepared where anything is trained"
    tokens = proxy["checkpoints"][-1]["tokens"]
    of_each = {
        name: asdict(setting(experiment, name, proxy["parameters"], tokens, tokenizer.hash))
        for name in experiment.evaluations
    }
    shared = dict(next(iter(of_each.values())))
    hashes = ("traces", "benchmark")
    document = {
        **{key: value for key, value in shared.items() if key not in hashes},
        "calibration": f"{len(runs)} datasets of benchmarks/desk_scale/calibration.yaml",
        "benchmarks": {name: {k: each[k] for k in hashes} for name, each in of_each.items()},
    }
    text = json.dumps(document, indent=1) + "\n"
    write_atomic(HERE / "calibration_setting.json", text.encode())


if __name__ == "__main__":
    main()
