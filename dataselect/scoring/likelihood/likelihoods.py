"""What scoring texts gives, and what a model offers that scores them by itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataselect.scoring.likelihood.packing import Pair


@dataclass(frozen=True)
class Likelihoods:
    """Negative log-likelihoods of continuations."""

    nll: list[npt.NDArray[np.float64]]
    """For each pair in order, nats of each token of its continuation."""
    tokens: int
    """Tokens processed, without padding."""


class LikelihoodModel(ABC):
    """A model that gives likelihoods alone, in place of one of transformers."""

    name: str
    """Of its folder."""
    vocabulary: int
    parameter_count: int
    position_limit: int
    """The longest input in tokens that its configuration allows."""

    @abstractmethod
    def together(self, pairs: Sequence[Pair], tokens_per_batch: int | None) -> Likelihoods:
        """The likelihoods of all pairs, whose common parts are computed once."""

    @abstractmethod
    def alone(self, pairs: Sequence[Pair]) -> Likelihoods:
        """The likelihoods of all pairs, none of which can touch another's."""
