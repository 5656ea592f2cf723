"""Who is told what a run is doing: the interface, and one that shows nothing."""

from collections.abc import Mapping
from typing import Protocol

from dataselect.compute import Event


class Watch(Protocol):
    """Shows what happens and decides nothing."""

    def step(self, title: str) -> None:
        """A new part of the run begins."""

    def progress(self, work: str, fields: Mapping[str, float]) -> None:
        """How far a piece of work in this process is."""

    def event(self, event: Event) -> None:
        """Something happened to a job."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class SilentWatch:
    """A `Watch` that shows nothing: for notebooks, scripts and tests."""

    def step(self, title: str) -> None:
        """Show nothing."""

    def progress(self, work: str, fields: Mapping[str, float]) -> None:
        """Show nothing."""

    def event(self, event: Event) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""
