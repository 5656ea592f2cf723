"""A process as others on a shared file system see it: is it gone, stopped or running?

Process ids are compared only where they mean the same: in one boot of one machine and in one
namespace of ids (containers have their own). Start times tell a process from a later one with its
id. Elsewhere nothing is known, and only the process's own signs of life count (`owner`).
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

Sight = Literal["elsewhere", "gone", "stopped", "running"]
"""What can be seen of a process: nothing, or its state."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process, such that it can be told from every other."""

    host: str
    """Name of its machine, for people."""
    boot: str
    """Id of the boot of its machine, or of the machine where the system has none."""
    namespace: str
    """Its namespace of process ids; empty where the system has none."""
    pid: int
    """Process id."""
    started: str
    """When it started, in the kernel's ticks since boot; empty if unknown."""

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """A record that `record` gave. Raises KeyError, TypeError or ValueError for others."""
        texts = {each.name: str(record[each.name]) for each in fields(cls) if each.name != "pid"}
        return cls(pid=int(record["pid"]), **texts)

    def seen_from_here(self) -> Sight:
        """What this process can see of it now."""
        boot, namespace = _machine()
        if (self.boot, self.namespace) != (boot, namespace):
            return "elsewhere"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "gone"
        except PermissionError:
            pass  # another user's
        known = _stat(self.pid)
        if known is None or not self.started:
            return "elsewhere"
        state, started = known
        if started != self.started or state in "ZX":
            return "gone"
        return "stopped" if state in "Tt" else "running"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """The calling process."""
    boot, namespace = _machine()
    known = _stat(os.getpid())
    started = "" if known is None else known[1]
    return Process(socket.gethostname(), boot, namespace, os.getpid(), started)


@cache
def _machine() -> tuple[str, str]:
    """Ids of this boot, or of this machine, and of this namespace of process ids."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return boot, os.readlink(_PROC / "self/ns/pid")
    except OSError:
        import uuid

        # Not Linux. A network card is of one machine; without one the number is drawn anew by each
        # process, and then none can be seen from another.
        return f"{socket.gethostname()} {uuid.getnode():x}", ""


def _stat(pid: int) -> tuple[str, str] | None:
    """State and start time of a process; None if they cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the program's name in brackets, may hold anything.
    rest = text.rpartition(")")[2].split()
    return rest[0], rest[19]
