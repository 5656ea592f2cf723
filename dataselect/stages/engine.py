"""From the section `compute` of a plan to an engine, the device of its jobs and what they ask for.

On this machine a GPU is looked for, and a job gets one of its own, or what the plan says. On a
cluster the driver often runs where there is none, so a job's device is what it asks for, and is
looked for where the job runs.
"""

import logging
import math
import socket
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dataselect.compute import (
    Compute,
    LocalProcesses,
    default_compute,
    require_device,
    resolve_device,
)
from dataselect.compute.engines import LOCAL, EngineSettings, check_engine, make_engine
from dataselect.compute.gpu_slots import GpuSlots
from dataselect.compute.gpus import VisibleGpus, visible_gpus
from dataselect.compute.jobs import Resources
from dataselect.config.compute import ComputePlan, JobNeeds
from dataselect.config.plan import Plan
from dataselect.errors import IncompleteError, InputError

logger = logging.getLogger("dataselect")

JOBS_FOLDER = "jobs"
"""In the store: what engines keep while jobs run."""


def with_engine(plan: Plan, on: str | None) -> Plan:
    """The plan with another engine, that of the option `--on`; itself for None."""
    if on is None:
        return plan
    check_engine(on, "--on")
    return plan.model_copy(update={"compute": plan.compute.model_copy(update={"on": on})})


def job_device(plan: Plan, *, required: bool = True) -> Literal["cpu", "cuda"]:
    """Where the jobs of a plan run models.

    Raises InputError if the engine is not known, and if `required` where a GPU of this machine is
    asked for that it does not have.
    """
    compute = plan.compute
    check_engine(compute.on, plan.where("compute", "on"))
    if compute.on != LOCAL:
        return "cuda" if compute.job_gpus else "cpu"
    return "cpu" if compute.gpus == 0 else _own_device(plan, required=required)


def driver_device(plan: Plan) -> Literal["cpu", "cuda"]:
    """Where this process runs models for a plan; a GPU that only jobs have is not asked for."""
    if plan.compute.on == LOCAL:
        return _own_device(plan)
    if plan.compute.device == "cuda":
        with suppress(InputError):
            return require_device("cuda")
        return "cpu"
    return resolve_device(plan.compute.device)


def _own_device(plan: Plan, *, required: bool = True) -> Literal["cpu", "cuda"]:
    if required:
        return require_device(plan.compute.device, plan.where("compute", "device"))
    return resolve_device(plan.compute.device)


def open_compute(plan: Plan, store: Path) -> Compute:
    """The engine of a plan, for the store at this root.

    Raises InputError, also where a job would ask this machine for more GPUs than it has.
    """
    compute = plan.compute
    if compute.on == LOCAL:
        return _open_local(plan)
    settings = EngineSettings(
        folder=store.absolute() / JOBS_FOLDER,
        jobs=compute.jobs,
        resources=job_resources(compute),
        retries=compute.retries,
        options=compute.engine_options(),
    )
    return make_engine(compute.on, settings, plan.where("compute", "on"))


def _open_local(plan: Plan) -> Compute:
    compute, device = plan.compute, job_device(plan)
    shared = share_gpus(plan, device)
    if shared is not None:
        return default_compute(
            compute.jobs, compute.threads, device, *shared, silence=compute.silence
        )
    if device == "cpu" and compute.job_gpus:
        logger.warning(
            "the plan's jobs ask for GPUs, and there is none here: they run on the CPU"
            " ('device: cuda' refuses that)"
        )
    return default_compute(compute.jobs, compute.threads, device, silence=compute.silence)


def share_gpus(plan: Plan, device: str) -> tuple[VisibleGpus, float, float] | None:
    """The GPUs that jobs of a plan get on this machine, how many each has where its stage does not
    say, and the least that any has; None if they run on the CPU or elsewhere.

    Raises InputError where a job would ask for more than there are.
    """
    compute = plan.compute
    if compute.on != LOCAL or device == "cpu":
        return None
    gpus = visible_gpus()
    if not gpus.names:
        return None
    share = compute.job_gpus
    if compute.gpus == "auto":
        # As many jobs as are asked for share what there is.
        many = 1 if compute.jobs == "auto" else math.ceil(compute.jobs / len(gpus.names))
        share = 1 / many
    asked: dict[tuple[str | int, ...], float] = {("compute", "gpus"): share}
    for number, stage in enumerate(plan.stages, start=1):
        own = stage.resources is not None and stage.resources.gpus is not None
        key = ("resources", "gpus") if own else ("processes",)
        needed = _gpus(compute, stage.resources, stage.processes, share)
        asked[(*plan.place(number), *key)] = needed
    slots = GpuSlots(gpus)
    for place, needed in asked.items():
        problem = slots.problem(needed)
        if problem is not None:
            fix = "write fewer, or run on a cluster ('on')"
            raise InputError(plan.where(*place), problem, fix)
    return gpus, share, min(asked.values())


def job_resources(
    compute: ComputePlan,
    needs: JobNeeds | None = None,
    processes: int = 1,
    engine: Compute | None = None,
) -> Resources:
    """What a job with so many processes asks its engine for; `needs` of its stage come first.

    `engine` knows what a job on this machine gets where the plan does not say.
    """
    own = needs or JobNeeds()
    threads = own.threads or (1 if compute.threads == "auto" else compute.threads)
    return Resources(
        threads=threads,
        cores=threads * processes,
        gpus=_gpus(compute, needs, processes, 0.0 if engine is None else engine.resources.gpus),
        memory=compute.memory if own.memory is None else own.memory,
        seconds=compute.time if own.time is None else own.time,
        silence=compute.silence,
    )


def _gpus(compute: ComputePlan, needs: JobNeeds | None, processes: int, share: float) -> float:
    """GPUs of a job. On this machine `share` are for a process of which the plan does not say how
    many, none if jobs run on the CPU; several processes have one each."""
    own = None if needs is None else needs.gpus
    if compute.on != LOCAL:
        return processes * (compute.job_gpus if own is None else own)
    if not share:
        return 0.0
    if own is not None:
        return processes * own
    if compute.gpus != "auto":
        return processes * compute.gpus
    return share if processes == 1 else processes


def side_by_side(engine: Compute, resources: Resources) -> int:
    """The most jobs with these resources that an engine runs in parallel."""
    return engine.slots_for(resources) if isinstance(engine, LocalProcesses) else engine.slots


def prepares_by_jobs(plan: Plan) -> bool:
    """Whether texts are prepared by jobs, and not by this process."""
    by = plan.compute.prepare.by
    return plan.compute.on != LOCAL if by == "auto" else by == "jobs"


def preparation_resources(compute: ComputePlan) -> Resources:
    """What a job that prepares texts asks a cluster for: no GPU."""
    own = compute.prepare
    return job_resources(
        compute, JobNeeds(gpus=0, threads=own.threads, memory=own.memory, time=own.time)
    )


def check_job_device(device: str) -> None:
    """Raise IncompleteError if a job was promised a GPU and finds none where it runs."""
    try:
        require_device("cuda" if device.startswith("cuda") else "cpu")
    except InputError:
        raise IncompleteError(
            f"the job's models are to run on a GPU, and {socket.gethostname()} gives it none; ask "
            "for one ('gpus' in the plan's 'compute'), or write 'device: cpu'"
        ) from None
