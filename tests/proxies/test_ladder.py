"""The ladder's shapes against the counts that were published, and against the real model."""

from dataclasses import replace

import pytest
import torch
from tiny_training import RECIPE

from dataselect.config.proxy import LADDER_SIZES
from dataselect.proxies.ladder import LADDER, Shape
from dataselect.proxies.model import build_model

PUBLISHED_VOCABULARY = 50_304


def model_parameters(shape: Shape, vocab_size: int) -> int:
    """Trainable parameters of the model itself, built without memory for its weights."""
    recipe = replace(RECIPE, shape=shape, vocab_size=vocab_size)
    with torch.device("meta"):
        model = build_model(recipe, eos_token_id=None)
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_ladder_has_the_sizes_that_a_plan_may_name() -> None:
    assert tuple(LADDER) == LADDER_SIZES
    assert all(name == rung.name for name, rung in LADDER.items())


@pytest.mark.parametrize("name", LADDER_SIZES)
def test_a_rung_has_its_published_number_of_parameters(name: str) -> None:
    rung = LADDER[name]
    counted = rung.shape.parameters(PUBLISHED_VOCABULARY)
    # The counts were published in tenths of a million, which for the smallest is more than 0.5%.
    assert counted == pytest.approx(rung.parameters, rel=5e-3, abs=5e4)
    assert counted == model_parameters(rung.shape, PUBLISHED_VOCABULARY)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(32, 3, 4, 2, 48),
        Shape(32, 3, 4, 1, 48, tie_embeddings=False),
        Shape(24, 1, 2, 2, 100, tie_embeddings=False),
    ],
    ids=["shared-kv-heads", "one-kv-head-untied", "untied"],
)
def test_parameters_of_any_shape_are_those_of_the_model(shape: Shape) -> None:
    for vocab_size in (257, 1000):
        assert shape.parameters(vocab_size) == model_parameters(shape, vocab_size)
