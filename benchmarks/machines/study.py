"""What a score is worth when something else than data and seed changes: the kind of machine,
training in a population, threads, and the order and batching of scoring.

    python benchmarks/machines/study.py [--work DIR]

Trains Stage 1 proxies of the quickstart: four candidates with three seeds each, alone and in
populations of four, by AVX-512 and by AVX2 (`ATEN_CPU_CAPABILITY`). Each setting is a process of
its own, because torch chooses its kernels when it is imported. Writes `results.json` here. About 12
minutes of one core on a machine with AVX-512.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from dataselect.compute import InlineCompute
from dataselect.compute.machine import processor_name
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.corpus.packing import PackedData, Part
from dataselect.proxies.make import checkpoint_name
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import prepare
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CANDIDATES = ("textbook", "answer-key", "web", "notebook")
SEEDS = (0, 1, 2)
FULL = (("avx512", "alone"), ("avx512", "population"), ("avx2", "alone"))
"""In which every proxy is trained: ATEN_CPU_CAPABILITY, and a way."""
STEPS = 40
ONE = {
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "unset": {},
    "two threads": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "OMP_NUM_THREADS": "2",
        "GOMP_SPINCOUNT": "0",
    },
    "avx512, MKL_CBWR=COMPATIBLE": {"ATEN_CPU_CAPABILITY": "avx512", "MKL_CBWR": "COMPATIBLE"},
    "avx2, MKL_CBWR=COMPATIBLE": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"},
    "avx2, MKL_CBWR=AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
}
"""Settings in which one proxy is trained for `STEPS` steps, for its bits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / ".dataselect" / "machines")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    if arguments.child:
        child(work, *arguments.child.split(":"))
        return
    made(work)
    for name, way in FULL:
        run(work, name, way, {"ATEN_CPU_CAPABILITY": name})
    for name, environment in ONE.items():
        run(work, name, "one", environment)
    for name in ("avx512", "avx2"):
        run(work, name, "score", {"ATEN_CPU_CAPABILITY": name})
    run(work, "avx512", "order", {"ATEN_CPU_CAPABILITY": "avx512"})
    results = summary(work)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["differences"], indent=1))


def run(work: Path, name: str, what: str, environment: Mapping[str, str]) -> None:
    """Do `what` in a process with these variables, unless its result is there."""
    if result(work, name, what).exists():
        return
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ATEN_", "MKL_", "ONEDNN_"))}
    command = [sys.executable, __file__, "--work", str(work), "--child", f"{name}:{what}"]
    began = time.monotonic()
    subprocess.run(command, env={**kept, "OMP_NUM_THREADS": "1", **environment}, check=True)
    print(f"{name}, {what}: {time.monotonic() - began:.0f} s", flush=True)


def result(work: Path, name: str, what: str) -> Path:
    return work / f"{name}-{what}.json"


def made(work: Path) -> Experiment:
    """The quickstart's Stage 1, everything prepared."""
    manifest = load_manifest(ROOT / "candidates" / "quickstart.yaml")
    plan = load_plan("quickstart", manifest.base).model_copy(update={"predict": None})
    return prepare(manifest, plan, Runtime(Store(work / "store"), InlineCompute()))


def child(work: Path, name: str, what: str) -> None:
    import torch

    experiment = made(work)
    if what == "score":
        rows = [
            {"candidate": c, "seed": s, **scores(experiment, folder(work, "avx512", "alone", c, s))}
            for c in CANDIDATES
            for s in SEEDS
        ]
    elif what == "order":
        rows = scoring_orders(experiment, work)
    else:
        candidates = CANDIDATES[1:2] if what == "one" else CANDIDATES
        seeds = SEEDS[:1] if what == "one" else SEEDS
        rows = trained(experiment, work, name, what, candidates, seeds)
    facts = {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rows": rows,
    }
    result(work, name, what).write_text(json.dumps(facts, indent=1))


def folder(work: Path, name: str, way: str, candidate: str, seed: int) -> Path:
    return work / "trained" / name / way / f"{candidate}-{seed}"


