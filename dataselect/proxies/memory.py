"""What a training run does when its device has too little memory for a slice of a batch.

The gradients of a batch are summed over slices, so a batch in smaller slices is the same step but
for rounding. The step at which memory ran out is taken again with half of the sequences at a time.

Not here: memory for parameters, gradients and moments, which no slice changes, and several
processes, which would have to agree on it.
"""

import logging

import torch

from dataselect.errors import PassingError
from dataselect.proxies.layout import kept_bytes
from dataselect.proxies.recipe import Recipe

logger = logging.getLogger("dataselect")


def fewer_sequences(
    recipe: Recipe, sequences: int, models: int, device: torch.device, recompute: bool
) -> int:
    """Half of the sequences that were too many at a time, with a warning.

    Raises PassingError, which says what would fit, if it was one.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    length = recipe.sequence_length
    if sequences > 1:
        half = sequences // 2
        logger.warning(
            "%s has too little memory for %d sequences of %d tokens at a time; now with %d, which "
            "is the same training but for rounding",
            device,
            sequences,
            length,
            half,
        )
        return half
    fixes = [] if recompute else ["'activation_checkpointing: true'"]
    fixes += ["'population: 1'"] if models > 1 else []
    fixes += ["a shorter 'sequence_length'", "a smaller proxy"]
    raise PassingError(
        f"out of memory: {device} cannot hold one sequence of {length} tokens of "
        f"{models} {'model' if models == 1 else 'models together'}"
        f"{_free(recipe, models, device, recompute)}; if nothing else uses it, set "
        f"{' or '.join(fixes)}"
    )


def _free(recipe: Recipe, models: int, device: torch.device, recompute: bool) -> str:
    """What is free on a GPU, and how many tokens would fit, by count."""
    if device.type != "cuda":
        return ""
    free, total = torch.cuda.mem_get_info(device)
    tokens = free // (models * kept_bytes(recipe, recompute))
    gib = 2**30
    return (
        f" ({free / gib:.1f} of {total / gib:.1f} GiB are free, enough for about {tokens} tokens)"
    )
