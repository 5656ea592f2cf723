"""Likelihoods of a tiny Olmo2 on a CPU, by kernels that numba compiles (extra `fast`).

Of a tiny model torch's operations take as long to launch as to compute, and transformers takes
longer to import than the model to score a benchmark. So its weights are read as arrays, and the
kernels of `proxies.fused` that train such models also read texts. Scores are those of torch up to
rounding.
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.proxies.fused.arrays import Weights, make_turned
from dataselect.proxies.fused.compiling import Array
from dataselect.proxies.fused.inference import angles, losses, make_memory, read, turn_weights
from dataselect.proxies.kernels import compiling_alone
from dataselect.proxies.ladder import Shape
from dataselect.scoring.likelihood.grouped import Losses, grouped_nll
from dataselect.scoring.likelihood.likelihoods import LikelihoodModel, Likelihoods
from dataselect.scoring.likelihood.packing import Group, Pair, Row, pack
from dataselect.scoring.likelihood.trees import Numbers, Trees, as_trees

_TOKENS_PER_BATCH = 512
"""Tokens whose states of all kinds fit a core's cache."""


class FusedModel(LikelihoodModel):
    """A model whose arrays lie as the kernels want them."""

    def __init__(
        self,
        name: str,
        shape: Shape,
        vocabulary: int,
        position_limit: int,
        weights: Weights,
        *,
        epsilon: float,
        theta: float,
    ) -> None:
        """`theta` is the base of the rotary angles."""
        self.name, self.vocabulary, self.position_limit = name, vocabulary, position_limit
        self.parameter_count = shape.parameters(vocabulary)
        self._shape, self._epsilon, self._theta = shape, np.float32(epsilon), theta
        self._size = shape.hidden_size // shape.heads
        self._weights = weights
        self._turned = make_turned(shape, vocabulary)
        self._angles = angles(1, self._size, theta)
        self._memory = make_memory(shape, _TOKENS_PER_BATCH)
        keys = self._size * shape.kv_heads
        none = np.zeros((shape.layers, 0, keys), dtype=np.float32)
        self._nothing = none, none
        turn_weights(self._weights, self._turned)
        with compiling_alone():
            self._read(as_trees((), 0), self._nothing)

    def together(self, pairs: Sequence[Pair], tokens_per_batch: int | None) -> Likelihoods:
        """The likelihoods of all pairs, whose common parts are computed once."""
        return self._of_groups(pack(pairs), len(pairs), tokens_per_batch or _TOKENS_PER_BATCH)

    def alone(self, pairs: Sequence[Pair]) -> Likelihoods:
        """The likelihoods of all pairs, each computed by itself."""
        each = [self._of_groups(pack([pair]), 1, 1) for pair in pairs]
        return Likelihoods([one.nll[0] for one in each], sum(one.tokens for one in each))

    def _of_groups(self, groups: Sequence[Group], count: int, at_once: int) -> Likelihoods:
        return grouped_nll(groups, count, at_once, sys.maxsize, self._prefix, self._rows_nll)

    def _rows_nll(self, rows: Sequence[Row], prefix: int, before: tuple[Array, Array]) -> Losses:
        trees = as_trees(rows, prefix)
        return trees.by_pair(self._read(trees, before))

    def _prefix(self, ids: tuple[int, ...]) -> tuple[Array, Array]:
        """Keys and values of a text that others begin with, (layers, tokens, width)."""
        if not ids:
            return self._nothing
        many = len(ids)
        self._read(_text(ids), self._nothing)
        return self._memory.keys[:, :many].copy(), self._memory.values[:, :many].copy()

    def _read(self, trees: Trees, before: tuple[Array, Array]) -> NDArray[np.float64]:
        """Nats of the targets, (targets,)."""
        many, furthest = len(trees.tokens), int(trees.positions.max(initial=0))
        if many > len(self._memory.x):
            self._memory = make_memory(self._shape, many)
        if furthest >= len(self._angles[0]):
            self._angles = angles(2 * furthest, self._size, self._theta)
        read(
            self._weights,
            self._turned,
            self._memory,
            *self._angles,
            *before,
            before[0].shape[1],
            trees.tokens,
            trees.positions,
            trees.starts,
            trees.ends,
            self._size,
            self._epsilon,
        )
        nats = np.empty(len(trees.targets))
        losses(
            self._weights,
            self._turned,
            self._memory,
            trees.sources,
            trees.targets,
            trees.states,
            self._epsilon,
            nats,
        )
        return nats


def _text(ids: Sequence[int]) -> Trees:
    """A text that predicts nothing."""
    many = len(ids)
    none: Numbers = np.empty(0, dtype=np.int64)
    place, starts = np.arange(many), np.array([0, many])
    return Trees(np.array(ids), place, starts, np.full(many, many), none, none, none, (), ())
