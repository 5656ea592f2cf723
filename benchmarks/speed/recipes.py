"""The recipe that training benchmarks start from; each changes what it is about."""

from typing import Any

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
