"""How busy a run of 200 candidates keeps the nodes of a cluster, and what the rest goes to.

    python benchmarks/cluster/busy.py --nodes 8 --jobs 8      # no queue in front of the nodes
    python benchmarks/cluster/busy.py --nodes 8 --jobs 16     # as many jobs wait as run

Mixtures of seven synthetic sources with shares drawn from a seed. First the run is made in this
process. Then it is made again by an engine of files (`compute.queued`, as for Slurm and Ray) whose
scheduler has nodes that are threads of this process: each takes a second to start a job, as a
process would. The jobs of Stage 1 are replayed: they take their proxy and scores from the first
store and sleep three to eight seconds, so that what is measured is the driver and the engine, and
not two cores that train. All else is as it is, preparation included, and both rankings must be
equal. Each job leaves four times, which are read before its files are removed: submitted, begun,
its outcome written, and seen by the driver.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import dataselect as ds
from dataselect.compute import InlineCompute, Resources, queued, wire
from dataselect.compute.attempt import attempt
from dataselect.compute.job_folder import JobFolder, write
from dataselect.compute.jobs import Outcome
from dataselect.compute.scheduler import State, Ticket
from dataselect.pipeline import run as run_pipeline
from dataselect.proxy_sources import ProxySource
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.stages import jobs as stage_jobs
from dataselect.stages.engine import with_engine
from dataselect.stages.runtime import Runtime
from dataselect.stages.watch import SilentWatch
from dataselect.store import Store, content_key

HERE = Path(__file__).resolve().parent
MADE, REPLAYED = "store-made", "store-replayed"
START_SECONDS = 1.0
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
compute: {on: slurm, threads: 1, device: cpu}
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


class Nodes:
    """A `Scheduler` whose nodes are threads of this process; jobs wait for a free one."""

    name = "threads"

    def __init__(self, nodes: int) -> None:
        self._pool, self._jobs = ThreadPoolExecutor(nodes), list[Future[None]]()

    def submit(self, tickets: Sequence[Ticket]) -> list[str]:
        """Ids of the jobs."""
        first = len(self._jobs)
        self._jobs += [self._pool.submit(run_ticket, ticket) for ticket in tickets]
        return [str(first + n) for n in range(len(tickets))]

    def states(self, ids: Sequence[str]) -> Mapping[str, State]:
        """What is known of jobs."""
        return {i: State("ended" if self._jobs[int(i)].done() else "running") for i in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        """End those that wait."""
        for each in ids:
            self._jobs[int(each)].cancel()

    def log(self, job: str) -> None:
        """None is kept."""

    def forget(self, job: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def run_ticket(ticket: Ticket) -> None:
    """What `compute.supervisor` and `compute.job_process` do, in this process."""
    begun = time.time()
    time.sleep(START_SECONDS)
    job = JobFolder(ticket.folder)
    out = job.new_attempt()
    write(out.path / "begun.json", json.dumps({"host": "here", "time": begun}))
    call = job.call(ticket.digest).job
    ended = attempt(lambda: call.function(progress=lambda fields: None, **call.arguments))
    write(out.path / "outcome.json", wire.encode(ended))
    times = {"wall_seconds": ended.wall_seconds, "cpu_seconds": ended.cpu_seconds}
    write(out.path / "ended.json", json.dumps({"reason": "", **times}))


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


def write_inputs(folder: Path, candidates: int) -> Path:
    """A manifest of so many mixtures, and its plan."""
    root = str(HERE.parents[1])
    plan = PLAN.replace("ROOT", root)
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


def gaps(jobs: Sequence[Times], nodes: int) -> dict[str, float]:
    """Shares of the nodes' time, from the first submission to the last outcome that was seen.

    A node is busy from the start of a job to its outcome. `idle_at_end`: nodes without a job while
    the last ones run, since nothing else is left; `idle` is what is neither.
    """
    first, last = min(job.submitted for job in jobs), max(job.seen for job in jobs)
    whole = (last - first) * nodes
    busy = sum(job.ended - job.begun for job in jobs)
    # From when the last job began, no other one waits for a node.
    tail = max(job.begun for job in jobs)
    at_end = (last - tail) * nodes - sum(max(0.0, j.ended - max(tail, j.begun)) for j in jobs)
    return {
        "jobs": len(jobs),
        "seconds": last - first,
        "busy": busy / whole,
        "idle_at_end": at_end / whole,
        "idle": 1 - (busy + at_end) / whole,
        "median_seconds_unseen": float(np.median([job.seen - job.ended for job in jobs])),
    }


def by_part(jobs: Sequence[Times], parts: Parts, end: float, nodes: int) -> dict[str, Any]:
    """`gaps` for each part of the run, and the driver's seconds before and after its jobs."""
    found: dict[str, Any] = {}
    for (title, first), (_, last) in pairwise([*parts.begun, ("", end)]):
        own = [job for job in jobs if first <= job.submitted < last]
        if own:
            before = min(job.submitted for job in own) - first
            after = last - max(job.seen for job in own)
            found[title] = {**gaps(own, nodes), "seconds_before": before, "seconds_after": after}
        else:
            found[title] = {"seconds_before": last - first}
    return found


def main() -> None:
    """Run it, and print and write what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=8, help="in the queue or running")
    parser.add_argument("--folder", type=Path, help="keep the first run here, or take it from here")
    given = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as name:
        folder, times, parts = (given.folder or Path(name)).absolute(), observed(), Parts()
        folder.mkdir(exist_ok=True)
        shutil.rmtree(folder / REPLAYED, ignore_errors=True)
        manifest = ds.load_manifest(write_inputs(folder, given.candidates))
        plan = ds.load_plan("plan.yaml", folder)
        here = Runtime(Store(folder / MADE), InlineCompute())
        alone = run_pipeline(manifest, with_engine(plan, "local"), here)
        # Under its own name, by which a job imports it.
        stage_jobs.make_and_score = sys.modules["busy"].replay
        cpu, began = time.process_time(), time.time()
        jobs = folder / REPLAYED / "jobs"
        with queued.QueuedCompute(Nodes(given.nodes), jobs, given.jobs, Resources(1)) as compute:
            there = Runtime(Store(folder / REPLAYED), compute, watch=parts)
            found = run_pipeline(manifest, plan, there)
        end, cpu = time.time(), time.process_time() - cpu
    document = {
        "candidates": given.candidates,
        "nodes": given.nodes,
        "jobs": given.jobs,
        "ranking_equal": found.screening.ranking.table.equals(alone.screening.ranking.table),
        "seconds": end - began,
        "cpu_seconds_of_driver_and_preparation": cpu,
        "parts": by_part(times, parts, end, given.nodes),
        "load": os.getloadavg(),
    }
    text = json.dumps(document, indent=1)
    print(text)
    results = HERE / "results" / f"busy-{given.nodes}-{given.jobs}.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import busy

    busy.main()
