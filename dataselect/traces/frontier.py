"""What a frontier model is to the rest: something with a name that gives traces for a benchmark.

A recorded one is the default everywhere: frontier models are withdrawn, are paid for, and do not
repeat themselves, so their traces are kept as files and read back.
"""

import logging
from pathlib import Path
from typing import Protocol

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.errors import InputError
from dataselect.traces.trace import TraceSet, read_traces

_log = logging.getLogger("dataselect")


class FrontierModel(Protocol):
    """A source of reasoning traces with letter probabilities."""

    @property
    def name(self) -> str:
        """The model's name, as it is kept in the traces' header."""

    def traces(self, benchmark: BenchmarkItems) -> TraceSet:
        """A trace for each item of the benchmark that it has one for; at least one."""


class RecordedFrontier:
    """Traces read from a file that `write_traces` made. Raises InputError for a bad file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._set = read_traces(path)

    @property
    def name(self) -> str:
        """The model that the file's header names."""
        return self._set.header.model

    def traces(self, benchmark: BenchmarkItems) -> TraceSet:
        """The whole recorded set. Raises InputError when no item of the benchmark is in it."""
        wanted = {item.id for item in benchmark.items}
        found = wanted & self._set.traces.keys()
        if not found:
            raise InputError(
                self._path,
                f"none of its {len(self._set.traces)} traces (made for benchmark "
                f"'{self._set.header.benchmark}') is for an item of '{benchmark.id}'",
                "name the trace file that was recorded for these items",
            )
        if len(found) < len(wanted):
            missing = len(wanted) - len(found)
            _log.warning(
                "%s: %d of %d items have no trace and are left out",
                self._path,
                missing,
                len(wanted),
            )
        return self._set
