"""What runs where: the section `compute` of a plan, and what a stage's jobs need."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Number, Whole, parse_count
from dataselect.wording import quoted


def _parse_automatic(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    try:
        count = parse_count(value)
    except ValueError:
        count = 0
    if count == 0:
        raise ValueError(f"{quoted(value)} is not a count; write 1 or more, or 'auto'")
    return count


Automatic = Annotated[int | Literal["auto"], BeforeValidator(_parse_automatic)]

_BYTES = {"M": 10**6, "G": 10**9, "T": 10**12, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_memory(value: Any) -> int:
    """Bytes of "32GB", "500 MiB"; a large whole number is bytes already."""
    if type(value) is int and value >= _BYTES["M"]:
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]i?)B?", value) if type(value) is str else None
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{quoted(value)} is not an amount of memory; write one such as 32GB")
    return round(float(match[1]) * _BYTES[match[2]])


def _parse_time(value: Any) -> float:
    """Seconds of "90m", "4h 30m", "2d"; a number of at least a minute is seconds already."""
    if type(value) in (int, float) and value >= _SECONDS["m"]:
        return float(value)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if type(value) is str else []
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if total <= 0 or re.sub(r"\d+(?:\.\d+)?\s*[smhd]", "", value).strip():
        raise ValueError(f"{quoted(value)} is not a time; write one such as 90m, 4h or 2d")
    return total


Memory = Annotated[int, BeforeValidator(_parse_memory)]
"""A pydantic field for bytes, written as `32GB` or `500MiB`."""
Duration = Annotated[float, BeforeValidator(_parse_time)]
"""A pydantic field for seconds, written as `90m`, `4h 30m` or `2d`."""


class JobNeeds(Section):
    """What each job of a stage asks for, where it differs from `compute`. On this machine that is
    `gpus` alone; the rest is asked of a cluster."""

    gpus: Annotated[Number, Field(ge=0, le=4096)] | None = None
    """GPUs of a job with one process; with several `processes` each has as many."""

    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of each process."""

    memory: Memory | None = None
    """Main memory of a job, such as `32GB`."""

    time: Duration | None = None
    """Longest time of one attempt at a job, such as `4h`. What is over it is ended, and tried again
    from its last saved state (`retries`)."""


class PreparePlan(Section):
    """Who prepares texts before and beside the stages, and what its jobs ask of a cluster: training
    the tokenizer, tokenising, searching for leaks, counting words. No such job needs a GPU."""

    by: Literal["auto", "jobs", "driver"] = "auto"
    """`jobs`: one for each source, side by side, on nodes that see the texts at the same path.
    `driver`: the process that you start, as where it alone sees the texts or the internet. `auto`:
    jobs on a cluster, the driver on this machine."""

    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads and cores of a job. Default: those of `compute`."""

    memory: Memory | None = None
    """Main memory of a job, such as `8GB`. Default: that of `compute`."""

    time: Duration | None = None
    """Longest time of one attempt at a job. Default: that of `compute`."""


class SlurmPlan(Section):
    """How jobs are submitted with `on: slurm`."""

    partition: Text | None = None
    """Partition. Default: the cluster's."""

    cpu_partition: Text | None = None
    """Partition of jobs that ask for no GPU, such as those that prepare texts (`prepare`). Default:
    `partition`."""

    account: Text | None = None
    """Account that is charged. Default: yours."""

    qos: Text | None = None
    """Quality of service. Default: the cluster's."""

    options: dict[str, str] | None = None
    """Further options of sbatch, without dashes in front, such as `{constraint: a100}`."""

    setup: list[str] | None = None
    """Shell lines before each job, such as `module load cuda`."""

    cluster: Literal["slurm", "local"] = "slurm"
    """`local` starts the jobs by submitit on this machine, without Slurm: to try a plan out."""


