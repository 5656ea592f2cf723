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
    """Where jobs run models, in torch's words: "cpu" or "cuda"."""
    watch: Watch = field(default_factory=SilentWatch)
    """Shows progress and notes."""
    own_device: str | None = None
    """Where this process runs models; None: as the jobs do."""
    began: float = field(default_factory=time.monotonic)
    """Monotonic seconds when this call began."""

    @property
    def here(self) -> str:
        """Where this process runs models."""
        return self.device if self.own_device is None else self.own_device

    @property
    def seconds(self) -> float:
        """Wall time since this call began."""
        return time.monotonic() - self.began
