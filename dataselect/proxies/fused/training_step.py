"""The fused step of one model's training: its parameters, gradients and moments in one memory.

Losses, gradients, clipping and AdamW without autograd, and without an operation of torch: of a tiny
model torch's operations take as long to launch as to compute, and read and write memory in between.
What is computed is what `population`, `loss` and `optimizer` compute, in another order of sums.

Not here: populations, GPUs, bf16, more than one thread; shapes that `kernels` refuses.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from dataselect.proxies.fused.arrays import Weights, group_ends, lay_out, make_arrays, named
from dataselect.proxies.fused.compiled_step import add_gradients, update
from dataselect.proxies.model import NORM_EPSILON, ROPE_THETA
from dataselect.proxies.recipe import Recipe

_ROWS = 128
"""Tokens that pass together where a sequence is shorter, so that all of it stays in a cache."""
_MOST_NATS = np.float32(-math.log(torch.finfo(torch.float32).tiny))
"""The most that a token can cost, as in `loss`."""


class FusedStep:
    """Holds the parameters, which it moves into its memory, and the optimizer's moments."""

    def __init__(
        self,
        recipe: Recipe,
        parameters: Mapping[str, torch.nn.Parameter],
        optimizer: torch.optim.AdamW,
    ) -> None:
        shape, words, length = recipe.shape, recipe.vocab_size, recipe.sequence_length
        self._recipe, self._parameters, self._optimizer = recipe, parameters, optimizer
        self._numbers, self._weights = lay_out(shape, words)
        self._gradients, self._weight_gradients = lay_out(shape, words)
        self._means, means = lay_out(shape, words)
        self._squares, squares = lay_out(shape, words)
        self._moments = _tensors(means), _tensors(squares)
        self._ends = group_ends(shape, words)
        rows = max(1, _ROWS // length) * length
        angles = _angles(length, shape.hidden_size // shape.heads)
        self._turned, self._kept, self._room = make_arrays(shape, words, rows, *angles)
        there, grads = _tensors(self._weights), _tensors(self._weight_gradients)
        for name, parameter in parameters.items():
            parameter.data = there[name].copy_(parameter.detach())
            parameter.grad = grads[name]
        self.adopt_moments()
        self._compile()

    def _compile(self) -> None:
        """Compile, or load what was compiled, on no tokens and no numbers."""
        self.add_gradients(np.empty((0, self._recipe.sequence_length + 1), dtype=np.int64), 0.0)
        none, groups = self._numbers[:0], np.zeros(1)
        update(none, none, none, none, np.array([0]), groups, groups, 1, 1.0, (0.9, 0.999), 1e-8)

    def adopt_moments(self) -> None:
        """Move the optimizer's moments, zeros before the first step, into this memory."""
        means, squares = self._moments
        for name, parameter in self._parameters.items():
            state = self._optimizer.state[parameter]
            for key, there in (("exp_avg", means[name]), ("exp_avg_sq", squares[name])):
                there.copy_(state[key]) if key in state else there.zero_()
                state[key] = there

    def add_gradients(self, tokens: NDArray[np.int64], scale: float) -> float:
        """Nats of sequences, (count, length + 1); adds the gradients of `scale` times them."""
        nats: float = add_gradients(
            self._weights,
            self._weight_gradients,
            self._turned,
            self._kept,
            self._room,
            np.ascontiguousarray(tokens[:, :-1]).reshape(-1),
            np.ascontiguousarray(tokens[:, 1:]).reshape(-1),
            self._recipe.sequence_length,
            self._recipe.shape.hidden_size // self._recipe.shape.heads,
            np.float32(NORM_EPSILON),
            _MOST_NATS,
            np.float32(scale),
        )
        return nats

    def update(self, step: int) -> None:
        """Clip, take the optimizer's step, the one that `step` others were before, and clear."""
        groups = self._optimizer.param_groups
        update(
            self._numbers,
            self._gradients,
            self._means,
            self._squares,
            self._ends,
            np.array([group["lr"] for group in groups]),
            np.array([group["weight_decay"] for group in groups], dtype=np.float64),
            step + 1,
            float(self._recipe.grad_clip),
            groups[0]["betas"],
            groups[0]["eps"],
        )


def _tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Each parameter by its transformers name, (1, ...) as of a population of one, in the same
    memory."""
    return {name: torch.from_numpy(array)[None] for name, array in named(weights)}


def _angles(length: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines for heads of `size`, as in `population` to the bit."""
    steps = torch.arange(0, size, 2).float() / size
    angles = torch.outer(torch.arange(length).float(), ROPE_THETA**-steps)
    return angles.cos().numpy(), angles.sin().numpy()
