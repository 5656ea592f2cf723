"""The contract of `FrontierModel`: tests that every source of traces must pass.

Not covered: whether the reasoning is good, and whether the probabilities are really the model's.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.traces.frontier import FrontierModel
from dataselect.traces.trace import TraceSet, read_traces, write_traces


def stories() -> BenchmarkItems:
    """A benchmark of four items, the first also a worked example; the last has no rationale."""
    items = [
        Item(
            f"q{n}",
            f"Ann has {n} red apples and buys 2 more. How many?",
            str(n + 2),
            rationale=f"She has {n} apples. Then {n} + 2 = {n + 2} apples — café.",
        )
        for n in range(1, 4)
    ]
    return BenchmarkItems("stories", (*items, Item("q4", "How many?", "7")), (items[0],))


class FrontierModelContract(ABC):
    """Subclass it as `class TestMyModel(FrontierModelContract)` and implement `make_frontier`."""

    recorded = False
    """True for a model that always returns a whole recorded set, whatever the items asked for."""

    @abstractmethod
    def make_frontier(self, benchmark: BenchmarkItems, folder: Path) -> FrontierModel:
        """A model that has a trace for at least two items of the benchmark.

        `folder` is an empty folder for files that the model needs.
        """

    def make_benchmark(self) -> BenchmarkItems:
        """The benchmark of the tests: `stories`, unless overridden."""
        return stories()

    def make_benchmark_without_traces(self) -> BenchmarkItems | None:
        """A benchmark without a trace by the model; None if the model has traces for any item."""
        return None

    @pytest.fixture
    def benchmark(self) -> BenchmarkItems:
        """The benchmark of the tests."""
        return self.make_benchmark()

    @pytest.fixture
    def frontier(self, benchmark: BenchmarkItems, tmp_path: Path) -> FrontierModel:
        """The model under test."""
        folder = tmp_path / "model"
        folder.mkdir()
        return self.make_frontier(benchmark, folder)

    @pytest.fixture
    def traces(self, frontier: FrontierModel, benchmark: BenchmarkItems) -> TraceSet:
        """The model's traces for the benchmark."""
        return frontier.traces(benchmark)

    def test_the_header_names_the_model_and_the_benchmark(
        self, frontier: FrontierModel, traces: TraceSet, benchmark: BenchmarkItems
    ) -> None:
        assert frontier.name.strip()
        assert traces.header.model == frontier.name
        assert traces.header.benchmark == benchmark.id
        assert traces.header.prompt
        assert traces.header.created_by

    def test_every_item_has_a_trace_or_a_reason_why_not(
        self, traces: TraceSet, benchmark: BenchmarkItems
    ) -> None:
        ids = {item.id for item in benchmark.items}
        excluded = [each.item for each in traces.exclusions]
        assert len(ids & traces.traces.keys()) >= 2, "too few for the other tests"
        assert ids <= traces.traces.keys() | set(excluded), "an item has neither"
        assert not traces.traces.keys() & set(excluded), "an item has both"
        assert len(excluded) == len(set(excluded)), "an item is left out twice"
        assert all(each.reason.strip() for each in traces.exclusions)

    def test_each_trace_is_kept_under_its_item(self, traces: TraceSet) -> None:
        assert all(trace.item == item for item, trace in traces.traces.items())

    def test_runs_cover_the_text_with_probabilities(self, traces: TraceSet) -> None:
        for item, trace in traces.traces.items():
            assert trace.text.strip(), item
            assert all(type(letters) is int and letters >= 1 for letters, _ in trace.runs), item
            assert sum(letters for letters, _ in trace.runs) == len(trace.text), item
            assert all(p is None or 0 <= p <= 1 for _, p in trace.runs), item
            assert trace.letter_probs.shape == (len(trace.text),), item

    def test_some_letter_is_less_than_certain(self, traces: TraceSet) -> None:
        probabilities = [p for trace in traces.traces.values() for _, p in trace.runs]
        assert any(p is not None and p < 1 - 1e-6 for p in probabilities)

    def test_traces_survive_their_file(self, traces: TraceSet, tmp_path: Path) -> None:
        path = tmp_path / "traces.jsonl.gz"
        write_traces(path, traces.header, traces.traces.values(), traces.exclusions)
        found = read_traces(path)
        assert (found.header, found.hash) == (traces.header, traces.hash)
        assert found.traces == traces.traces
        assert set(found.exclusions) == set(traces.exclusions)

    def test_fewer_items_get_traces_of_no_others(
        self, frontier: FrontierModel, traces: TraceSet, benchmark: BenchmarkItems
    ) -> None:
        (first, *_) = [item for item in benchmark.items if item.id in traces.traces]
        found = frontier.traces(replace(benchmark, items=(first,)))
        if self.recorded:
            # Scores are stored under this hash, so it must be that of the whole file.
            assert found.hash == traces.hash
        else:
            assert set(found.traces) == {first.id}
            assert found.exclusions == ()

    def test_a_benchmark_without_any_trace_is_refused(self, frontier: FrontierModel) -> None:
        benchmark = self.make_benchmark_without_traces()
        if benchmark is None:
            pytest.skip("it has a trace for every item")
        with pytest.raises(InputError):
            frontier.traces(benchmark)
