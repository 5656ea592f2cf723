"""What every source of proxies keeps to, whoever trained them."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from dataselect.proxy_sources import ProxySource
from dataselect.proxy_sources.weights import count_parameters
from dataselect.scoring.checkpoint import has_weights
from dataselect.store import Store, content_key


@pytest.fixture(params=["trained", "given", "command"])
def make_source(request: pytest.FixtureRequest, inputs: Any) -> Any:
    return getattr(inputs, request.param)


def progress(fields: Any) -> None: ...


def test_its_spec_is_a_key_that_only_its_own_content_changes(make_source: Any) -> None:
    one, same, other = make_source(), make_source(), make_source(seed=1)
    assert content_key("job", one.spec) == content_key("job", same.spec)
    assert content_key("job", one.spec) != content_key("job", other.spec)
    assert (one.seed, other.seed) == (0, 1)


def test_it_is_not_there_before_it_is_made_and_found_ever_after(
    make_source: Any, tmp_path: Path
) -> None:
    source: ProxySource = make_source()
    store = Store(tmp_path)
    assert source.find(store) is None
    made = source.make(store, "stage1/web", "cpu", progress)
    ledger = store.ledger()
    assert source.find(store) == made
    assert source.make(store, "stage1/web", "cpu", progress) == made
    assert store.ledger() == ledger, "made a second time"
    assert source.find(Store(tmp_path / "empty")) is None


def test_it_travels_to_another_process(make_source: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    sent = pickle.loads(pickle.dumps(make_source()))
    made = sent.make(store, "stage1/web", "cpu", progress)
    assert make_source().find(store) == made


def test_it_gives_checkpoints_that_can_be_scored_oldest_first(
    make_source: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    made = make_source(late=2).make(store, "stage1/web", "cpu", progress)
    assert made.diverged is None
    assert len(made.points) == 2
    assert made.points[0].step < made.points[1].step
    assert len({content_key("job", point.checkpoint.identity) for point in made.points}) == 2
    for point in made.points:
        folder = point.checkpoint.folder()
        assert has_weights(folder)
        assert (folder / "tokenizer.json").exists()
        assert made.parameters == count_parameters(folder) > 1000
    assert made.training_flops == 6 * made.parameters * made.tokens
    last = make_source(late=1).find(store)
    if last is not None:  # a longer series need not be the same work
        assert last.points[-1].checkpoint.identity == made.points[-1].checkpoint.identity


def test_its_tokenizer_is_known_by_how_it_cuts(inputs: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    cuts = {
        make().make(store, "stage1/web", "cpu", progress).segmentation
        for make in (inputs.trained, inputs.given, inputs.command)
    }
    assert len(cuts) == 1


def test_what_was_given_is_not_asked_for_again_once_it_is_known(
    fresh_inputs: Any, tmp_path: Path
) -> None:
    inputs, store = fresh_inputs(), Store(tmp_path / "store")
    source = inputs.given()
    made = source.make(store, "stage1/web", "cpu", progress)
    for file in (inputs.folder / "series-0" / "step200").iterdir():
        file.unlink()
    assert source.find(store) == made
