"""A checkpoint in memory."""

from dataclasses import dataclass
from typing import Any

from dataselect.compute.machine import Machine


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory."""

    model: Any
    """A causal LM of transformers in evaluation mode, or a `LikelihoodModel`."""
    tokenizer: Any
    """Its fast tokenizer; special tokens in a text are text."""
    notes: tuple[str, ...]
    """Remarks on its files for readers of its scores."""
    machine: Machine
    """What computes with it."""
