"""What a training job costs beyond its steps: one part of `overheads.py`.

The job runs as a run's jobs do: in a worker of `LocalProcesses`, with `make_proxy`, a store and a
live display in the parent. Inside it every piece of machinery is timed by a clock around it, since
whole jobs differ by more than the few hundredths that are looked for. A bare loop over the same
steps, in a process of its own, stands beside it as a check. What a worker takes to start is paid
once for all of its jobs, so it is kept apart.
"""

import functools
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring import spread
from recipes import benchmark_recipe
from rich.console import Console

from dataselect.compute import Job, LocalProcesses, Outcome
from dataselect.corpus.prepare import Share
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import tokenizer_hash, train_tokenizer
from dataselect.proxies.ladder import Shape
from dataselect.proxies.make import ProxyRequest, make_proxy
from dataselect.report.live import LiveWatch
from dataselect.store import Store
from dataselect.synthetic import world

VOCABULARY, LENGTH, BATCH = 1024, 128, 8
WARM_STEPS = 20


@dataclass
class Clock:
    """Seconds spent in one piece, without those of the pieces inside it."""

    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0


class Clocks:
    """Clocks around functions; what one calls of another is counted once, for the other."""

    def __init__(self) -> None:
        self.pieces: dict[str, Clock] = {}
        self._inside = [(0.0, 0.0)]

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        clock = self.pieces.setdefault(name, Clock())

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            self._inside.append((0.0, 0.0))
            try:
                return function(*arguments, **named)
            finally:
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                inside, outside = self._inside.pop(), self._inside.pop()
                self._inside.append((outside[0] + wall, outside[1] + cpu))
                clock.wall += wall - inside[0]
                clock.cpu += cpu - inside[1]
                clock.calls += 1

        return timed


def timed_job(*, progress: Any, root: Path, request: ProxyRequest) -> dict[str, Clock]:
    """Make the proxy with a clock around every piece; the rest is under "rest"."""
    from dataselect.corpus import packing, tokenizer
    from dataselect.proxies import train
    from dataselect.store import artifact, store

    clocks = Clocks()
    run = train.Run
    pieces: tuple[tuple[str, Any, str], ...] = (
        ("steps", run, "take_step"),
        ("building model and optimizer", run, "__init__"),
        ("reading losses", run, "log"),
        ("checking weights", run, "check_parameters"),
        ("writing checkpoints", run, "save_checkpoints"),
        ("writing the state to go on from", run, "save"),
        ("opening the token streams", packing.PackedData, "__init__"),
        ("loading the tokenizer", tokenizer, "load_tokenizer"),
        ("hashing what is published", store, "seal"),
        ("forcing it to disk", store, "sync_tree"),
        ("looking up in the store", artifact.Artifact, "json"),
        ("looking up in the store", store, "read"),
        ("writing to the ledger", store.Store, "note"),
    )
    kept = [(holder, name, getattr(holder, name)) for _, holder, name in pieces]
    for title, holder, name in pieces:
        setattr(holder, name, clocks.around(title, getattr(holder, name)))
    try:
        told = clocks.around("progress, in the worker", progress)
        clocks.around("rest", make_proxy)(Store(root), request, "it", "cpu", told)
    finally:
        for holder, name, function in kept:
            setattr(holder, name, function)
    return clocks.pieces


def bare_job(*, progress: Any, root: Path, request: ProxyRequest) -> tuple[float, float]:
    """Wall and CPU seconds of the steps alone."""
    from dataselect.corpus.packing import PackedData, Part
    from dataselect.proxies.train import Member, Run

    recipe = request.recipe
    parts = [Part(str(share.folder), share.tokens) for share in request.shares]
    data = PackedData(parts, recipe.sequence_length, recipe.seed, recipe.tokens)
    run = Run(recipe, [Member(data, root / "none", recipe.seed)], "cpu")
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(recipe.steps):
        run.take_step()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(steps: int, runs: int, place: Path) -> dict[str, Any]:
    """Shares of a job's CPU and wall seconds; the first job of a worker is there to warm it."""
    request = _request(steps, place)
    warm = replace(request, recipe=replace(request.recipe, steps=WARM_STEPS))
    jobs: list[dict[str, Clock]] = []
    parents, workers, starts, bare = [], [], [], []
    for n in range(runs):
        for kind in ("ours", "bare") if n % 2 == 0 else ("bare", "ours"):
            function = timed_job if kind == "ours" else bare_job
            with LocalProcesses(1, 1) as compute:
                first = _run(compute, Job("first", timed_job, _given(place / f"w{n}{kind}", warm)))
                job = Job("job", function, _given(place / f"{n}{kind}", request))
                began = time.process_time()
                outcome = _run(compute, job)
                parent = time.process_time() - began
            if kind == "ours":
                jobs.append(outcome.result)
                parents.append(parent)
                workers.append(outcome.cpu_seconds)
                starts.append(first.cpu_seconds)
            else:
                bare.append(outcome.result)
    return {
        "model": "64 x 2, vocabulary 1,024, batch 8 x 128",
        "steps": steps,
        "tokens": request.recipe.tokens,
        "runs": runs,
        "job_cpu_seconds": spread(workers),
        "bare_steps_cpu_seconds": spread(cpu for _, cpu in bare),
        "worker_start_cpu_seconds": spread(starts),
        "share_of_cpu": spread(
            1 - job["steps"].cpu / (cpu + parent)
            for job, cpu, parent in zip(jobs, workers, parents, strict=True)
        ),
        "share_of_wall": spread(
            1 - job["steps"].wall / sum(clock.wall for clock in job.values()) for job in jobs
        ),
        "pieces": [
            *(_piece(name, [job[name] for job in jobs], workers) for name in jobs[0]),
            _piece("live display and messages, in the parent", map(_cpu_alone, parents), workers),
        ],
    }


def _piece(name: str, clocks: Iterable[Clock], totals: list[float]) -> dict[str, Any]:
    found = list(clocks)
    return {
        "piece": name,
        "calls": found[0].calls,
        "cpu_seconds": spread(clock.cpu for clock in found),
        "wall_seconds": spread(clock.wall for clock in found),
        "share_of_cpu": spread(c.cpu / total for c, total in zip(found, totals, strict=True)),
    }


def _cpu_alone(seconds: float) -> Clock:
    return Clock(0.0, seconds, 1)


def _run(compute: LocalProcesses, job: Job) -> Outcome:
    """As a run in a terminal would, but for where the display is drawn."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveWatch(console) as watch:
        watch.step("it")
        (outcome,) = compute.run([job], watch.event)
    assert outcome.error is None, outcome.details
    return outcome


def _given(root: Path, request: ProxyRequest) -> dict[str, Any]:
    return {"root": root, "request": request}


def _request(steps: int, place: Path) -> ProxyRequest:
    texts = world.documents("worked", 0)
    folder = place / "tokenizer"
    some = [next(texts) for _ in range(4_000)]
    train_tokenizer(iter(some), VOCABULARY, split_digits=False).save_pretrained(str(folder))
    recipe = benchmark_recipe(
        Shape(64, 2, 2, 2, 128),
        VOCABULARY,
        rate=3e-3,
        embedding_learning_rate=1e-2,
        steps=steps,
        batch_size=BATCH,
        sequence_length=LENGTH,
    )
    tokens = recipe.tokens + 1
    write_tokens(texts, folder, tokens, place / "tokens", processes=1, progress=lambda _: None)
    share = Share("it", place / "tokens", tokens)
    return ProxyRequest(recipe, folder, tokenizer_hash(folder), (share,))
