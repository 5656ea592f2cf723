"""Four candidates, two small benchmarks and one stage: all that the pipeline does before it.

Nothing here imports torch by itself.
"""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.compute import Compute, Event, InlineCompute, Job, Outcome
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.scoring import gather
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import prepare
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.synthetic.world import benchmark_problems
from dataselect.traces.trace import Trace, TraceHeader, write_traces

ITEMS = 6
CANDIDATES = ["worked", "prose", "blend", "copy"]
MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: worked, path: dataselect/desk, name: worked}
  - {id: prose, path: dataselect/desk, name: narrative}
  - {id: blend, mixture: {worked: 3, prose: 1}}
  - {id: copy, mixture: {worked: 2}}
"""
PLAN = """
tokenizer: {train: {vocab_size: 300, characters: 20k}}
benchmarks:
  - {id: short, items: short.jsonl, traces: short.traces.jsonl}
  - {id: long, items: long.jsonl, traces: long.traces.jsonl}
screen:
  keep: 2
  accuracy: true
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2}
    tokens: TOKENS
    sequence_length: 32
    batch_size: 4
    learning_rate: 1e-2
"""


class Counted:
    """Runs jobs here, after a trip through pickle as to another process, and keeps their names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._inline = InlineCompute()
        self.slots, self.resources = self._inline.slots, self._inline.resources

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        self.names += [job.name for job in jobs]
        sent = [pickle.loads(pickle.dumps((job.function, job.arguments))) for job in jobs]
        return self._inline.run(
            [Job(job.name, *parts) for job, parts in zip(jobs, sent, strict=True)], on_event
        )

    def close(self) -> None: ...

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *error: object) -> None: ...


def write_world(folder: Path, tokens: int = 4000, *, accuracy: bool = False) -> None:
    """A manifest, a plan and two benchmarks with made-up letter probabilities.

    With `accuracy` proxies write answers, which costs more than their training: see
    `short_answers`.
    """
    (folder / "manifest.yaml").write_text(MANIFEST)
    plan = PLAN if accuracy else PLAN.replace("  accuracy: true\n", "")
    (folder / "plan.yaml").write_text(plan.replace("TOKENS", str(tokens)))
    for name, steps in (("short", (2,)), ("long", (3, 4))):
        rows, traces = [], []
        for number, problem in enumerate(benchmark_problems(0, steps, ITEMS)):
            text = problem.reasoning()
            rows.append(
                {"id": f"{name}-{number}", "question": problem.prompt, "rationale": text}
                | {"answer": str(problem.answer)}
            )
            runs = tuple((1, 0.9 if letter.isdigit() else 0.5) for letter in text)
            traces.append(Trace(f"{name}-{number}", text, runs))
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        header = TraceHeader(name, "made up", "none", "this test")
        write_traces(folder / f"{name}.traces.jsonl", header, traces)


@contextmanager
def short_answers() -> Iterator[None]:
    """Benchmarks read meanwhile have answers of few tokens; untrained models end none by itself."""
    usual = gather.BenchmarkItems
    gather.BenchmarkItems = partial(BenchmarkItems, new_tokens=8)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        gather.BenchmarkItems = usual  # type: ignore[misc]


def runtime(folder: Path, compute: Compute, store: Path | None = None) -> Runtime:
    """Where it runs, with nobody who looks on."""
    return Runtime(Store(store or folder / "store"), compute)


def experiment(
    folder: Path, compute: Compute, store: Path | None = None, plan: str = "plan.yaml"
) -> Experiment:
    """All that the pipeline does before its first stage."""
    manifest = load_manifest(folder / "manifest.yaml")
    with short_answers():
        return prepare(manifest, load_plan(plan, folder), runtime(folder, compute, store))
