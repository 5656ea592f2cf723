"""Every source of proxies keeps the contract, and what holds across them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model

from dataselect.config.checkpoints import Checkpoints
from dataselect.corpus.prepare import Share
from dataselect.proxy_sources import GivenCheckpoints, ProxySource
from dataselect.scoring.series import resolve
from dataselect.store import Store
from dataselect.testing.proxy_sources import ProxySourceContract, ignore


class OnInputs(ProxySourceContract):
    """The contract on the models and streams that these tests share."""

    inputs: Any

    @pytest.fixture(autouse=True)
    def _inputs(self, inputs: Any) -> None:
        self.inputs = inputs


class TestTrainedHere(OnInputs):
    def make_source(self, folder: Path, *, seed: int = 0, checkpoints: int = 1) -> ProxySource:
        return self.inputs.trained(seed, checkpoints)

    def make_failing_source(self, folder: Path) -> ProxySource:
        source = self.inputs.trained()
        absent = (Share("absent", folder / "absent", 640),)
        return replace(source, request=replace(source.request, shares=absent))


class TestGivenCheckpoints(OnInputs):
    def make_source(self, folder: Path, *, seed: int = 0, checkpoints: int = 1) -> ProxySource:
        return self.inputs.given(seed, checkpoints)

    def make_failing_source(self, folder: Path) -> ProxySource:
        """Its weights went after it was named."""
        model = save_model(folder / "step100")
        members = resolve(Checkpoints(model=str(model)), folder, "test")
        (model / "model.safetensors").unlink()
        return GivenCheckpoints(members)


class TestCommandSource(OnInputs):
    def make_source(self, folder: Path, *, seed: int = 0, checkpoints: int = 1) -> ProxySource:
        return self.inputs.command(seed, checkpoints)

    def make_failing_source(self, folder: Path) -> ProxySource:
        return self.inputs.command(0, 1, "--fail")


def test_its_tokenizer_is_known_by_how_it_cuts(inputs: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    cuts = {
        make().make(store, "stage1/web", "cpu", ignore).segmentation
        for make in (inputs.trained, inputs.given, inputs.command)
    }
    assert len(cuts) == 1


def test_what_was_given_is_not_asked_for_again_once_it_is_known(
    fresh_inputs: Any, tmp_path: Path
) -> None:
    inputs, store = fresh_inputs(), Store(tmp_path / "store")
    source = inputs.given()
    made = source.make(store, "stage1/web", "cpu", ignore)
    for file in (inputs.folder / "series-0" / "step200").iterdir():
        file.unlink()
    assert source.find(store) == made


def test_the_tokens_of_training_are_known_of_each(inputs: Any, tmp_path: Path) -> None:
    for make in (inputs.trained, inputs.given, inputs.command):
        made = make(late=2).make(Store(tmp_path), "stage1/web", "cpu", ignore)
        assert made.tokens is not None
        assert made.training_flops == 6 * made.parameters * made.tokens
