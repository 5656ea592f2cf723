"""The DataDecide ladder: model sizes by name, and the shape of any proxy.

Published proxies of this kind are compared on the ladder (allenai/DataDecide, README; arXiv
2504.11393), so a plan may simply say `size: 4M`. All shapes are Olmo2: blocks without pre-norms,
RMS norms on the outputs, rotary positions, SwiGLU.
"""

from dataclasses import asdict, dataclass
from typing import Any

LADDER_SEQUENCE_LENGTH = 2048


@dataclass(frozen=True)
class Shape:
    """The architecture of an Olmo2 model, without its vocabulary."""

    hidden_size: int
    """Width of the residual stream."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Attention heads of the queries."""
    kv_heads: int
    """Attention heads of keys and values."""
    intermediate_size: int
    """Width of the feed-forward layer."""
    tie_embeddings: bool = True
    """Whether the output layer is the embedding matrix."""

    def parameters(self, vocab_size: int) -> int:
        """Trainable parameters with embeddings (counted once if tied): the N of FLOPs = 6ND.

        A vocabulary of 50,304 reproduces the ladder's published counts.
        """
        h, kv = self.hidden_size, self.hidden_size // self.heads * self.kv_heads
        attention = 2 * h * h + 2 * h * kv + h + kv  # q, o, k, v and the norms of q and k
        block = attention + 3 * h * self.intermediate_size + 2 * h
        embeddings = vocab_size * h * (1 if self.tie_embeddings else 2)
        return embeddings + self.layers * block + h

    def describe(self) -> dict[str, Any]:
        """As JSON, for artifact keys."""
        return asdict(self)


@dataclass(frozen=True)
class Rung:
    """One row of the ladder."""

    name: str
    """What a plan calls this size."""
    parameters: float
    """As published."""
    batch_size: int
    """Sequences of `LADDER_SEQUENCE_LENGTH` tokens."""
    hidden_size: int
    """Width of the residual stream."""
    learning_rate: float
    """Peak."""
    heads: int
    """Attention heads."""
    layers: int
    """Transformer blocks."""
    steps: int
    """Optimizer steps of the published run."""

    @property
    def shape(self) -> Shape:
        return Shape(self.hidden_size, self.layers, self.heads, self.heads, 4 * self.hidden_size)


LADDER = {
    row[0]: Rung(*row)
    for row in (
        ("4M", 3.7e6, 32, 64, 1.4e-2, 8, 8, 5_725),
        ("6M", 6.0e6, 32, 96, 1.2e-2, 8, 8, 9_182),
        ("8M", 8.5e6, 32, 128, 1.1e-2, 8, 8, 13_039),
        ("10M", 9.9e6, 32, 144, 1.0e-2, 8, 8, 15_117),
        ("14M", 14.4e6, 32, 192, 9.2e-3, 8, 8, 21_953),
        ("16M", 16.0e6, 32, 208, 8.9e-3, 8, 8, 24_432),
        ("20M", 19.1e6, 64, 192, 8.4e-3, 8, 16, 14_584),
        ("60M", 57.1e6, 96, 384, 5.8e-3, 12, 16, 29_042),
        ("90M", 97.9e6, 160, 528, 4.9e-3, 12, 16, 29_901),
        ("150M", 151.9e6, 192, 768, 4.2e-3, 12, 12, 38_157),
        ("300M", 320.0e6, 320, 1024, 3.3e-3, 16, 16, 45_787),
        ("530M", 530.1e6, 448, 1344, 2.8e-3, 16, 16, 57_786),
        ("750M", 681.3e6, 576, 1536, 2.5e-3, 16, 16, 63_589),
        ("1B", 1176.8e6, 704, 2048, 2.1e-3, 16, 16, 69_369),
    )
}
