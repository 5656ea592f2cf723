"""Ray: each job is a detached actor, whose name is that of the job.

An actor rather than a task, because Ray ends the tasks of a driver with it, and forgets them; a
detached actor lives on, is found by name, and is started again by Ray on another node if its node
is lost. All that it does is to hold the resources and run `supervise`; then it ends itself, so
that nothing is held once the job is done. Progress and outcome come by files (`job_folder`), so the
driver needs nothing of Ray but whether an actor is alive.

Ray pickles the actor's class and three strings, inside the cluster.

Not covered: jobs on several nodes.
"""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.compute.engines import EngineSettings
from dataselect.compute.jobs import Compute, Resources
from dataselect.compute.queued import QueuedCompute
from dataselect.compute.scheduler import AUTOMATIC_SLOTS, State, Ticket
from dataselect.compute.supervisor import supervise
from dataselect.errors import IncompleteError, InputError

_NAMESPACE = "dataselect"
_START_SECONDS = "RAY_raylet_start_wait_time_s"


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and what jobs need besides GPUs, cores and memory."""

    address: str = "auto"
    """As Ray takes it; "local" starts a cluster here."""
    resources: Mapping[str, float] | None = None
    """Custom resources of each job."""
    runtime_env: Mapping[str, Any] | None = None
    """Ray's runtime environment."""


def engine(settings: EngineSettings) -> Compute:
    """The engine `ray` of a plan. Raises InputError where it cannot be used."""
    scheduler = RayActors(RayOptions(**settings.options), settings.retries)
    slots = AUTOMATIC_SLOTS if settings.jobs == "auto" else settings.jobs
    return QueuedCompute(scheduler, settings.folder, slots, settings.resources, settings.retries)


class JobActor:
    """Runs one job, then ends itself."""

    def __init__(self, folder: str, digest: str) -> None:
        # A thread, so that the actor counts as started: Ray gives up actors that do not start.
        threading.Thread(target=self._run, args=(folder, digest)).start()

    def _run(self, folder: str, digest: str) -> None:
        import ray

        context = ray.get_runtime_context()
        try:
            supervise(folder, digest, {"RAY_NODE_ID": context.get_node_id()})
        finally:
            ray.kill(context.current_actor, no_restart=True)


class RayActors:
    """A `Scheduler`. Raises InputError where Ray is missing or its cluster cannot be reached."""

    name = "ray"

    def __init__(self, options: RayOptions, retries: int) -> None:
        try:
            import ray
        except ImportError:
            raise InputError(
                "compute: on", "'ray' needs Ray", "pip install 'dataselect[ray]'"
            ) from None
        self._ray, self._options, self._retries = ray, options, retries
        self._handles: dict[str, Any] = {}
        # On a machine with other work Ray's own daemon takes longer to start than Ray waits.
        os.environ.setdefault(_START_SECONDS, "120")
        self._connected_here = not ray.is_initialized()
        if self._connected_here:
            self._connect()

    def submit(self, tickets: Sequence[Ticket]) -> list[str]:
        """See `Scheduler`."""
        ids = []
        for ticket in tickets:
            # Names of actors are unique, and an ended one's name may be free a moment later.
            name = f"{ticket.folder.name}-{os.urandom(4).hex()}"
            actor = self._ray.remote(JobActor).options(
                name=name,
                namespace=_NAMESPACE,
                lifetime="detached",
                max_restarts=self._retries,
                runtime_env=dict(self._options.runtime_env or {}) or None,
                **actor_resources(ticket.resources, self._options),
            )
            with self._reachable():
                self._handles[name] = actor.remote(str(ticket.folder), ticket.digest)
            ids.append(name)
        return ids

    def states(self, ids: Sequence[str]) -> Mapping[str, State] | None:
        """See `Scheduler`."""
        with self._reachable():
            alive = {
                each["name"]
                for each in self._ray.util.list_named_actors(all_namespaces=True)
                if each["namespace"] == _NAMESPACE
            }
        # Ray does not say here whether an actor waits for resources or runs; its files do.
        return {each: State("running" if each in alive else "ended") for each in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        """See `Scheduler`."""
        for each in ids:
            with suppress(ValueError, self._ray.exceptions.RayError):
                self._ray.kill(self._ray.get_actor(each, _NAMESPACE), no_restart=True)

    def log(self, job: str) -> Path | None:
        """See `Scheduler`: on the node, in Ray's own folder."""
        return None

    def forget(self, job: str) -> None:
        """See `Scheduler`."""
        self._handles.pop(job, None)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._handles.clear()
        if self._connected_here and self._ray.is_initialized():
            self._ray.shutdown()

    def _connect(self) -> None:
        address = None if self._options.address == "local" else self._options.address
        try:
            self._ray.init(
                address=address,
                namespace=_NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
            )
        except (ConnectionError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            raise InputError(
                "compute: ray: address",
                f"no Ray cluster answers at {self._options.address!r} ({_first_line(error)})",
                "name one that runs, or write 'local' for one on this machine",
            ) from error

    def _reachable(self) -> "_Reachable":
        return _Reachable(self._ray)


class _Reachable:
    """Turns the loss of the cluster into one line."""

    def __init__(self, ray: Any) -> None:
        self._errors = (ConnectionError, ray.exceptions.RayError)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._errors):
            raise IncompleteError(
                f"the Ray cluster does not answer any more ({_first_line(error)}); run the same "
                "command again once it does"
            ) from error


def actor_resources(resources: Resources, options: RayOptions) -> dict[str, Any]:
    """What Ray is asked for."""
    asked: dict[str, Any] = {
        "num_cpus": resources.cores or resources.threads or 1,
        "num_gpus": resources.gpus,
        "resources": dict(options.resources or {}) or None,
    }
    if resources.memory is not None:
        asked["memory"] = resources.memory
    return asked


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
