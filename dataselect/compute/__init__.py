"""Run jobs in parallel with live progress, independent of what they compute.

`jobs` has the interface (`Compute`) and its values. `inline` and `processes` implement it on this
machine: `worker` is the child's side of `processes`, `cores` counts the cores that may be used,
`gpus` the GPUs, and `gpu_slots` knows which worker has which. `queued` implements it for clusters,
each a `scheduler`, `slurm` or `ray_cluster`: jobs travel by files (`job_folder`, `wire`),
`supervisor` and `job_process` run them, and `watched_job` reads how far one is. `engines` finds an
implementation by its name.
"""

from dataselect.compute.cores import default_compute, require_device, resolve_device
from dataselect.compute.inline import InlineCompute
from dataselect.compute.jobs import Compute, Event, Job, Outcome, Resources
from dataselect.compute.processes import LocalProcesses

__all__ = [
    "Compute",
    "Event",
    "InlineCompute",
    "Job",
    "LocalProcesses",
    "Outcome",
    "Resources",
    "default_compute",
    "require_device",
    "resolve_device",
]
