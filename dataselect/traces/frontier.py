"""The interface of a frontier model: a name, and traces for a benchmark.

Recorded traces are the default everywhere: frontier models are withdrawn, cost money and are not
deterministic, so their traces are stored as files and read back. `dataselect.testing.frontier`
has the tests that every implementation must pass.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.errors import InputError
from dataselect.traces.trace import NO_TRACE, TraceSet, read_traces

_log = logging.getLogger("dataselect")


def warn_of_missing(where: str, benchmark: str, reasons: Mapping[str, str]) -> None:
    """Warn that items have no trace; `reasons` by item id, `where` names the model."""
    if reasons:
        name, reason = next(iter(reasons.items()))
        _log.warning(
            "%s: %d items of '%s' have no trace (%s: %s)",
            where,
            len(reasons),
            benchmark,
            name,
            reason,
        )


class FrontierModel(Protocol):
    """A source of reasoning traces with letter probabilities."""

    @property
    def name(self) -> str:
        """The model's name, as in the traces' header."""

    def traces(self, benchmark: BenchmarkItems) -> TraceSet:
        """A trace, or an exclusion with its reason, for every item of the benchmark.

        It has no other items, except that a recorded set is returned whole: scores are stored
        under the hash of its traces, which must not depend on how many items are requested.
        Raises InputError when no item would have a trace.
        """


class RecordedFrontier:
    """Traces from a file that `write_traces` wrote. Raises InputError for a bad file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._set = read_traces(path)

    @property
    def name(self) -> str:
        """The model in the file's header."""
        return self._set.header.model

    def traces(self, benchmark: BenchmarkItems) -> TraceSet:
        """The whole recorded set, and an exclusion for each item that is not in it.

        Raises InputError when no item of the benchmark is in it.
        """
        item_ids = {item.id for item in benchmark.items}
        found = item_ids & self._set.traces.keys()
        if not found:
            raise InputError(
                self._path,
                f"none of its {len(self._set.traces)} traces (made for benchmark "
                f"'{self._set.header.benchmark}') is for an item of '{benchmark.id}'",
                "name the trace file that was recorded for these items",
            )
        missing = len(item_ids) - len(found)
        if not missing:
            return self._set
        _log.warning(
            "%s: %d of %d items have no trace and are left out",
            self._path,
            missing,
            len(item_ids),
        )
        listed = self._set.traces.keys() | {excluded.item for excluded in self._set.exclusions}
        others = (Exclusion(item.id, NO_TRACE) for item in benchmark.items if item.id not in listed)
        return replace(self._set, exclusions=(*self._set.exclusions, *others))
