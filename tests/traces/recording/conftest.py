"""Fixtures that the tests of recording share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_building import KEY, script
from batch_server import BatchServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    """A running server that takes batches too; tests of single requests bring their own."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with BatchServer(script) as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The file of traces to make, in a folder that is still missing."""
    return tmp_path / "made" / "adding.jsonl.gz"
