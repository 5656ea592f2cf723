"""What a training step costs, counted rather than timed: products, launches, and memory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import RECIPE as TINY
from tiny_training import Rows
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dataselect.proxies import layout
from dataselect.proxies import train as trainer
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Member

RECIPE = replace(
    TINY,
    shape=Shape(hidden_size=32, layers=2, heads=2, kv_heads=2, intermediate_size=64),
    vocab_size=20_000,
    steps=10,
    batch_size=8,
    sequence_length=64,
    learning_rate=1e-3,
    embedding_learning_rate=1e-3,
)
# One word after the other, the same row over and over.
ROWS = Rows(np.tile(np.arange(65), (700, 1)))


class Watched(TorchDispatchMode):
    """Counts operations, and keeps the size of the largest tensor that one of them made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.largest_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operations += 1
        for tensor in made if isinstance(made, tuple) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.largest_bytes = max(self.largest_bytes, tensor.untyped_storage().nbytes())
        return made


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., trainer.Run]:
    """A run after its first step, in which the optimizer makes its moments."""

    def start(recipe: Recipe, models: int = 1) -> trainer.Run:
        run = trainer.Run(recipe, [Member(ROWS, tmp_path, n) for n in range(models)], "cpu")
        run.take_step()
        return run

    return start


def matrix_parameters(shape: Shape) -> int:
    return shape.layers * (
        4 * shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size
    )


@pytest.mark.parametrize("models", [1, 3])
def test_a_step_multiplies_what_6nd_says_and_only_scores_twice(
    started: Callable[..., trainer.Run], models: int
) -> None:
    run = started(RECIPE, models)
    in_place = torch.ops.aten.baddbmm_

    def flops(total: Any, left: Any, right: Any, *, out_shape: Any = None) -> int:
        return 2 * left[0] * left[1] * left[2] * right[2]

    with FlopCounterMode(display=False, custom_mapping={in_place: flops}) as counted:
        run.take_step()
    counts = counted.get_flop_counts()["Global"]
    products = counts[torch.ops.aten.bmm] + counts[in_place]
    tokens = RECIPE.batch_size * RECIPE.sequence_length
    head = RECIPE.vocab_size * RECIPE.shape.hidden_size
    # Two products forwards and four backwards, and the scores once more: they are not kept. One
    # row more, forwards, sums the shares.
    rows = 7 * RECIPE.shape.hidden_size + RECIPE.shape.heads
    attention = 2 * RECIPE.sequence_length * RECIPE.shape.layers * rows
    per_token = 6 * (matrix_parameters(RECIPE.shape) + head) + attention
    assert products == models * tokens * per_token


def test_a_step_holds_the_logits_of_a_few_rows_however_large_the_batch(
    started: Callable[..., trainer.Run],
) -> None:
    largest = []
    for batch in (16, 64):
        run = started(replace(RECIPE, batch_size=batch))
        with Watched() as watched:
            run.take_step()
        largest.append(watched.largest_bytes)
    every_row = 4 * 16 * 64 * RECIPE.vocab_size
    assert largest[0] == largest[1] < every_row / 3


def test_activations_do_not_grow_with_the_batch(
    started: Callable[..., trainer.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "_SLICE_TOKENS", 512)
    largest = []
    for batch in (8, 64):
        # With so few words the largest tensors are those of the feed-forward layers.
        run = started(replace(RECIPE, batch_size=batch, vocab_size=80))
        with Watched() as watched:
            run.take_step()
        largest.append(watched.largest_bytes)
    assert largest[0] == largest[1]


def test_activation_checkpointing_keeps_little_more_than_what_enters_a_block(
    tmp_path: Path,
) -> None:
    deep = replace(RECIPE, shape=replace(RECIPE.shape, layers=12), vocab_size=80)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[-1] += tensor.untyped_storage().nbytes()
        return tensor

    for recompute in (False, True):
        run = trainer.Run(deep, [Member(ROWS, tmp_path, 0)], "cpu", recompute)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            run.take_step()
    assert kept[1] < kept[0] / 5


def test_a_population_takes_as_many_operations_as_one_model(
    started: Callable[..., trainer.Run],
) -> None:
    operations = []
    for models in (1, 4):
        # Few words, so that the loss is taken in one piece for either.
        run = started(replace(RECIPE, vocab_size=80), models)
        with Watched() as watched:
            run.take_step()
        operations.append(watched.operations)
    assert operations[1] <= operations[0] * 1.02
