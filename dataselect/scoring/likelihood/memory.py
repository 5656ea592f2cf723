"""What scoring does when its device has too little memory for a batch: smaller batches.

A text's likelihood does not depend on the texts beside it but for rounding, so what ran out of
memory is computed again with half of the tokens in a batch.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from dataselect.errors import PassingError

logger = logging.getLogger("dataselect")
_FEWEST = 32
"""Tokens in a batch below which smaller batches are one text each, as they are already."""
T = TypeVar("T")


def in_smaller_batches(compute: Callable[[int], T], tokens: int, device: str) -> T:
    """`compute(tokens)`, or with fewer tokens in a batch where the device's memory is short.

    Raises PassingError if one text at a time is too much.
    """
    while True:
        try:
            return compute(tokens)
        except torch.OutOfMemoryError as error:
            if tokens <= _FEWEST:
                raise PassingError(
                    f"out of memory: {device} cannot hold the model with one text; if nothing else "
                    "uses it, score with --precision bfloat16, or on a device with more memory"
                ) from error
        # After the handler, whose error holds what was computed last.
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        logger.warning(
            "%s has too little memory for %d tokens at a time; now with %d, which gives the same "
            "scores but for rounding",
            device,
            tokens,
            tokens // 2,
        )
        tokens //= 2
