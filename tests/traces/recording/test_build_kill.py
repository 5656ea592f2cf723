"""Real processes, real SIGKILL: answered questions are never sent again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from completions_server import CompletionsServer

from dataselect.traces.trace import read_traces

ITEMS = 30
CHILD = """
import sys
from pathlib import Path
from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.traces.recording.asked import BuildOptions
from dataselect.traces.recording.build import build_traces
from dataselect.traces.recording.endpoint import Endpoint

class Watch:
    def start(self, estimate, progress): pass
    def advance(self, progress): pass

url, out, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
items = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(count))
endpoint = Endpoint("tiny", url, concurrency=3, first_wait_seconds=0.01)
build_traces(BenchmarkItems("adding", items), endpoint, out, BuildOptions(max_tokens=400),
             created="2026-01-02", watch=Watch())
"""


def start(server: CompletionsServer, out: Path) -> "subprocess.Popen[bytes]":
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENAI_API_KEY": "sk-secret-0123456789",
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, str(out), str(ITEMS)], env=environment
    )


def questions_answered(journal: Path) -> set[str]:
    """The questions with complete answers in the journal, read without the package's code."""
    asked, answered = {}, set()
    if not journal.exists():
        return set()
    for line in journal.read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        if "request" in record and record["item"] is not None:
            asked[record["request"]] = record["item"].removeprefix("q")
        answered.add(record.get("answered"))
    return {f"What is {n} + 2?" for request, n in asked.items() if request in answered}


def test_killed_at_many_moments_it_asks_for_no_answered_item_again(tmp_path: Path) -> None:
    with CompletionsServer(lambda q: (f"We add: {q}", "it"), delay=0.02) as server:
        whole = tmp_path / "whole.jsonl"
        assert start(server, whole).wait(60) == 0

        out = tmp_path / "killed.jsonl"
        journal = tmp_path / "killed.jsonl.partial" / "journal.jsonl"
        answered: set[str] = set()
        for moment in (1, 4, 13):
            server.requests.clear()
            child = start(server, out)
            while len(server.requests) < moment and child.poll() is None:
                time.sleep(0.003)
            child.send_signal(signal.SIGKILL)
            assert child.wait(10) == -signal.SIGKILL
            time.sleep(0.1)
            assert not answered & set(server.questions)
            assert not out.exists()
            before, answered = answered, questions_answered(journal)
            assert before <= answered
        assert 0 < len(answered) < ITEMS

        server.requests.clear()
        assert start(server, out).wait(60) == 0
        assert not answered & set(server.questions)
        assert len(server.questions) == ITEMS - len(answered)
        assert max(Counter(server.questions).values()) == 1

    assert out.read_bytes() == whole.read_bytes()
    assert len(read_traces(out).traces) == ITEMS
    assert not journal.parent.exists()


@pytest.mark.parametrize("kept", ["journal", "nothing"])
def test_killed_after_the_file_was_written_it_asks_nothing(tmp_path: Path, kept: str) -> None:
    with CompletionsServer(lambda q: (f"We add: {q}", "it")) as server:
        out = tmp_path / "done.jsonl"
        assert start(server, out).wait(60) == 0
        before = out.read_bytes()
        server.requests.clear()
        if kept == "journal":
            (tmp_path / "done.jsonl.partial").mkdir()
            (tmp_path / "done.jsonl.partial" / "journal.jsonl").write_text("{}\n")
        assert start(server, out).wait(60) == 0
    assert not server.requests
    assert out.read_bytes() == before
    assert not (tmp_path / "done.jsonl.partial").exists()
