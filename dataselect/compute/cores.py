"""The number of cores that this process may use, and the default compute for them.

In a container or under a scheduler that is fewer than the machine has: the affinity mask and the
cgroup's CPU quota both limit it.
"""

import math
import os
from pathlib import Path
from typing import Literal

from dataselect.compute.gpu_slots import GpuSlots
from dataselect.compute.gpus import VisibleGpus
from dataselect.compute.gpus import has_gpu as _has_gpu
from dataselect.compute.jobs import SILENCE, Compute
from dataselect.compute.processes import LocalProcesses
from dataselect.errors import InputError


def default_compute(
    jobs: int | Literal["auto"],
    threads: int | Literal["auto"],
    device: Literal["auto", "cpu", "cuda"],
    gpus: VisibleGpus | None = None,
    share: float = 1.0,
    smallest: float | None = None,
    silence: float = SILENCE,
) -> Compute:
    """Worker processes on this machine.

    On CPU "auto" is one thread per job, which is fastest for small models and keeps results
    independent of the number of cores, and as many jobs as fit. With a GPU "auto" is as many jobs
    as `gpus` are enough for at a time, with the cores divided among them; more than one a GPU only
    where each has a core. A job has `share` GPUs, unless it says otherwise, and `smallest` is the
    least that any asks for. Where `gpus` are not known it is one job, with all cores. `silence`:
    see `Resources`.
    """
    cores = available_cores()
    if resolve_device(device) == "cpu":
        thread_count = 1 if threads == "auto" else threads
        job_count = max(1, cores // thread_count) if jobs == "auto" else jobs
        return LocalProcesses(job_count, thread_count, silence=silence)
    if gpus is None or not gpus.names:
        gpus, fitting = None, 1 if jobs == "auto" else jobs
    else:
        fitting = GpuSlots(gpus).capacity(smallest or share)
        if jobs == "auto":
            fitting = min(fitting, max(cores, len(gpus.names)))
    job_count = max(1, fitting if jobs == "auto" else min(jobs, fitting))
    thread_count = max(1, cores // job_count) if threads == "auto" else threads
    return LocalProcesses(job_count, thread_count, gpus=gpus, share=share, silence=silence)


def available_cores(
    membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> int:
    """Whole cores allowed by the affinity mask and by the cgroup (v1 or v2) quota; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, _quota(membership, mounted))))


def _quota(membership: Path, mounted: Path) -> float:
    """The smallest CPU quota, in cores, from this group up to the root; infinite without one."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mounted / controllers
        group = root / path.lstrip("/")
        # In a container the path may be the host's and absent here; the root still applies.
        for folder in [group, *group.parents]:
            quotas.append(_quota_of(folder))
            if folder == root:
                break
    return min(quotas)


def _quota_of(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        # "max" in version 2, -1 in version 1: no quota.
        limit = float(quota) / float(period)
    except (OSError, ValueError):
        return math.inf
    return limit if limit > 0 else math.inf


def resolve_device(device: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """`device`, with "auto" resolved.

    Asks the driver: importing torch would delay the first output by seconds.
    """
    if device != "auto":
        return device
    return "cuda" if _has_gpu() else "cpu"


def require_device(
    device: Literal["auto", "cpu", "cuda"], where: str = "--device"
) -> Literal["cpu", "cuda"]:
    """As `resolve_device`, where something is computed now; `where` names the setting in errors.

    Raises InputError for "cuda" where there is no GPU.
    """
    if device == "cuda" and not _has_gpu() and not _torch_has_gpu():
        raise InputError(where, "it is 'cuda', and there is no GPU here", "write 'auto' or 'cpu'")
    return resolve_device(device)


def _torch_has_gpu() -> bool:
    """Whether torch finds a GPU that the driver's files do not show, as on WSL and with ROCm."""
    import torch

    return torch.cuda.is_available()
