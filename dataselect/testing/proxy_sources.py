"""The contract of `ProxySource`: tests that every source of proxies must pass.

Not covered: whether a killed training resumes where it stopped, since not every trainer can.
"""

import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest

from dataselect.corpus.segmentation import segmentation_hash
from dataselect.proxy_sources import ProxySource
from dataselect.proxy_sources.parameter_count import count_parameters
from dataselect.proxy_sources.source import Origin
from dataselect.scoring.checkpoint import Precision, has_weights
from dataselect.store import Store, content_key

NAME = "stage1/web"


def ignore(fields: Mapping[str, Any]) -> None:
    """A `progress` that does nothing."""


class ProxySourceContract(ABC):
    """Subclass it as `class TestMySource(ProxySourceContract)` and implement `make_source`.

    The proxies should be tiny, since the tests make about ten of them.
    """

    @abstractmethod
    def make_source(self, folder: Path, *, seed: int = 0, checkpoints: int = 1) -> ProxySource:
        """A source whose last `checkpoints` (1 or 2) checkpoints are scored.

        Seeds are 0 or 1. Equal arguments must give equal specs, and another seed another spec.
        `folder` is for files that the source needs; it is the same within a test, and not
        emptied between calls.
        """

    def make_failing_source(self, folder: Path) -> ProxySource | None:
        """A source whose `make` raises an exception; None if no such source exists."""
        return None

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """The folder passed to `make_source`."""
        folder = tmp_path / "source"
        folder.mkdir()
        return folder

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """An empty store."""
        return Store(tmp_path / "store")

    def test_its_spec_is_a_key_that_only_its_own_content_changes(self, folder: Path) -> None:
        one, same = self.make_source(folder), self.make_source(folder)
        other = self.make_source(folder, seed=1)
        assert content_key("job", one.spec) == content_key("job", same.spec)
        assert content_key("job", one.spec) != content_key("job", other.spec)
        assert (one.seed, other.seed) == (0, 1)

    def test_its_spec_is_json_and_stays_the_same(self, folder: Path, store: Store) -> None:
        source = self.make_source(folder)
        key = content_key(source.kind, source.spec)
        assert content_key(source.kind, json.loads(json.dumps(source.spec))) == key
        source.make(store, NAME, "cpu", ignore)
        assert content_key(source.kind, source.spec) == key
        assert content_key(source.kind, pickle.loads(pickle.dumps(source)).spec) == key  # noqa: S301

    def test_it_says_where_its_proxy_comes_from_and_how_it_is_scored(self, folder: Path) -> None:
        source = self.make_source(folder)
        assert source.origin in get_args(Origin)
        assert source.precision in get_args(Precision)

    def test_it_is_not_there_before_it_is_made_and_found_ever_after(
        self, folder: Path, store: Store, tmp_path: Path
    ) -> None:
        source = self.make_source(folder)
        assert source.find(store) is None
        assert store.ledger() == [], "find did some work"
        made = source.make(store, NAME, "cpu", ignore)
        ledger = store.ledger()
        assert source.find(store) == made
        assert source.make(store, NAME, "cpu", ignore) == made
        assert store.ledger() == ledger, "made a second time"
        assert self.make_source(folder).make(store, "another", "cpu", ignore) == made
        assert store.ledger() == ledger, "made a second time, under another name"
        assert source.find(Store(tmp_path / "empty")) is None
        assert {record["kind"] for record in ledger} <= {source.kind}
        assert {record["name"] for record in ledger} <= {NAME}

    def test_two_attempts_at_once_make_it_once(self, folder: Path, store: Store) -> None:
        source = self.make_source(folder)
        # A key is claimed by a thread, so two threads stand for two processes.
        with ThreadPoolExecutor(2) as pool:
            attempts = [pool.submit(source.make, store, NAME, "cpu", ignore) for _ in range(2)]
            made = [attempt.result() for attempt in attempts]
        assert made[0] == made[1] == source.find(store)
        assert [record["status"] for record in store.ledger()] in ([], ["done"]), "made twice"
        for left in ("claims", "tmp", "work"):
            assert list((store.root / left).glob("*")) == []

    def test_another_seed_is_another_proxy(self, folder: Path, store: Store) -> None:
        self.make_source(folder).make(store, NAME, "cpu", ignore)
        assert self.make_source(folder, seed=1).find(store) is None

    def test_it_travels_to_another_process(self, folder: Path, store: Store) -> None:
        sent = pickle.loads(pickle.dumps(self.make_source(folder)))  # noqa: S301
        made = sent.make(store, NAME, "cpu", ignore)
        assert self.make_source(folder).find(store) == made

    def test_it_gives_checkpoints_that_can_be_scored_oldest_first(
        self, folder: Path, store: Store
    ) -> None:
        made = self.make_source(folder, checkpoints=2).make(store, NAME, "cpu", ignore)
        assert made.diverged is None
        assert len(made.points) == 2
        assert made.points[0].step < made.points[1].step
        assert len({content_key("job", point.checkpoint.identity) for point in made.points}) == 2
        for point in made.points:
            checkpoint = point.checkpoint.folder()
            assert point.label
            assert has_weights(checkpoint)
            assert (checkpoint / "tokenizer.json").exists()
            assert made.parameters == count_parameters(checkpoint) > 1000
            assert made.segmentation == segmentation_hash(checkpoint)
        assert made.tokenizer
        assert made.training_flops == 6 * made.parameters * (made.tokens or 0)
        last = self.make_source(folder, checkpoints=1).find(store)
        if last is not None:  # a source of two checkpoints may have another key
            assert last.points[-1].checkpoint.identity == made.points[-1].checkpoint.identity

    def test_nothing_of_a_failed_attempt_can_be_found(self, folder: Path, store: Store) -> None:
        source = self.make_failing_source(folder)
        if source is None:
            pytest.skip("it cannot be made to fail")
        with pytest.raises(Exception):  # noqa: B017, PT011 (whatever its training raises)
            source.make(store, NAME, "cpu", ignore)
        assert source.find(store) is None
        if source.origin != "checkpoints":  # given checkpoints cost nothing here
            assert [record["status"] for record in store.ledger()] == ["failed"]
