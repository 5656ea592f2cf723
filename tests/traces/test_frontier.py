import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.errors import InputError
from dataselect.testing.frontier import FrontierModelContract
from dataselect.traces.frontier import FrontierModel, RecordedFrontier
from dataselect.traces.trace import Trace, TraceHeader, write_traces

HEADER = TraceHeader("stories", "frontier-1", "prompt", "a test")


def record(folder: Path, *items: str) -> RecordedFrontier:
    path = folder / "traces.jsonl"
    write_traces(path, HEADER, [Trace(item, "She has 3.", ((10, 0.5),)) for item in items])
    return RecordedFrontier(path)


class TestRecordedFrontier(FrontierModelContract):
    recorded = True

    def make_frontier(self, benchmark: BenchmarkItems, folder: Path) -> FrontierModel:
        return record(folder, *[item.id for item in benchmark.items[:-1]])

    def make_benchmark_without_traces(self) -> BenchmarkItems:
        benchmark = self.make_benchmark()
        return replace(benchmark, items=benchmark.items[-1:])


def test_recorded_traces_are_returned_whole(tmp_path: Path, stories: BenchmarkItems) -> None:
    frontier: FrontierModel = record(tmp_path, "q1", "q2", "q3", "q4", "other")
    assert frontier.name == "frontier-1"
    assert set(frontier.traces(stories).traces) == {"q1", "q2", "q3", "q4", "other"}


def test_items_without_a_trace_are_counted_in_a_warning(
    tmp_path: Path, stories: BenchmarkItems, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        record(tmp_path, "q1").traces(stories)
    assert "3 of 4 items have no trace" in caplog.text


def test_the_files_reason_for_a_missing_trace_is_kept(
    tmp_path: Path, stories: BenchmarkItems
) -> None:
    path = tmp_path / "traces.jsonl"
    refused = Exclusion("q2", "it was refused")
    write_traces(path, HEADER, [Trace("q1", "She has 3.", ((10, 0.5),))], [refused])
    assert RecordedFrontier(path).traces(stories).exclusions == (
        refused,
        Exclusion("q3", "it has no trace"),
        Exclusion("q4", "it has no trace"),
    )


def test_traces_of_another_benchmark_are_refused(tmp_path: Path, stories: BenchmarkItems) -> None:
    with pytest.raises(InputError, match="none of its 1 traces"):
        record(tmp_path, "elsewhere").traces(stories)
