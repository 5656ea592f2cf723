"""Where a proxy comes from: trained here, given as checkpoints, or trained by a command.

`source` has the interface (`ProxySource`) and its records; `trained`, `given` and `command`
implement it; `data_export` writes a command's training data, `supervise` runs its process, and
`parameter_count` reads a checkpoint's size from its files without loading them.
"""

from dataselect.proxy_sources.command import CommandSource
from dataselect.proxy_sources.given import GivenCheckpoints
from dataselect.proxy_sources.source import MadeProxy, Point, ProxySource
from dataselect.proxy_sources.trained import TrainedHere

__all__ = [
    "CommandSource",
    "GivenCheckpoints",
    "MadeProxy",
    "Point",
    "ProxySource",
    "TrainedHere",
]
