"""The recipe that training benchmarks start from, its tokens and its work; each changes what it is
about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataselect.cost import training_flops
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe


def benchmark_recipe(shape: Shape, vocabulary: int, rate: float, **changed: Any) -> Recipe:
    """Of one shape and vocabulary, with one peak `rate` for all weights unless changed."""
    known: dict[str, Any] = {
        "learning_rate": rate,
        "embedding_learning_rate": rate,
        "weight_decay": 0.1,
        "warmup_fraction": 0.05,
        "grad_clip": 1.0,
        "precision": "fp32",
        "checkpoints": 1,
        "seed": 0,
    }
    return Recipe(shape=shape, vocab_size=vocabulary, **(known | changed))


def random_tokens(recipe: Recipe, seed: int) -> NDArray[np.int64]:
    """All sequences of a training, (count, length + 1), small ids more often than large ones."""
    size = (recipe.steps * recipe.batch_size, recipe.sequence_length + 1)
    draws = np.random.default_rng(seed).random(size)
    return (recipe.vocab_size * draws**3).astype(np.int64)


def flops_per_token(recipe: Recipe) -> float:
    """6N, and 6 x layers x hidden x length for the half of attention that is not masked."""
    shape = recipe.shape
    attention = 6.0 * shape.layers * shape.hidden_size * recipe.sequence_length
    return training_flops(recipe.parameters, 1) + attention
