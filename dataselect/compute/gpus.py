"""The GPUs that this process may use, by the names that a process is told to use one by.

Nothing here starts CUDA. A variable that names GPUs is taken as the driver takes it: numbers,
`GPU-…` and `MIG-…`, up to the first that is none of these. Without one, `nvidia-smi` lists what
this process can reach, which in a container may be less than the machine has. torch is asked only
where the driver's files show no GPU (WSL, ROCm), and there `require_device` has loaded it already.

GPUs are told by number, in whatever order the driver counts them: each number is another one. On a
machine with MIG all are told by their identifiers, since a number there reaches one slice alone.

Not covered: what other processes use. Two runs on one machine are given their GPUs by
`CUDA_VISIBLE_DEVICES`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")
_SECONDS = 60.0
"""nvidia-smi wakes the driver, which takes seconds for each GPU where it does not stay loaded."""
_LISTED = re.compile(r"\s*(GPU|MIG)\b.*\(UUID: ((?:GPU|MIG)-[^)\s]+)\)")


@dataclass(frozen=True)
class VisibleGpus:
    """GPUs, or slices of them by MIG."""

    names: tuple[str, ...]
    """Each by a number or an identifier; none twice."""
    variable: str = CUDA
    """The variable that shows a process some of them."""

    def environment(self, names: Sequence[str]) -> dict[str, str]:
        """What shows a process these alone."""
        # No name would hide nothing with ROCm; -1 is no GPU for both.
        return {self.variable: ",".join(names) or "-1"}


def has_gpu() -> bool:
    """Whether the NVIDIA driver has a GPU that the environment does not hide."""
    return _driver_count() > 0 and _chosen(os.environ.get(CUDA)) != ()


def visible_gpus() -> VisibleGpus:
    """The GPUs of this process."""
    chosen, count = _chosen(os.environ.get(CUDA)), _driver_count()
    if chosen is not None and count:
        return VisibleGpus(_up_to(chosen, count))
    listed = _listed_by_driver()
    if listed:
        return VisibleGpus(listed if chosen is None else _up_to(chosen, len(listed)))
    return VisibleGpus(tuple(map(str, range(count)))) if count else _found_by_torch()


def _chosen(value: str | None) -> tuple[str, ...] | None:
    """The names in a variable; None if it is not set."""
    if value is None:
        return None
    names: list[str] = []
    for each in (part.strip() for part in value.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", each):
            break
        if each in names:
            return ()  # so does the driver
        names.append(each)
    return tuple(names)


def _up_to(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Names before the first number that no GPU has."""
    wrong = (i for i, name in enumerate(names) if name.isdigit() and int(name) >= count)
    return tuple(names[: next(wrong, len(names))])


def _driver_count() -> int:
    return len(list(_DRIVER.glob("*")))


def _listed_by_driver() -> tuple[str, ...]:
    """What nvidia-smi lists; empty if it is not there, or gives no answer."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        ran = subprocess.run(  # noqa: S603 (the driver's own program)
            [command, "-L"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return names_listed(ran.stdout) if ran.returncode == 0 else ()


def names_listed(text: str) -> tuple[str, ...]:
    """Names of the GPUs in what `nvidia-smi -L` prints: numbers, with MIG identifiers."""
    found = [match.groups() for match in map(_LISTED.match, text.splitlines()) if match]
    if not any(kind == "MIG" for kind, _ in found):
        return tuple(str(number) for number in range(len(found)))
    names = []
    for (kind, name), after in zip(found, [*found[1:], ("", "")], strict=True):
        # Of a GPU that is cut into slices only these can be used.
        if kind == "MIG" or after[0] != "MIG":
            names.append(name)
    return tuple(names)


def _found_by_torch() -> VisibleGpus:
    import torch

    count, variable = torch.cuda.device_count(), CUDA
    chosen = _chosen(os.environ.get(CUDA))
    if torch.version.hip:
        variable = HIP
        if HIP in os.environ:
            chosen = _chosen(os.environ[HIP])
        elif ROCR in os.environ:
            chosen = None  # numbers count what that leaves
    names = [str(number) for number in range(count)] if chosen is None else list(chosen)
    return VisibleGpus(tuple(names[:count]), variable)
