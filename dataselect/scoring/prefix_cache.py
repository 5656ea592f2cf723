"""Keys and values of a text that others begin with, and whether a model can go on from them.

Both ways of using them, for likelihoods (`likelihood.sharing`) and for written answers
(`shared_prefix`), suit not every model, so each is tried on a text before it is relied on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from dataselect.scoring.decoding_cache import cache_parameter

_TOLERANCE = 1e-3
_TOLERANCE_HALF = 0.25


class UnfitError(Exception):
    """A model whose attention or cache cannot share what texts begin with."""


@contextmanager
def trying() -> Iterator[None]:
    """Errors of a model that is made for something else become UnfitError."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UnfitError((str(error).strip() or repr(error)).splitlines()[0]) from error


def tolerance(model: Any) -> float:
    """Nats by which a shared beginning may move a log-probability.

    In half precision any two ways of batching differ by this much.
    """
    return _TOLERANCE if model.dtype == torch.float32 else _TOLERANCE_HALF


def as_cache(model: Any, cache: Any) -> dict[str, Any]:
    """The argument that hands a cache to the model's body; a body that takes none refuses it."""
    return {cache_parameter(model.base_model) or "past_key_values": cache}


def prefix_cache(model: Any, ids: Sequence[int], device: str) -> Any:
    """The cache after these tokens. Raises UnfitError if it is not of their keys and values."""
    cache = DynamicCache(config=model.config)
    tokens = torch.tensor([list(ids)], device=device)
    model.base_model(input_ids=tokens, use_cache=True, **as_cache(model, cache))
    require_layers(cache, DynamicLayer)
    return cache


def require_layers(cache: Any, kind: type) -> None:
    """Raise UnfitError if a layer of the cache is of another kind."""
    if not cache.layers or any(type(layer) is not kind for layer in cache.layers):
        raise UnfitError("its cache is not one of keys and values of every token")
