"""Where a proxy comes from: trained here, given as checkpoints, or trained by a command.

`source` has the interface (`ProxySource`) and its values; `trained`, `given` and `command`
implement it; `data_export` writes what a command gets, `supervise` looks after its process, and
`weights`
reads what a checkpoint's files say of it without loading them.
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
