"""The interface that shows a run's progress, and an implementation that shows nothing."""

from collections.abc import Mapping
from typing import Protocol

from dataselect.compute import Event
from dataselect.store import OnWait


class Watch(Protocol):
    """Shows the progress of a run; its methods return nothing and change nothing."""

    def step(self, title: str) -> None:
        """A new part of the run begins."""

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """A piece of work in this process has come this far; `fields` are numbers to show, or
        `waits_for`, the process that does this work now."""

    def event(self, event: Event) -> None:
        """A job started, progressed, failed or ended."""

    def note(self, text: str) -> None:
        """Show a remark or warning to the user."""


def shown_waits(watch: Watch) -> OnWait:
    """For a store: shows in `watch` for whom the work of this process waits."""
    return lambda work, holder: watch.progress(work, {"waits_for": holder})


class SilentWatch:
    """A `Watch` that shows nothing: for notebooks, scripts and tests."""

    def step(self, title: str) -> None:
        """Show nothing."""

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """Show nothing."""

    def event(self, event: Event) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""
