"""The contract on a Ray cluster of one machine. Skipped where Ray is not installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataselect.compute import Compute, Resources
from dataselect.compute.queued import Pace, QueuedCompute
from dataselect.compute.ray_cluster import RayActors, RayOptions
from dataselect.testing.compute import ComputeContract

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayActors]:
    """A cluster of this machine; starting one takes many seconds."""
    actors = RayActors(RayOptions(address="local"), retries=1)
    yield actors
    actors.close()


class TestRayActors(ComputeContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, cluster: RayActors) -> None:
        self.folder = tmp_path / "cluster"

    def make_compute(self) -> Compute:
        pace = Pace(poll_seconds=0.1, states_seconds=1.0, grace_seconds=0.2)
        # The cluster outlives it.
        scheduler = RayActors(RayOptions(), retries=1)
        return QueuedCompute(scheduler, self.folder, 2, Resources(threads=1), pace=pace)
