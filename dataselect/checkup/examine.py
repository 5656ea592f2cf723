"""All checks in their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataselect.checkup.disk import examine_disk
from dataselect.checkup.engines import examine_engines
from dataselect.checkup.finding import Finding
from dataselect.checkup.hub import examine_hub
from dataselect.checkup.machine import examine_gpus, examine_torch
from dataselect.checkup.needs import Needs, examine_needs, needs_of
from dataselect.checkup.packages import examine_extras, examine_packages
from dataselect.checkup.server import examine_server
from dataselect.checkup.torch_probe import look_at_torch
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan


@dataclass(frozen=True)
class Server:
    """A frontier model's server that is to be probed."""

    model: str
    """Name of the model there."""
    base_url: str | None
    """Its address; None for OpenAI's."""
    key_variable: str
    """Environment variable that holds the key."""


def examine(
    store: str,
    out: Path,
    run: tuple[Manifest, Plan] | None = None,
    server: Server | None = None,
) -> Iterator[Finding]:
    """The findings of every check, as they are made; `run` and `server` add theirs."""
    yield from _guarded("environment", examine_packages())
    facts = look_at_torch()
    yield from _guarded("environment", examine_torch(facts))
    yield from _guarded("GPUs", examine_gpus(facts))
    needs = Needs((), 0) if run is None else needs_of(*run)
    yield from _guarded("disk", examine_disk(store, out, needs.bytes))
    yield from _guarded("Hub", examine_hub(needs.hub))
    wanted = None if run is None else run[1].compute.on
    yield from _guarded("engines", examine_engines(wanted))
    yield from _guarded("extras", examine_extras())
    if server is not None:
        asked = examine_server(server.base_url, server.model, server.key_variable)
        yield from _guarded("server", asked)
    if run is not None:
        yield from _guarded("this run", examine_needs(*run, facts))


def _guarded(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; where a check itself fails, that is one: the others are still of use."""
    try:
        yield from findings
    except Exception as error:
        text = f"the check failed ({type(error).__name__}: {error})"
        yield Finding(part, "check", "note", text, "report it, with this line")
