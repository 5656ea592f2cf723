"""How intervals are drawn: once, instead of three parameters of every function."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bootstrap:
    """Settings of a bootstrap."""

    draws: int = 2000
    """How often items, or candidates, are resampled."""
    seed: int = 0
    """Of the generator that resamples."""
    confidence: float = 0.9
    """Share of the draws inside an interval, in 0..1."""


DEFAULT = Bootstrap()
"""What functions use unless they are told otherwise."""
