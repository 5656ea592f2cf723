"""Which of two ways loads a checkpoint for likelihoods. No torch import where it is not needed."""

from pathlib import Path

from dataselect.scoring.checkpoint import Precision
from dataselect.scoring.fused_checkpoint import load_fused
from dataselect.scoring.loaded_model import LoadedModel


def load_for_likelihoods(folder: Path, device: str, precision: Precision) -> LoadedModel:
    """A model for likelihoods alone: by compiled kernels where they can be (`fused_checkpoint`),
    else by torch. Raises InputError where the folder's files do not agree."""
    found = load_fused(folder, device, precision)
    if found is not None:
        return found
    from dataselect.scoring.loading import load_model

    return load_model(folder, device, precision)
