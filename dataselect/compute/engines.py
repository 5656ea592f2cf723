"""Engines by name: those of dataselect, and those that other packages bring.

A package brings one by an entry point of the group `dataselect.compute`: a function that takes
`EngineSettings` and returns a `Compute`, under the name that plans write (docs/extending.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from dataselect.compute.jobs import Compute, Resources
from dataselect.errors import InputError
from dataselect.wording import nearest, quoted

GROUP = "dataselect.compute"
LOCAL = "local"
_OWN = {
    "slurm": "dataselect.compute.slurm:engine",
    "ray": "dataselect.compute.ray_cluster:engine",
}


@dataclass(frozen=True)
class EngineSettings:
    """What a plan says to an engine."""

    folder: Path
    """For what the engine keeps while jobs run, in the store; all machines see it."""
    jobs: int | Literal["auto"]
    """Most jobs at a time."""
    resources: Resources
    """What each job gets, unless it says otherwise."""
    retries: int
    """How often a lost job is tried again."""
    options: Mapping[str, Any]
    """The plan's options for this engine alone."""


Factory = Callable[[EngineSettings], Compute]


def engine_names() -> list[str]:
    """The names that a plan may write, without `local`."""
    return sorted({*_OWN, *(each.name for each in entry_points(group=GROUP))})


def check_engine(name: str, where: str) -> None:
    """Raise InputError, naming `where`, if there is no engine of this name."""
    names = [LOCAL, *engine_names()]
    if name not in names:
        fix = nearest(name, names) or "name another one"
        raise InputError(
            where, f"there is no engine {quoted(name)}", f"{fix} (engines: {', '.join(names)})"
        )


def make_engine(name: str, settings: EngineSettings, where: str) -> Compute:
    """The engine of this name, except `local`.

    Raises InputError, naming `where`, if there is none, or if it cannot be used here.
    """
    check_engine(name, where)
    if name in _OWN:
        module, _, function = _OWN[name].partition(":")
        factory: Factory = getattr(import_module(module), function)
        return factory(settings)
    (found, *_) = entry_points(group=GROUP, name=name)
    try:
        factory = found.load()
    except Exception as error:
        raise InputError(
            where,
            f"the engine {quoted(name)} cannot be loaded ({type(error).__name__}: {error})",
            f"mend the installation of {found.value}",
        ) from error
    return factory(settings)
