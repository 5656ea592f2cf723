"""The environment of a run: store, compute engine, device and progress display."""

import time
from dataclasses import dataclass, field

from dataselect.compute import Compute
from dataselect.stages.watch import SilentWatch, Watch
from dataselect.store import Store


@dataclass(frozen=True)
class Runtime:
    """Where a run keeps its artifacts, computes and shows its progress."""

    store: Store
    """Keeps the artifacts: every expensive result."""
    compute: Compute
    """Runs the jobs."""
    device: str = "cpu"
    """Where models run, in torch's words: "cpu" or "cuda"."""
    watch: Watch = field(default_factory=SilentWatch)
    """Shows progress and notes."""
    began: float = field(default_factory=time.monotonic)
    """Monotonic seconds when this call began."""

    @property
    def seconds(self) -> float:
        """Wall time since this call began."""
        return time.monotonic() - self.began
