"""Trackers by name: those of dataselect, and those that other packages bring.

A package brings one by an entry point of the group `dataselect.trackers`: a class or function
without arguments that gives a `Tracker`, under the name that plans write (docs/watching.md). None
of the libraries is imported to check a name.
"""

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from dataselect.errors import InputError
from dataselect.trackers.tracker import Tracker
from dataselect.wording import nearest, quoted

GROUP = "dataselect.trackers"
_OWN = {
    "wandb": "dataselect.trackers.wandb_run:WandbRun",
    "tensorboard": "dataselect.trackers.tensorboard_run:TensorBoardRun",
    "trackio": "dataselect.trackers.trackio_run:TrackioRun",
    "mlflow": "dataselect.trackers.mlflow_run:MlflowRun",
}
"""Each under the name of the library that it needs, which is the name of its extra too."""


def tracker_names() -> list[str]:
    """The names that a plan may write."""
    return sorted({*_OWN, *(each.name for each in entry_points(group=GROUP))})


def check_tracker(name: str, where: str) -> None:
    """Raise InputError, naming `where`, if there is no such tracker or its library is missing."""
    if name in _OWN:
        if find_spec(name) is None:
            fix = f"pip install 'dataselect[{name}]', or leave it out"
            raise InputError(where, f"{quoted(name)} is not installed", fix)
        return
    names = tracker_names()
    if name not in names:
        fix = nearest(name, names) or "name another one"
        raise InputError(
            where, f"there is no tracker {quoted(name)}", f"{fix} (trackers: {', '.join(names)})"
        )


def make_tracker(name: str) -> Tracker:
    """The tracker of this name; raises whatever its package raises."""
    if name in _OWN:
        module, _, kind = _OWN[name].partition(":")
        made: Tracker = getattr(import_module(module), kind)()
        return made
    (found, *_) = entry_points(group=GROUP, name=name)
    brought: Tracker = found.load()()
    return brought