def trained(
    experiment: Experiment,
    work: Path,
    name: str,
    way: str,
    candidates: Sequence[str],
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Train the proxies, score them, and say what came out."""
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.proxies.train import Member, train_population

    rows = []
    for seed in seeds:
        members, recipe = [], None
        for candidate in candidates:
            request = experiment.request(StageName.SCREEN, candidate)
            recipe = replace(request.recipe, seed=seed)
            if way == "one":
                recipe = replace(recipe, steps=STEPS)
            parts = [Part(str(share.folder), share.tokens) for share in request.shares]
            data = PackedData(parts, recipe.sequence_length, seed, recipe.tokens)
            place = folder(work, name, way, candidate, seed)
            place.mkdir(parents=True, exist_ok=True)
            members.append(Member(data, place, seed))
        assert recipe is not None
        assert experiment.tokenizer is not None
        tokenizer = load_tokenizer(str(experiment.tokenizer.folder), None)
        groups = [members] if way == "population" else [[member] for member in members]
        results = [
            one
            for group in groups
            for one in train_population(recipe, group, tokenizer, lambda _: None)
        ]
        for candidate, member, training in zip(candidates, members, results, strict=True):
            checkpoint = member.folder / checkpoint_name(recipe.steps)
            weights = (checkpoint / "model.safetensors").read_bytes()
            rows.append(
                {
                    "candidate": candidate,
                    "seed": seed,
                    "weights": hashlib.sha256(weights).hexdigest(),
                    "final_loss": training.final_loss,
                    "cpu_seconds": training.cpu_seconds,
                    **scores(experiment, member.folder),
                }
            )
    return rows


def scores(experiment: Experiment, place: Path, **options: Any) -> dict[str, Any]:
    """rBridge by benchmark of the last checkpoint in `place`, and of each item."""
    from dataselect.scoring.likelihood.scorer import score
    from dataselect.scoring.loading import load_model
    from dataselect.scoring.prepare import prepare as prepare_items

    model, tokenizer = load_model(max(place.glob("step-*")), "cpu", "float32")
    tables = {
        name: score(
            model, prepare_items(e.benchmark, e.traces[0], tokenizer, 1 << 30).items, **options
        ).table.set_index("item")["rbridge"]
        for name, e in experiment.evaluations.items()
    }
    return {
        "rbridge": {name: table.mean() for name, table in tables.items()},
        "items": {name: dict(table) for name, table in tables.items()},
    }


def scoring_orders(experiment: Experiment, work: Path) -> list[dict[str, Any]]:
    """One checkpoint scored in several ways."""
    from dataselect.scoring.likelihood import scorer

    place = folder(work, "avx512", "alone", CANDIDATES[1], 0)
    backwards = dict(reversed(list(experiment.evaluations.items())))
    cut = {
        name: replace(
            e,
            benchmark=replace(e.benchmark, items=e.benchmark.items[: len(e.benchmark.items) // 2]),
        )
        for name, e in experiment.evaluations.items()
    }
    turned = {
        name: replace(e, benchmark=replace(e.benchmark, items=e.benchmark.items[::-1]))
        for name, e in experiment.evaluations.items()
    }
    rows = [
        {"way": "as it is", **scores(experiment, place)},
        {"way": "again", **scores(experiment, place)},
        {
            "way": "benchmarks backwards",
            **scores(replace(experiment, evaluations=backwards), place),
        },
        {"way": "items backwards", **scores(replace(experiment, evaluations=turned), place)},
        {"way": "half of the items", **scores(replace(experiment, evaluations=cut), place)},
        {"way": "256 tokens a batch", **scores(experiment, place, tokens_per_batch=256)},
        {"way": "8192 tokens a batch", **scores(experiment, place, tokens_per_batch=8192)},
    ]
    with patch.object(scorer, "try_sharing", lambda *_: None):
        rows.append({"way": "each text alone", **scores(experiment, place)})
    return rows


def summary(work: Path) -> dict[str, Any]:
    files = {path.stem: json.loads(path.read_text()) for path in sorted(work.glob("*.json"))}
    rows = {f"{name}, {way}": files[f"{name}-{way}"]["rows"] for name, way in FULL}
    full = {name: table(each) for name, each in rows.items()}
    base, one = full["avx512, alone"], files["avx512-one"]["rows"][0]
    order = files["avx512-order"]["rows"]
    return {
        "processor": processor_name(),
        "torch": files["avx512-alone"]["torch"],
        "candidates": CANDIDATES,
        "seeds": SEEDS,
        "seed_sd": seed_sd(base),
        "seed_sd_relative": relative_sd(base),
        "differences": {
            "AVX2 against AVX-512": compared(full["avx2, alone"], base),
            "population of 4 against alone": compared(full["avx512, population"], base),
        },
        "one_proxy": {
            name: {
                "same_weights_as_avx512": each["weights"] == one["weights"],
                "weights": each["weights"][:12],
                "capability": files[f"{name}-one"]["capability"],
                "cpu_seconds": each["cpu_seconds"],
            }
            for name in ONE
            for each in files[f"{name}-one"]["rows"]
        },
        "scoring_by_avx2_against_avx512": largest(
            files["avx2-score"]["rows"], files["avx512-score"]["rows"]
        ),
        "scoring_ways": {row["way"]: largest([row], order[:1]) for row in order[1:]},
        "cpu_seconds": {
            name: sum(row["cpu_seconds"] for row in each) for name, each in rows.items()
        },
        "rbridge": {name: each.tolist() for name, each in full.items()},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    """rBridge, mean of the two benchmarks: candidates x seeds."""
    by = {(r["candidate"], r["seed"]): np.mean(list(r["rbridge"].values())) for r in rows}
    return np.array([[by[c, s] for s in SEEDS] for c in CANDIDATES])


def seed_sd(values: np.ndarray[Any, Any]) -> float:
    """Standard deviation over the seeds of a candidate, pooled."""
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def relative_sd(values: np.ndarray[Any, Any]) -> float:
    """The same of logarithms: candidates differ much in rBridge, and noise grows with it."""
    return seed_sd(np.log(values))


def compared(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> dict[str, Any]:
    """rms over sqrt 2 is comparable with a standard deviation over seeds."""
    change = one - other
    return {
        "rms_over_root_2": float(np.sqrt((change**2).mean() / 2)),
        "rms_over_root_2_relative": float(np.sqrt((np.log(one / other) ** 2).mean() / 2)),
        "mean": float(change.mean()),
        "largest_relative": float(np.abs(change / other).max()),
        "changes": change.tolist(),
    }


def largest(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Largest relative change of a mean and of an item, over the items that both have."""
    means, items = [0.0], [0.0]
    for a, b in zip(one, other, strict=True):
        for name, values in a["items"].items():
            theirs = b["items"][name]
            items += [abs(values[i] / theirs[i] - 1) for i in values]
            means.append(
                abs(np.mean([values[i] for i in values]) / np.mean([theirs[i] for i in values]) - 1)
            )
    return {"mean": float(max(means)), "item": float(max(items))}


if __name__ == "__main__":
    main()
