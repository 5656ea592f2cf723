"""What holds for all tests."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

# Before NumPy and torch are loaded: the workers of a parallel run share the cores already, and
# threads that wait for each other spin.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")

# Where Python may not keep what it compiles, each command that a test starts compiles us again.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""

import pytest
from hypothesis import HealthCheck, settings

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.compute import Event, InlineCompute, Job, Outcome
from dataselect.corpus import batches
from dataselect.testing.frontier import stories

# How long an example takes to draw or to run says nothing about the code, and machines that test
# are busy; tests of speed count work, not seconds.
settings.register_profile(
    "unhurried", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

sys.dont_write_bytecode = False

# Streams of a few thousand tokens are read from texts without end, of which 16 batches of 100,000
# characters are read ahead.
batches.BATCHES_AHEAD = 2
batches.BATCH_CHARACTERS = 20_000

# A script's background job ignores Ctrl-C, and what it starts inherits that; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(name="stories")
def _stories() -> BenchmarkItems:
    return stories()


class _Inline(InlineCompute):
    """Jobs in this process, with one thread as the projects of the tests give their jobs."""

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        import torch

        torch.set_num_threads(1)
        return super().run(jobs, on_event)


@pytest.fixture
def inline_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of a plan without a cluster run in this process: another imports torch, for seconds.

    tests/compute is about processes of jobs, and tests/cli/test_run.py runs commands with them.
    """
    for module in ("dataselect.stages.engine", "dataselect.compute"):
        monkeypatch.setattr(f"{module}.default_compute", lambda *_, **__: _Inline())


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies are torch's, as in stores that older versions filled."""
    monkeypatch.setattr("dataselect.proxies.kernels.find_spec", lambda name: None)


@pytest.fixture(autouse=True)
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of reports are laid out and have no content, since writing it takes seconds.

    Modules that look at pictures have a fixture of this name that does nothing.
    """
    for module in ("dataselect.report.pictures.draw", "dataselect.report.pictures.selection.draw"):
        monkeypatch.setattr(f"{module}.to_svg", _empty_picture)


def _empty_picture(_: object, key: str, plain: bool) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><!-- {key} --></svg>'
