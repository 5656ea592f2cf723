"""What a run runs on, whatever it computes: a store, machines, a device, and who is told."""

import time
from dataclasses import dataclass, field

from dataselect.compute import Compute
from dataselect.stages.watch import SilentWatch, Watch
from dataselect.store import Store


@dataclass(frozen=True)
class Runtime:
    """Where a run keeps its artifacts, and where it computes."""

    store: Store
    """Keeps everything expensive."""
    compute: Compute
    """Runs the jobs."""
    device: str = "cpu"
    """Of models, as torch names it: "cpu" or "cuda"."""
    watch: Watch = field(default_factory=SilentWatch)
    """Is told what happens."""
    began: float = field(default_factory=time.monotonic)
    """Monotonic seconds when this call began."""

    @property
    def seconds(self) -> float:
        """Wall time since this call began."""
        return time.monotonic() - self.began
