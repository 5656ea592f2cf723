"""The interface that shows a run's progress, and implementations: nobody, and several at once."""

from collections.abc import Mapping
from typing import Protocol

from dataselect.compute import Event
from dataselect.stages.work import Fact
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

    def tell(self, fact: Fact) -> None:
        """Something is known of the work before the run, or a stage has its ranking."""


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

    def tell(self, fact: Fact) -> None:
        """Show nothing."""


class Watches:
    """A `Watch` that passes everything on to several, in their order."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def step(self, title: str) -> None:
        """A new part of the run begins."""
        for each in self._watches:
            each.step(title)

    def progress(self, work: str, fields: Mapping[str, float | int | str]) -> None:
        """A piece of work in this process has come this far."""
        for each in self._watches:
            each.progress(work, fields)

    def event(self, event: Event) -> None:
        """Something happened to a job."""
        for each in self._watches:
            each.event(event)

    def note(self, text: str) -> None:
        """A remark or warning for the user."""
        for each in self._watches:
            each.note(text)

    def tell(self, fact: Fact) -> None:
        """Something is known of the work, or a stage has its ranking."""
        for each in self._watches:
            each.tell(fact)
