"""The contract on submitit's executor of one machine, which stands for Slurm."""

from pathlib import Path

import pytest

from dataselect.compute import Compute, Resources
from dataselect.compute.queued import Pace, QueuedCompute
from dataselect.compute.slurm import SlurmOptions, Submitit
from dataselect.testing.compute import ComputeContract

pytest.importorskip("submitit")


class TestSubmitit(ComputeContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "cluster"

    def make_compute(self) -> Compute:
        scheduler = Submitit(self.folder / "submitit", SlurmOptions(cluster="local"))
        pace = Pace(poll_seconds=0.1, states_seconds=1.0, grace_seconds=0.2)
        return QueuedCompute(scheduler, self.folder, 2, Resources(threads=1), pace=pace)