class RayPlan(Section):
    """Which Ray cluster is used with `on: ray`."""

    address: Text = "auto"
    """Address of a cluster that runs already: `ray://HOST:10001`, `HOST:6379`, or `auto` for the
    one of `RAY_ADDRESS` or of this machine. `local` starts one on this machine, which ends with the
    command."""

    resources: dict[str, Number] | None = None
    """Custom resources that each job needs, such as `{accelerator_type:A100: 0.001}`."""

    runtime_env: dict[str, Any] | None = None
    """Ray's runtime environment for the jobs. Default: what is installed on the nodes."""


class ComputePlan(Section):
    """What runs where."""

    on: Text = "local"
    """Where jobs run: processes on this machine (`local`), a `slurm` or a `ray` cluster
    (docs/cluster.md), or the name of an engine that another package brings."""

    jobs: Automatic = "auto"
    """Jobs in parallel. `auto`: on a CPU one per core that this process may use, on GPUs as many as
    these are enough for (`gpus`); on a cluster up to 100 in its queue or running."""

    threads: Automatic = "auto"
    """Threads of each process. `auto`: on a CPU one, on GPUs the cores divided by `jobs`; on a
    cluster one."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one, on a cluster where jobs ask for
    one by `gpus`."""

    gpus: Annotated[Number, Field(ge=0, le=4096)] | Literal["auto"] = "auto"
    """GPUs of each job; on this machine and on Ray a fraction lets small proxies share one. `auto`:
    on this machine one where there are any, or less where more `jobs` are asked for than there are;
    on a cluster one with `device: cuda`, else none. With several `processes` each has as many."""

    memory: Memory | None = None
    """Main memory that each job asks a cluster for, such as `32GB`. Default: the cluster's own."""

    time: Duration | None = None
    """Longest time of one attempt at a job on a cluster, such as `4h`. Default: the cluster's
    own."""

    retries: Annotated[Whole, Field(le=100)] = 1
    """How often a job is tried again on a cluster that has lost it, as by its time or its memory.
    Attempts that a scheduler starts again by itself do not count."""

    silence: Duration = 600.0
    """Longest time that a job's process may give no sign of life, such as `10m`; then it is ended,
    and the job is tried again. It gives one every few seconds, except in a long native call."""

    population: Automatic = "auto"
    """Candidates whose proxies train in one process, on a GPU as one program. `auto`: one on a CPU,
    and on a GPU as many as fit into 16 GiB, since a single small proxy leaves it idle, but on this
    machine no more than leave some for each GPU. On a CPU they train one after the other, with the
    bits of each alone."""

    shard: Literal["auto", "ddp", "fsdp"] = "auto"
    """With several `processes`: `ddp` replicates the model, `fsdp` shards it. `auto`: `fsdp` where
    a whole model would take more than half of a GPU's memory."""

    activation_checkpointing: Literal["auto"] | bool = "auto"
    """Recompute activations in the backward pass instead of keeping them: a third more time in a
    fraction of the memory. `auto`: for models of 500M parameters and more."""

    prepare: PreparePlan = PreparePlan()
    """Who prepares texts, and with what."""

    slurm: SlurmPlan = SlurmPlan()
    """How jobs are submitted with `on: slurm`."""

    ray: RayPlan = RayPlan()
    """Which cluster is used with `on: ray`."""

    options: dict[str, Any] | None = None
    """Options of an engine that another package brings."""

    @model_validator(mode="after")
    def _device_and_gpus_agree(self) -> Self:
        if self.device == "cpu" and self.gpus not in ("auto", 0):
            raise FieldError(
                f"jobs would ask for GPUs ({self.gpus:g}) and run on the CPU, by 'device'",
                "remove one of the two",
                "gpus",
            )
        if self.device == "cuda" and self.gpus == 0:
            raise FieldError("with 'device: cuda' jobs need a GPU", "remove it", "gpus")
        return self

    @property
    def job_gpus(self) -> float:
        """GPUs of a job with one process, where `auto` is as on a cluster."""
        if self.gpus == "auto":
            return 1.0 if self.device == "cuda" else 0.0
        return self.gpus

    def engine_options(self) -> Mapping[str, Any]:
        """What the plan says to the engine `on` alone."""
        sections = {"slurm": self.slurm, "ray": self.ray}
        if self.on in sections:
            return sections[self.on].model_dump()
        return self.options or {}
