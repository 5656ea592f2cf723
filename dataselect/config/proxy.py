"""The `proxy` section of a plan: the shape of one proxy and how it is trained."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count, Number, Whole
from dataselect.wording import nearest, quoted

LADDER_SIZES = (
    *("4M", "6M", "8M", "10M", "14M", "16M", "20M", "60M", "90M"),
    *("150M", "300M", "530M", "750M", "1B"),
)
"""Sizes of the DataDecide ladder that a plan may use; `proxies.ladder` has their shapes."""


def _check_ladder_size(size: str) -> str:
    if size not in LADDER_SIZES:
        listed = f"the ladder has {', '.join(LADDER_SIZES)}; another size needs an 'architecture'"
        raise ValueError(
            f"{quoted(size)} is not on the ladder; {nearest(size, LADDER_SIZES)} {listed}"
        )
    return size


Positive = Annotated[Number, Field(gt=0)]
Seed = Annotated[Whole, Field(lt=2**32)]


class Architecture(Section):
    """A custom shape of a proxy, without its vocabulary."""

    hidden_size: Count
    """Width of the model; an even multiple of `heads`."""

    layers: Count
    """Number of blocks."""

    heads: Count
    """Attention heads in a block."""

    intermediate_size: Count | None = None
    """Width of the feed-forward layers. Default: four times `hidden_size`."""

    kv_heads: Count | None = None
    """Key and value heads; a divisor of `heads`. Default: as many as `heads`."""

    tie_embeddings: bool = True
    """Use the same matrix for the embedding and the output."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            # Rotary positions turn pairs of dimensions, so each head needs an even number.
            raise FieldError(
                f"{self.hidden_size} cannot be split over {self.heads} heads of an even size",
                f"write a multiple of {2 * self.heads}",
                "hidden_size",
            )
        if self.heads % (self.kv_heads or self.heads):
            raise FieldError(
                f"{self.heads} heads cannot share {self.kv_heads}",
                f"write a divisor of {self.heads}",
                "kv_heads",
            )
        return self

    @property
    def feed_forward_size(self) -> int:
        """`intermediate_size` or its default."""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def key_value_heads(self) -> int:
        """`kv_heads` or its default."""
        return self.kv_heads or self.heads


class Proxy(Section):
    """A small model that is trained on every candidate, and its training settings."""

    size: Annotated[Text, AfterValidator(_check_ladder_size)] | None = None
    """A size of the DataDecide ladder, such as `4M`. Either this or `architecture`."""

    architecture: Architecture | None = None
    """A custom shape."""

    tokens: Count | None = None
    """Training tokens, such as `87.3M`. Either this or `chinchilla_multiple`."""

    chinchilla_multiple: Positive | None = None
    """Training tokens as a multiple of 20 per parameter."""

    sequence_length: Annotated[Count, Field(ge=2)] | None = None
    """Tokens per training sequence. Default: the ladder's."""

    batch_size: Count | None = None
    """Sequences per step. Default: the ladder's, smaller where the token budget is small."""

    learning_rate: Positive | None = None
    """Peak learning rate of the matrices. Default: the ladder's."""

    embedding_learning_rate: Positive | None = None
    """Peak learning rate of the embeddings. Default: that of the matrices."""

    weight_decay: Annotated[Number, Field(ge=0)] = 0.1
    """AdamW's decoupled weight decay, on the matrices."""

    warmup_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    """Fraction of the steps with linear warm-up of the learning rate; cosine decay follows."""

    grad_clip: Positive = 1.0
    """Largest norm of the gradient; a larger one is scaled down to it."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward passes; `auto` takes bf16 where it is faster."""

    kernels: Literal["auto", "torch", "fused"] = "auto"
    """What computes a training step: torch's operations, or a step that numba compiles for small
    models in fp32 on a CPU (`fused`, needs `dataselect[fast]`). `auto` takes `fused` where it can.
    Part of a proxy's key, since the two round differently."""

    checkpoints: Count = 1
    """Checkpoints to keep, evenly spaced; the last is the end of training."""

    seed: Seed = 0
    """Seed of the initial weights and the order of the data."""

    @model_validator(mode="after")
    def _has_one_shape_and_budget(self) -> Self:
        self._require_one("size", "architecture")
        self._require_one("tokens", "chinchilla_multiple")
        return self
