"""A checkpoint in memory, and which of two ways loads it for likelihoods. No torch import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect.compute.machine import Machine
from dataselect.scoring.checkpoint import Precision


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


def load_for_likelihoods(folder: Path, device: str, precision: Precision) -> LoadedModel:
    """A model for likelihoods alone: by compiled kernels where they can be (`fused_checkpoint`),
    else by torch. Raises InputError where the folder's files do not agree."""
    from dataselect.scoring.fused_checkpoint import load_fused

    found = load_fused(folder, device, precision)
    if found is not None:
        return found
    from dataselect.scoring.loading import load_model

    return load_model(folder, device, precision)
