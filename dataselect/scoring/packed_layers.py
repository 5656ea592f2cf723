"""Weights of linear layers in the order in which a CPU's products read them.

For a few rows of states the product with a weight takes less time than putting the weight into that
order, which torch does anew at each call. Text is written with the same weights token after token,
so it is done once here, by the operations that torch's own compiler uses for it. The products are
the same up to rounding.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_log = logging.getLogger("dataselect")

_ROWS = 32
"""Rows for which the order is chosen; it serves others from `_FEWEST` on as well."""
_FEWEST = 4
_SMALLEST = 1 << 16
"""Fewest numbers in a weight: a small one stays in the cache, where there is less to gain than a
call costs."""
_TOLERANCE = 1e-4
"""Most by which a product may differ, of the largest."""
_MOST_BYTES = 1 << 30
"""Most memory for the second copies of all weights."""


@contextmanager
def packed_layers(model: Any) -> Iterator[None]:
    """Within, the model's linear layers multiply by packed copies of their weights.

    On a CPU and in single precision alone, and not where a layer is of a class of its own. The
    weights must not change within, and the copies, at most 1 GiB, are gone after it. No gradients.
    """
    changed: list[Any] = []
    left = _MOST_BYTES
    try:
        for layer in _largest_first(model):
            size = layer.weight.numel() * layer.weight.element_size()
            if size > left:
                continue
            try:
                layer.forward = _packed(layer)
            except (RuntimeError, AttributeError) as error:
                # These operations are none of torch's public ones.
                _log.debug("a layer of %d weights is not packed (%s)", size // 4, error)
                continue
            changed.append(layer)
            left -= size
        yield
    finally:
        for layer in changed:
            del layer.forward


def _largest_first(model: Any) -> list[Any]:
    """The layers worth packing, the output layer, the largest of a tiny model, first."""
    layers = [
        layer
        for layer in model.modules()
        if type(layer) is torch.nn.Linear
        and "forward" not in vars(layer)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and layer.weight.numel() >= _SMALLEST
    ]
    return sorted(layers, key=lambda layer: -layer.weight.numel())


def _packed(layer: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    multiply = torch.ops.mkldnn._linear_pointwise
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _ROWS)

    def forward(given: torch.Tensor) -> torch.Tensor:
        if given.numel() < _FEWEST * layer.in_features:
            return torch.nn.functional.linear(given, layer.weight, layer.bias)
        product: torch.Tensor = multiply(given, weight, layer.bias, "none", [], "")
        return product

    # A call that fails, or gives other products, does so here.
    with torch.no_grad():
        some = layer.weight[: 2 * _FEWEST]
        wanted = torch.nn.functional.linear(some, layer.weight, layer.bias)
        apart = float((forward(some) - wanted).abs().max())
        if not apart <= _TOLERANCE * float(wanted.abs().max()):
            raise RuntimeError("the products differ")
    return forward
