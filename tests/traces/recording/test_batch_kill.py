"""After a kill at any moment, the same command continues with the same batches."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_server import BatchServer

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.recording.asked import BuildOptions
from dataselect.traces.recording.batch import Limits, Queue, Wait, build_batch
from dataselect.traces.recording.build import Progress
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.spending import Estimate
from dataselect.traces.trace import TraceSet, read_traces

COUNT = 4
ITEMS = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(COUNT))
QUESTIONS = Counter(item.question for item in ITEMS)


class Killed(BaseException):
    """Not caught by any handler, as SIGKILL is not."""


class Watch:
    def start(self, estimate: Estimate, progress: Progress) -> None:
        pass

    def advance(self, progress: Progress) -> None:
        pass

    def looked(self, queue: Queue, next_look_seconds: float) -> None:
        pass


async def no_time(_: float) -> None:
    pass


async def interrupted(_: float) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with BatchServer(lambda q: (f"We add: {q}", "it")) as running:
        yield running


def build(server: BatchServer, out: Path, wait: Wait | None = None) -> TraceSet:
    return build_batch(
        BenchmarkItems("adding", ITEMS),
        Endpoint("tiny", server.url, first_wait_seconds=0.01),
        out,
        BuildOptions(max_tokens=400),
        created="2026-01-02",
        watch=Watch(),
        wait=wait or Wait(sleep=no_time),
        limits=Limits(requests=3),
    )


def kill_at(monkeypatch: pytest.MonkeyPatch, line: int, *, written: bool) -> None:
    """Kill the process just before or just after it writes line `line` of the journal."""
    append, lines = Journal._append, 0

    def counted(self: Journal, *records: dict[str, object]) -> None:
        nonlocal lines
        lines += 1
        if lines == line and not written:
            raise Killed
        append(self, *records)
        if lines == line:
            raise Killed

    monkeypatch.setattr(Journal, "_append", counted)


# Identity; probe and its answer; two batches of input, file, name; four answers; two ends.
@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("line", range(1, 1 + 2 + 2 * 3 + COUNT + 2 + 1))
def test_killed_at_any_line_of_the_journal_nothing_is_submitted_twice(
    server: BatchServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: int,
    written: bool,
) -> None:
    whole = build(server, tmp_path / "whole.jsonl")
    for seen in (server.batches, server.batched, server.events):
        seen.clear()
    out = tmp_path / "killed.jsonl"
    with monkeypatch.context() as patch:
        kill_at(patch, line, written=written)
        with pytest.raises(Killed):
            build(server, out)
    assert not out.exists()
    assert build(server, out).traces == whole.traces
    assert len(server.batches) == 2
    assert server.events.count("POST batches") == 2
    assert Counter(server.batched) == QUESTIONS
    assert not (tmp_path / "killed.jsonl.partial").exists()


def test_killed_after_the_last_line_only_the_file_is_left_to_write(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr("dataselect.traces.recording.asked.write_traces", _kill)
        with pytest.raises(Killed):
            build(server, out)
    server.requests.clear()
    server.events.clear()
    assert len(build(server, out).traces) == COUNT
    assert (server.requests, server.events) == ([], [])


def _kill(*_: object) -> None:
    raise Killed


def test_interrupted_while_it_waits_it_goes_on_waiting(server: BatchServer, tmp_path: Path) -> None:
    server.looks = 3
    out = tmp_path / "a.jsonl"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build(server, out, Wait(sleep=interrupted))
    assert len(build(server, out).traces) == COUNT
    assert len(server.batches) == 2
    assert Counter(server.batched) == QUESTIONS
    # The probe is for what is submitted, not for what is fetched.
    assert len(server.requests) == 1


CHILD = """
import sys
from pathlib import Path
from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.recording.asked import BuildOptions
from dataselect.traces.recording.batch import Wait, build_batch
from dataselect.traces.recording.endpoint import Endpoint

class Watch:
    def start(self, *_): pass
    advance = looked = start

url, out, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
items = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(count))
build_batch(BenchmarkItems("adding", items), Endpoint("tiny", url), out,
            BuildOptions(max_tokens=400), created="2026-01-02", watch=Watch(),
            wait=Wait(first_look_seconds=0.01))
"""


def test_a_process_killed_before_it_learns_the_batchs_name_finds_it_again(
    server: BatchServer, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, str(out), str(COUNT)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OPENAI_API_KEY": "sk-secret-0123456789",
            "NO_PROXY": "127.0.0.1",
        },
    )
    server.at["POST batches"] = lambda: child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    assert '"created"' not in (tmp_path / "a.jsonl.partial" / "journal.jsonl").read_text()
    server.at.clear()
    build(server, out)
    assert len(server.batches) == 1
    assert Counter(server.batched) == QUESTIONS
    assert len(read_traces(out).traces) == COUNT
