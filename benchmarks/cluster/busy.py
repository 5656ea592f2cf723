"""How busy a run of 200 candidates keeps its slots, and what the rest of the time goes to.

    python benchmarks/cluster/busy.py --candidates 200

Mixtures of seven synthetic sources with shares drawn from a seed, on the engine `slurm` with
submitit's processes on this machine, two at a time. That is the worst case for a scheduler: there
is no queue in front of the slots, and a job is hardly longer than its start.

First the run is made in this process. Then it is made again by the engine, where the jobs of Stage
1 are replayed: each takes its proxy and scores from the first store and sleeps a few seconds, so
that what is measured is the driver and the engine, and not two cores that train. All else is as it
is, preparation included, and both rankings must be equal. Each job leaves four times: submitted,
begun, its outcome written, and seen by the driver; they are read before its files are removed.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import dataselect as ds
from dataselect.compute import InlineCompute, queued
from dataselect.compute.jobs import Outcome
from dataselect.pipeline import run as run_pipeline
from dataselect.proxy_sources import ProxySource
from dataselect.scoring.evaluate import Evaluation, Measurement
from dataselect.stages import jobs as stage_jobs
from dataselect.stages.engine import open_compute, with_engine
from dataselect.stages.runtime import Runtime
from dataselect.stages.watch import SilentWatch
from dataselect.store import Store, content_key

HERE = Path(__file__).resolve().parent
MADE, REPLAYED = "store-made", "store-replayed"
SOURCES = ("worked", "notes", "answers", "drills", "narrative", "boilerplate", "wrong")
PLAN = """
tokenizer: {train: {vocab_size: 512, split_digits: false, characters: 200K}}
max_repeats: 100
benchmarks:
  - id: stories-short
    items: ROOT/stages/quickstart/stories-short.jsonl
    traces: ROOT/stages/quickstart/stories-short.traces.jsonl.gz
    prompt: "Question: {question}\\nAnswer: First,"
    task: arithmetic
    limit: 20
screen0: {keep: ALL}
screen:
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2, intermediate_size: 32}
    tokens: 20K
    sequence_length: 128
    batch_size: 8
    learning_rate: 3e-3
  keep: 2
compute: {on: slurm, jobs: SLOTS, threads: 1, device: cpu, slurm: {cluster: local}}
"""


@dataclass(frozen=True)
class Times:
    """When a job was where, in seconds of the machine's clock."""

    name: str
    submitted: float
    begun: float
    """Its process began."""
    ended: float
    """It wrote its outcome."""
    seen: float
    """The driver saw that."""


