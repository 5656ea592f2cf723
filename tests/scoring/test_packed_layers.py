"""Packed copies of weights give the products of the weights, and leave the model as it was."""

from typing import Any

import pytest
import torch

from dataselect.scoring import packed_layers as module
from dataselect.scoring.packed_layers import packed_layers


class Doubled(torch.nn.Linear):
    """A layer that is more than a product."""

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(given)


def some_layers() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(300, 500),
        torch.nn.Linear(500, 300, bias=False),
        torch.nn.Linear(300, 20),
        Doubled(20, 4000),
        torch.nn.Linear(4000, 30).bfloat16(),
    )


def packed_in(layers: torch.nn.Sequential) -> list[bool]:
    return ["forward" in vars(layer) for layer in layers]


@pytest.mark.parametrize("shape", [(1,), (2, 1), (4,), (3, 7), (32, 1)])
def test_products_are_those_of_the_weights(shape: tuple[int, ...]) -> None:
    layers = some_layers()
    with torch.inference_mode():
        given = torch.randn(*shape, 300)
        wanted = [layers[0](given), layers[1](layers[0](given))]
        with packed_layers(layers):
            assert packed_in(layers) == [True, True, False, False, False]
            found = [layers[0](given), layers[1](layers[0](given))]
        assert not any(packed_in(layers))
        torch.testing.assert_close(found, wanted)


def test_copies_are_within_the_memory_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = torch.nn.Sequential(*(torch.nn.Linear(300, n) for n in (300, 500, 400)))
    monkeypatch.setattr(module, "_MOST_BYTES", 4 * 300 * 810)
    with torch.inference_mode(), packed_layers(layers):
        assert packed_in(layers) == [True, True, False]


def test_a_build_of_torch_without_these_operations_multiplies_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: Any) -> Any:
        raise AttributeError("no attribute '_linear_pointwise'")

    monkeypatch.setattr(module, "_packed", none)
    layers = some_layers()
    with torch.inference_mode(), packed_layers(layers):
        assert not any(packed_in(layers))


def test_a_layer_whose_products_would_be_others_is_left_as_it_is() -> None:
    layers = some_layers()
    with torch.inference_mode():
        layers[0].weight[3, 5] = float("nan")
        with packed_layers(layers):
            assert packed_in(layers) == [False, True, False, False, False]


def test_an_error_within_leaves_the_model_as_it_was() -> None:
    layers = some_layers()
    with pytest.raises(KeyError), packed_layers(layers):
        raise KeyError
    assert not any(packed_in(layers))
