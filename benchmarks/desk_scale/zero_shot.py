"""Transfer functions fitted on one candidate and applied to nine others, by both protocols.

    python benchmarks/desk_scale/zero_shot.py [--store DIR]

The pairs are a Stage 2 proxy of `textbook` at twelve checkpoints, and its target's accuracy at
equal tokens as `study.py` measured it (`results.json`). The functions are applied to the other
candidates' final Stage 2 proxies, the last three checkpoints averaged for the robust protocol.
Errors are against the target accuracies that `study.py` measured. Uses the proxies of
`all_metrics.py` in the same store, and writes `zero_shot.json` beside this file.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from all_metrics import MANIFEST, ROOT, measure_all, with_proxy

from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.decisions.agreement import decision_accuracy
from dataselect.proxies.make import make_proxy
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, write_atomic
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.protocols import fit_paper, fit_robustly

HERE = Path(__file__).parent
CALIBRATION = "textbook"
"""Named in the first study, before any result was seen."""
METRICS = ("rBridge", "R^phi", "NLL of the benchmark's label")
LATE = 3
TOKENS = 3e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, default=ROOT / ".dataselect" / "all-metrics")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads((HERE / "results.json").read_bytes())
    accuracy = pd.DataFrame(before["target_accuracy"]).T
    points = {name: each["points"] for name, each in before["transfer"]["benchmarks"].items()}
    scores = measured(arguments.store)
    others = accuracy.index.drop(CALIBRATION)
    truth = accuracy.mean(axis=1)
    found: dict[str, Any] = {
        "command": "python benchmarks/desk_scale/zero_shot.py",
        "constant_mae": float((truth[others] - truth[others].mean()).abs().mean()),
    }
    for metric in METRICS:
        fits: dict[str, dict[str, Any]] = {name: {} for name in ("paper", "robust")}
        predicted: dict[str, dict[str, pd.Series]] = {name: {} for name in fits}
        for benchmark in accuracy.columns:
            by_step = {c: [each[metric][benchmark] for each in made] for c, made in scores.items()}
            right = [share for _, share in points[benchmark]]
            for name, (function, errors) in fitted(benchmark, by_step[CALIBRATION], right).items():
                late = LATE if name == "robust" else 1
                x = pd.Series({c: np.mean(by_step[c][-late:]) for c in others})
                predicted[name][benchmark] = pd.Series(function.predict(x), index=others)
                low, high = function.intervals(x, 0.9)
                own = accuracy.loc[others, benchmark]
                fits[name][benchmark] = {
                    **errors,
                    "r2": function.r2,
                    "zero_shot_mae": float((predicted[name][benchmark] - own).abs().mean()),
                    "coverage": float(((low <= own) & (own <= high)).mean()),
                    "extrapolated": int(function.extrapolated(x).sum()),
                }
        found[metric] = {}
        for name, parts in predicted.items():
            overall = pd.DataFrame(parts).mean(axis=1)
            agreement = decision_accuracy(overall, truth[others], lower_is_better=False)
            found[metric][name] = {
                "zero_shot_mae": float((overall - truth[others]).abs().mean()),
                "decision_accuracy": agreement.decision_accuracy,
                "predicted": overall.to_dict(),
                "benchmarks": fits[name],
            }
    write_atomic(HERE / "zero_shot.json", json.dumps(found, indent=1).encode())
    print(json.dumps(found, indent=1))


def measured(store: Path) -> dict[str, list[dict[str, dict[str, float]]]]:
    """Each metric by benchmark, at all checkpoints of the calibration's, the last of others."""
    manifest = load_manifest(MANIFEST)
    quickstart = load_plan("quickstart", manifest.base)
    assert quickstart.predict is not None, "the quickstart has a second stage"
    assert quickstart.predict.proxy is not None, "it trains a proxy"
    plan = with_proxy(quickstart, quickstart.predict.proxy.model_dump())
    experiment = prepare(manifest, plan, Runtime(Store(store), InlineCompute()))
    scores = {}
    for candidate in manifest.candidates:
        request = experiment.request(StageName.SCREEN, candidate.id)
        proxy = make_proxy(experiment.store, request, candidate.id, "cpu", lambda _: None)
        steps = request.recipe.checkpoint_steps()
        kept = steps if candidate.id == CALIBRATION else steps[-LATE:]
        scores[candidate.id] = [measure_all(experiment, proxy, step) for step in kept]
    return scores


def fitted(
    benchmark: str, scores: Sequence[float], accuracies: Sequence[float]
) -> dict[str, tuple[TransferFunction, dict[str, float]]]:
    """Both protocols' functions, with their cross-validation errors."""
    count = len(scores)
    pairs = Pairs(
        benchmark,
        np.array(scores),
        np.array(accuracies),
        np.linspace(1 / count, 1, count) * TOKENS,
        (CALIBRATION,) * count,
        None,
    )
    unknown = Provenance(Setting(*[None] * 8), CALIBRATION, "zero_shot.py")
    paper = fit_paper(pairs, unknown, 0)
    robust = fit_robustly(pairs, unknown, 0, falling=True)
    return {
        "paper": (paper.function, {"cv_mae": paper.test_mae}),
        "robust": (
            robust.function,
            {
                "cv_mae": robust.errors.cross_validation,
                "log_tokens_cv_mae": robust.beside["log tokens"].cross_validation,
            },
        ),
    }


if __name__ == "__main__":
    main()