class Parts(SilentWatch):
    """When each part of the run began."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        self.begun.append((title, time.time()))


def replay(
    *,
    progress: Any,
    store: Store,
    sources: Mapping[str, ProxySource],
    evaluations: Sequence[Evaluation],
    measurements: Sequence[Measurement],
    device: str,
    patient: bool,
) -> bool:
    """In place of `make_and_score`: what it makes, from the store of the first run."""
    made = Store(store.root.parent / MADE)
    for name, source in sources.items():
        # From three to eight seconds, the same for a proxy in every run of this program.
        time.sleep(3 + int(content_key(source.kind, source.spec)[:4], 16) / 0xFFFF * 5)
        run = stage_jobs.Run(name, name, source)
        for folder in stage_jobs._artifacts(made, [run], evaluations, measurements):
            kind, _, key = folder.rpartition("-")
            part = Path("artifacts", kind, key)
            shutil.copytree(made.root / part, store.root / part, dirs_exist_ok=True)
    return True


def observed() -> list[Times]:
    """The times of all jobs that end from now on."""
    times: list[Times] = []
    forget = queued.QueuedCompute._forget

    def look(self: Any, task: Any, outcome: Outcome) -> None:
        folder, (attempt, *_) = task.folder.path, task.folder.attempts()
        submitted = json.loads((folder / "submitted.json").read_bytes())["time"]
        ended = (attempt.path / "outcome.json").stat().st_mtime
        begun = float(attempt.begun["time"])
        times.append(Times(task.job.name, submitted, begun, ended, time.time()))
        forget(self, task, outcome)

    queued.QueuedCompute._forget = look  # type: ignore[method-assign]
    return times


def write_inputs(folder: Path, candidates: int, slots: int) -> Path:
    """A manifest of so many mixtures, and its plan."""
    root = str(HERE.parents[1])
    plan = PLAN.replace("ROOT", root).replace("SLOTS", str(slots))
    (folder / "plan.yaml").write_text(plan.replace("ALL", str(candidates)))
    rng = np.random.default_rng(0)
    lines = ["target: {size: 1M, tokens: 20M}", "plan: plan.yaml", "sources:"]
    lines += [f"  - {{id: {name}, path: dataselect/desk, name: {name}}}" for name in SOURCES]
    lines.append("candidates:")
    for number in range(candidates):
        shares = zip(SOURCES, rng.dirichlet(np.ones(len(SOURCES))), strict=True)
        mixture = ", ".join(f"{name}: {share:.4f}" for name, share in shares)
        lines.append(f"  - {{id: mix-{number:03d}, mixture: {{{mixture}}}}}")
    manifest = folder / "candidates.yaml"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def gaps(jobs: list[Times], slots: int) -> dict[str, float]:
    """Shares of the slots' time, from the first submission to the last outcome that was seen."""
    span = max(job.seen for job in jobs) - min(job.submitted for job in jobs)
    shares = {
        "working": sum(job.ended - job.begun for job in jobs),
        "starting": sum(job.begun - job.submitted for job in jobs),
        "unseen": sum(job.seen - job.ended for job in jobs),
    }
    shares = {name: seconds / (span * slots) for name, seconds in shares.items()}
    return {"jobs": len(jobs), "seconds": span, **shares, "empty": 1 - sum(shares.values())}


def by_part(jobs: list[Times], parts: Parts, end: float, slots: int) -> dict[str, Any]:
    """`gaps` for each part of the run, and the seconds of the part in which no job was out."""
    found = {}
    begun = [*parts.begun, ("", end)]
    for (title, first), (_, last) in pairwise(begun):
        own = [job for job in jobs if first <= job.submitted < last]
        alone = last - first
        if own:
            alone -= max(job.seen for job in own) - min(job.submitted for job in own)
        found[title] = {**(gaps(own, slots) if own else {}), "driver_alone_seconds": alone}
    return found


def main() -> None:
    """Run it, and print and write what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "busy.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, times, parts = Path(name), observed(), Parts()
        manifest = ds.load_manifest(write_inputs(folder, given.candidates, given.slots))
        plan = ds.load_plan("plan.yaml", folder)
        began = time.time()
        here = Runtime(Store(folder / MADE), InlineCompute())
        alone = run_pipeline(manifest, with_engine(plan, "local"), here)
        print(f"in this process: {time.time() - began:.0f} s", flush=True)
        # Under its own name, by which a job's process imports it.
        stage_jobs.make_and_score = sys.modules["busy"].replay
        cpu, began = time.process_time(), time.time()
        with open_compute(plan, folder / REPLAYED) as compute:
            there = Runtime(Store(folder / REPLAYED), compute, watch=parts)
            found = run_pipeline(manifest, plan, there)
        end, cpu = time.time(), time.process_time() - cpu
    same = found.screening.ranking.table.equals(alone.screening.ranking.table)
    document = {
        "candidates": given.candidates,
        "slots": given.slots,
        "ranking_equal": same,
        "seconds": end - began,
        "driver_cpu_seconds": cpu,
        "whole": gaps(times, given.slots),
        "median_seconds_of_a_job": float(np.median([job.ended - job.begun for job in times])),
        "parts": by_part(times, parts, end, given.slots),
        "load": os.getloadavg(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "submitit")},
        },
    }
    text = json.dumps(document, indent=1)
    print(text)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import busy

    busy.main()
