"""The double of `Compute` that other tests use keeps the contract too.

Apart from the engines: a worker would import all that the double's module needs.
"""

from stage_world import Counted

from dataselect.compute import Compute
from dataselect.testing.compute import ComputeContract


class TestCounted(ComputeContract):
    def make_compute(self) -> Compute:
        return Counted()
