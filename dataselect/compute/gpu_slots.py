"""Who has which GPU of this machine: whole ones, several, or a share of one.

A grant belongs to a worker and not to a job, since a process that has used a GPU holds memory of it
until it ends. Shares are counted, as Ray does, and limit neither memory nor time on the GPU.
"""

from dataclasses import dataclass

from dataselect.compute.gpus import VisibleGpus

_WHOLE = 10_000
"""Units of a GPU; whole numbers, so that three thirds fit."""


@dataclass(frozen=True)
class Grant:
    """GPUs that a process may use."""

    names: tuple[str, ...]
    """Which; empty for none."""
    units: int
    """How much of each, of `_WHOLE`."""


class GpuSlots:
    """Gives GPUs out, and takes them back."""

    def __init__(self, gpus: VisibleGpus) -> None:
        self.gpus = gpus
        self._free = dict.fromkeys(gpus.names, _WHOLE)

    def problem(self, gpus: float) -> str | None:
        """Why a job can never have so many; None if it can."""
        there = len(self._free)
        if gpus > 1 and gpus != int(gpus):
            return f"a job has a share of one GPU, or a whole number of them, not {gpus:g}"
        if gpus > there:
            return f"a job needs {gpus:g} GPUs, and there {'is' if there == 1 else 'are'} {there}"
        return None

    def capacity(self, gpus: float) -> int:
        """Jobs that can have so many at a time; for more than 0."""
        count, units = _shape(gpus)
        return len(self._free) // count if units == _WHOLE else len(self._free) * (_WHOLE // units)

    def is_for(self, grant: Grant, gpus: float) -> bool:
        """Whether a grant is what a job with so many gets."""
        return (len(grant.names), grant.units) == _shape(gpus)

    def take(self, gpus: float) -> Grant | None:
        """GPUs for a process; None if not so many are free. Shares are of the GPU that is least
        used."""
        count, units = _shape(gpus)
        order = sorted(self._free, key=lambda name: -self._free[name])
        names = tuple(name for name in order[:count] if self._free[name] >= units)
        if len(names) < count:
            return None
        for name in names:
            self._free[name] -= units
        return Grant(names, units)

    def give_back(self, grant: Grant) -> None:
        """They are free again."""
        for name in grant.names:
            self._free[name] += grant.units

    def environment(self, grant: Grant) -> dict[str, str]:
        """What shows a process its GPUs alone; all are hidden from one that has none."""
        return self.gpus.environment(grant.names)


def _shape(gpus: float) -> tuple[int, int]:
    """How many GPUs, and how much of each."""
    if gpus <= 0:
        return 0, 0
    return (1, max(1, int(gpus * _WHOLE + 1e-6))) if gpus < 1 else (int(gpus), _WHOLE)
