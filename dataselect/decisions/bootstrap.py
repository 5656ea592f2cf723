"""Settings of a bootstrap as one value, instead of three parameters of every function."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bootstrap:
    """How a bootstrap is drawn."""

    draws: int = 2000
    """Number of resamples, of items or of candidates."""
    seed: int = 0
    """Seed of the random generator."""
    confidence: float = 0.9
    """Share of the draws inside an interval, in 0..1."""


DEFAULT = Bootstrap()
"""The default of functions that take a `Bootstrap`."""
