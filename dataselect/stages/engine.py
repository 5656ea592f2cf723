"""From the section `compute` of a plan to an engine, the device of its jobs and what they ask for.

On this machine a GPU is looked for. On a cluster the driver often runs where there is none, so a
job's device is what it asks for, and is looked for where the job runs.
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dataselect.compute import Compute, default_compute, require_device, resolve_device
from dataselect.compute.engines import LOCAL, EngineSettings, check_engine, make_engine
from dataselect.compute.jobs import Resources
from dataselect.config.compute import ComputePlan, JobNeeds
from dataselect.config.plan import Plan
from dataselect.errors import IncompleteError, InputError

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
    if required:
        return require_device(compute.device, plan.where("compute", "device"))
    return resolve_device(compute.device)


def driver_device(plan: Plan) -> Literal["cpu", "cuda"]:
    """Where this process runs models for a plan; a GPU that only jobs have is not asked for."""
    if plan.compute.on == LOCAL:
        return job_device(plan)
    if plan.compute.device == "cuda":
        with suppress(InputError):
            return require_device("cuda")
        return "cpu"
    return resolve_device(plan.compute.device)


def open_compute(plan: Plan, store: Path) -> Compute:
    """The engine of a plan, for the store at this root. Raises InputError."""
    compute = plan.compute
    if compute.on == LOCAL:
        return default_compute(compute.jobs, compute.threads, job_device(plan), compute.silence)
    settings = EngineSettings(
        folder=store.absolute() / JOBS_FOLDER,
        jobs=compute.jobs,
        resources=job_resources(compute),
        retries=compute.retries,
        options=compute.engine_options(),
    )
    return make_engine(compute.on, settings, plan.where("compute", "on"))


def job_resources(
    compute: ComputePlan, needs: JobNeeds | None = None, processes: int = 1
) -> Resources:
    """What a job with so many processes asks a cluster for; `needs` of its stage come first."""
    own = needs or JobNeeds()
    threads = own.threads or (1 if compute.threads == "auto" else compute.threads)
    gpus = compute.job_gpus if own.gpus is None else own.gpus
    return Resources(
        threads=threads,
        cores=threads * processes,
        gpus=gpus * processes,
        memory=compute.memory if own.memory is None else own.memory,
        seconds=compute.time if own.time is None else own.time,
        silence=compute.silence,
    )


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
