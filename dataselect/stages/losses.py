"""Is a training going well: its loss beside those of its peers, and whether it rises.

Peers are the other trainings of the same stage at the same share of their tokens. Their losses are
on their own texts, and code is easier to predict than prose: so a loss above theirs is shown, and
only a loss that rises far above what it was itself is said to be a bad sign.
"""

from dataclasses import dataclass, field
from math import ceil, floor
from statistics import median

FEWEST_PEERS = 2
RISE = 1.0
"""Nats a token above its own lowest: of 60 trainings that went well, by the losses in their
artifacts, the most was 0.71, and 0.33 in all but one."""
_RECENT = 3
"""Reports whose median is taken, so that one hard batch is no rise."""
_STEPS = 200
"""Points that a curve keeps."""


@dataclass
class _Curve:
    attempt: int = 0
    points: dict[int, float] = field(default_factory=dict)
    """Loss by share of the tokens, in steps of 1/`_STEPS`."""
    recent: list[float] = field(default_factory=list)
    lowest: float | None = None
    """Of the medians of recent losses."""
    has_risen: bool = False
    """Whether the recent losses are more than `RISE` above it."""


class Losses:
    """The losses of the trainings of a stage, as they are reported."""

    def __init__(self) -> None:
        self._curves: dict[str, _Curve] = {}

    def add(self, name: str, attempt: int, share: float, loss: float) -> None:
        """A training has this loss at this share of its tokens."""
        curve = self._curves.get(name)
        if curve is None or curve.attempt != attempt:
            curve = self._curves[name] = _Curve(attempt)
        curve.points[round(share * _STEPS)] = loss
        curve.recent = [*curve.recent, loss][-_RECENT:]
        if len(curve.recent) == _RECENT:
            now = median(curve.recent)
            curve.lowest = now if curve.lowest is None else min(now, curve.lowest)
            curve.has_risen = now > curve.lowest + RISE

    def risen(self, name: str) -> float | None:
        """The lowest loss that a training has had, where it is far above it now; else None."""
        curve = self._curves.get(name)
        return curve.lowest if curve is not None and curve.has_risen else None

    def of_peers(self, name: str, share: float) -> float | None:
        """Median loss of the others at this share; None where fewer than two came as far."""
        found = [
            loss
            for other, curve in self._curves.items()
            if other != name and (loss := _at(curve.points, share * _STEPS)) is not None
        ]
        return median(found) if len(found) >= FEWEST_PEERS else None


def _at(points: dict[int, float], place: float) -> float | None:
    """The loss at a place between two that are known."""
    before = next((each for each in range(floor(place), -1, -1) if each in points), None)
    after = next((each for each in range(ceil(place), _STEPS + 1) if each in points), None)
    if before is None or after is None:
        return None
    if before == after:
        return points[before]
    weight = (place - before) / (after - before)
    return (1 - weight) * points[before] + weight * points[after]
