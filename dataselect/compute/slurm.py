"""Slurm, through submitit: arrays of jobs by sbatch, states by squeue.

submitit writes the script of a job and a pickle of the call that it makes, which here is
`supervise` with two strings; job and outcome travel in files of our own (`job_folder`). Its
bookkeeping is not used: it reads accounting, which many clusters do not have, and does not see
that Slurm starts a job again. squeue tells what Slurm still has, and the job's own files the rest.

`local` takes submitit's executor for one machine in place of Slurm, for tests.

Not covered: jobs on several nodes; fractions of a GPU, since Slurm gives whole ones.
"""

import getpass
import math
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dataselect.compute.engines import EngineSettings
from dataselect.compute.jobs import Compute, Resources
from dataselect.compute.queued import QueuedCompute
from dataselect.compute.scheduler import AUTOMATIC_SLOTS, State, Ticket
from dataselect.compute.supervisor import supervise
from dataselect.errors import InputError

_QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED"}
_RUNNING = {"RUNNING", "CONFIGURING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
_DAYS = 24 * 60


@dataclass(frozen=True)
class SlurmOptions:
    """What sbatch is told besides the resources."""

    partition: str | None = None
    """Partition; the cluster's default without one."""
    cpu_partition: str | None = None
    """Partition of jobs without a GPU; `partition` without one."""
    account: str | None = None
    """Account that is charged."""
    qos: str | None = None
    """Quality of service."""
    options: Mapping[str, str] | None = None
    """Further options of sbatch, without dashes in front: `constraint`, `reservation`."""
    setup: tuple[str, ...] = ()
    """Shell lines before the job: `module load cuda`."""
    cluster: Literal["slurm", "local"] = "slurm"
    """`local`: submitit's processes on this machine, without Slurm."""


def run_ticket(folder: str, digest: str) -> None:
    """What submitit calls in the job."""
    # submitit would take Slurm's warning, minutes before the end of the time, for its own cue and
    # end the job. The state of training is saved all the time, so the rest of it is of use.
    with suppress(ValueError, AttributeError):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    supervise(folder, digest)


def engine(settings: EngineSettings) -> Compute:
    """The engine `slurm` of a plan. Raises InputError where it cannot be used."""
    given = dict(settings.options)
    options = SlurmOptions(**{**given, "setup": tuple(given.get("setup") or ())})
    scheduler = Submitit(settings.folder / "submitit", options)
    sbatch_parameters(settings.resources, options, "", 1)  # refuses what Slurm cannot give
    slots = AUTOMATIC_SLOTS if settings.jobs == "auto" else settings.jobs
    return QueuedCompute(scheduler, settings.folder, slots, settings.resources, settings.retries)


class Submitit:
    """A `Scheduler`. `folder` is for submitit's files; all nodes must see it.

    Raises InputError where submitit or Slurm is missing.
    """

    def __init__(self, folder: Path, options: SlurmOptions) -> None:
        try:
            import submitit
        except ImportError:
            raise InputError(
                "compute: on", "'slurm' needs submitit", "pip install 'dataselect[slurm]'"
            ) from None
        if options.cluster == "slurm" and shutil.which("sbatch") is None:
            raise InputError(
                "compute: on",
                "there is no sbatch here",
                "run this where Slurm's commands are installed, such as on a login node",
            )
        self.name = "slurm" if options.cluster == "slurm" else "submitit"
        self._options, self._folder, self._submitit = options, folder, submitit
        self._local: dict[str, Any] = {}

    def submit(self, tickets: Sequence[Ticket]) -> list[str]:
        """See `Scheduler`: one array for all jobs of equal resources."""
        utils = self._submitit.core.utils
        ids: dict[int, str] = {}
        for resources in dict.fromkeys(ticket.resources for ticket in tickets):
            places = [n for n, ticket in enumerate(tickets) if ticket.resources == resources]
            executor, jobs = self._executor(resources, tickets[places[0]].name, len(places)), []
            try:
                with executor.batch():
                    for n in places:
                        ticket = tickets[n]
                        jobs.append(executor.submit(run_ticket, str(ticket.folder), ticket.digest))
            except (utils.FailedJobError, utils.FailedSubmissionError) as error:
                problem = str(error).strip().rpartition("\n")[2]
                raise InputError(
                    "compute",
                    f"sbatch refuses the jobs: {problem}",
                    "correct 'slurm' and the resources in the plan's 'compute'",
                ) from error
            for n, job in zip(places, jobs, strict=True):
                ids[n] = job.job_id
                if self._options.cluster == "local":
                    self._local[job.job_id] = job
        return [ids[n] for n in range(len(tickets))]

    def states(self, ids: Sequence[str]) -> Mapping[str, State] | None:
        """See `Scheduler`."""
        if self._options.cluster == "local":
            return {each: self._local_state(each) for each in ids}
        return squeue()

    def cancel(self, ids: Sequence[str]) -> None:
        """See `Scheduler`."""
        if self._options.cluster == "local":
            for each in ids:
                # As submitit does; SIGTERM it passes on to a process that ignores it.
                with suppress(OSError, ValueError):
                    os.kill(int(each), signal.SIGINT)
            return
        for start in range(0, len(ids), 500):
            command = ["scancel", *ids[start : start + 500]]
            subprocess.run(command, capture_output=True, check=False, timeout=120)  # noqa: S603

    def forget(self, job: str) -> None:
        """See `Scheduler`: the pickles and logs of submitit."""
        for path in self._folder.glob(f"{job}_*"):
            path.unlink(missing_ok=True)

    def log(self, job: str) -> Path | None:
        """See `Scheduler`."""
        return self._folder / f"{job}_0_log.err"

    def close(self) -> None:
        """Nothing is kept."""

    def _executor(self, resources: Resources, name: str, count: int) -> Any:
        if self._options.cluster == "local":
            executor = self._submitit.LocalExecutor(self._folder)
            executor.update_parameters(timeout_min=30 * _DAYS)
            return executor
        executor = self._submitit.SlurmExecutor(self._folder)
        executor.update_parameters(**sbatch_parameters(resources, self._options, name, count))
        return executor

    def _local_state(self, job: str) -> State:
        known = self._local.get(job)
        if known is not None:
            return State("running" if known.state == "RUNNING" else "ended")
        # Of an earlier driver: its id is that of a process.
        with suppress(OSError, ValueError):
            os.kill(int(job), 0)
            if b"submitit" in Path(f"/proc/{job}/cmdline").read_bytes():
                return State("running")
        return State("ended")


def sbatch_parameters(
    resources: Resources, options: SlurmOptions, name: str, count: int
) -> dict[str, Any]:
    """Parameters of submitit's SlurmExecutor. Raises InputError for a fraction of a GPU."""
    if resources.gpus != int(resources.gpus):
        raise InputError(
            "compute: gpus",
            f"Slurm gives whole GPUs, not {resources.gpus:g}",
            "write a whole number; several small proxies share one by 'population'",
        )
    more: dict[str, Any] = {"requeue": True, **(options.options or {})}
    if resources.memory is not None:
        more["mem"] = f"{math.ceil(resources.memory / 2**20)}M"
    parameters: dict[str, Any] = {
        "job_name": "dataselect" if count > 1 else _job_name(name),
        "partition": (not resources.gpus and options.cpu_partition) or options.partition,
        "account": options.account,
        "qos": options.qos,
        "cpus_per_task": resources.cores or resources.threads,
        "ntasks_per_node": 1,
        "array_parallelism": count,
        "setup": list(options.setup) or None,
        "wckey": None,
        "additional_parameters": more,
        # Without a number Slurm has its own default, where submitit has five minutes.
        "time": None if resources.seconds is None else math.ceil(resources.seconds / 60),
    }
    if resources.gpus:
        parameters["gpus_per_node"] = int(resources.gpus)
    return {key: value for key, value in parameters.items() if value is not None or key in _UNSET}


_UNSET = ("time", "wckey")
"""Parameters for which submitit has a default that must not count."""


def _job_name(name: str) -> str:
    """A name that Slurm's own listings show whole."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)[:60]


def squeue() -> dict[str, State] | None:
    """What Slurm has of this user's jobs, by id; None if it does not answer.

    Slurm forgets a job some minutes after its end.
    """
    # %i is "123_4" for a task of an array, where %A is an id of its own.
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
    command += ["--user", getpass.getuser()]
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    states = {}
    for line in answer.stdout.splitlines():
        job, _, word = line.strip().partition(" ")
        states[job] = _state(word)
    return states


def _state(word: str) -> State:
    if word in _QUEUED:
        return State("queued", word)
    if word in _RUNNING:
        return State("running", word)
    # What scancel has ended, by another hand than ours.
    return State("cancelled" if word == "CANCELLED" else "ended", word)
