"""Building traces of twelve small sums by batches, in a time that only sleeping moves."""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

from batch_server import BatchServer
from completions_server import COMPLETION_USD, PROMPT_USD

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.recording.asked import BuildOptions
from dataselect.traces.recording.batch import Limits, Queue, Wait, build_batch
from dataselect.traces.recording.build import Progress, build_traces
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.spending import Estimate, Prices
from dataselect.traces.trace import TraceSet

KEY = "sk-secret-0123456789"
PRICES = Prices(PROMPT_USD, COMPLETION_USD)
OPTIONS = BuildOptions(max_tokens=400, prices=PRICES)
ITEMS = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(12))
ADDING = BenchmarkItems("adding", ITEMS, revision="adding@1", task="arithmetic")
QUESTIONS = sorted(item.question for item in ITEMS)


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def wait(self, seconds: float | None = None) -> Wait:
        return Wait(seconds, 5.0, 60.0, self.sleep, lambda: self.now)


class Watch:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.estimate: Estimate | None = None
        self.seen: list[Progress] = []
        self.queues: list[Queue] = []

    def start(self, estimate: Estimate, progress: Progress) -> None:
        self.estimate = estimate

    def advance(self, progress: Progress) -> None:
        self.seen.append(progress)

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        self.queues.append(queue)


def script(question: str) -> tuple[str, str]:
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    return f"We add {numbers}, “carefully”.\nSo it is {sum(numbers)}.", str(sum(numbers))


def endpoint(server: BatchServer, model: str = "tiny") -> Endpoint:
    return Endpoint(model, server.url, timeout_seconds=60, attempts=3, first_wait_seconds=0.01)


def build(
    server: BatchServer,
    out: Path,
    model: str = "tiny",
    *,
    benchmark: BenchmarkItems = ADDING,
    options: BuildOptions = OPTIONS,
    watch: Watch | None = None,
    wait: Wait | None = None,
    limits: Limits | None = None,
) -> TraceSet:
    return build_batch(
        benchmark,
        endpoint(server, model),
        out,
        options,
        created="2026-01-02",
        watch=watch or Watch(),
        wait=wait or Time().wait(),
        limits=limits,
    )


def one_by_one(server: BatchServer, out: Path, model: str = "tiny") -> TraceSet:
    return build_traces(
        ADDING, endpoint(server, model), out, OPTIONS, created="2026-01-02", watch=Watch()
    )


def sizes(server: BatchServer) -> list[int]:
    return [len(upload) for upload in server.uploads]
