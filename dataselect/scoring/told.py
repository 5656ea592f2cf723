"""What is told of a measurement while it is made, and the clock of its ledger record."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dataselect.compute import Event
from dataselect.scoring.advance import observed

REPORT_SECONDS = 0.5
"""Least time between two reports of how far a measurement is."""


@contextmanager
def told(
    name: str, items: int, facts: Mapping[str, str], on_event: Callable[[Event], None]
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Tells of the work in the context: its start, how many of its `items` are done, and, by the
    function that is given, its end with `facts` and the means; of a failure nothing more."""
    began = reported = time.monotonic()
    on_event(Event(name, "started", {}))

    def observe(done: int, total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if now - reported < REPORT_SECONDS and done < total:
            return
        reported = now
        share = done / total if total else 1.0
        rate = share * items / max(now - began, 1e-9)
        fields: dict[str, float | int | str] = {
            "items": round(share * items),
            "total_items": items,
            "items_per_second": rate,
        }
        if rate:
            fields["seconds_left"] = (1 - share) * items / rate
        on_event(Event(name, "progress", fields))

    def finished(means: Mapping[str, float]) -> None:
        seconds = time.monotonic() - began
        on_event(Event(name, "done", {"wall_seconds": seconds, **facts, **means}))

    with observed(observe):
        yield finished


class Clock:
    """Wall and CPU time since construction, as a ledger record."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def facts(self, name: str, flops: float, device: str) -> Mapping[str, Any]:
        """The record of what has been done meanwhile."""
        wall = time.monotonic() - self._wall
        return {
            "name": name,
            "status": "done",
            "wall_seconds": wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "gpu_seconds": wall if device.startswith("cuda") else 0.0,
            "flops": flops,
        }
