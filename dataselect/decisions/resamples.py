"""Bootstrap resamples of items, kept because a run draws the same ones again.

Every table of a run is resampled from the same seed, whatever it holds: the rankings of two stages,
their repetitions without leaked items, the forecasts. Drawing takes several times as long as the
means over what is drawn.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_CELLS = 2**22
"""Largest table of draws x items that is kept, of a byte each."""
_KEPT = 8

_drawn: OrderedDict[tuple[int, int, str], tuple[NDArray[np.uint8], Any]] = OrderedDict()
"""By items, draws and the generator's state before: the counts, and its state after."""


def resamples(items: int, draws: int, rng: np.random.Generator) -> NDArray[np.integer[Any]]:
    """How often each item is in each resample, draws x items.

    The generator is afterwards where drawing leaves it, also if the counts were kept.
    """
    key = (items, draws, str(rng.bit_generator.state))
    if key in _drawn:
        counts, rng.bit_generator.state = _drawn[key]
        return counts
    drawn = rng.multinomial(items, np.full(items, 1 / items), size=draws)
    if drawn.size <= _MOST_CELLS and drawn.max(initial=0) <= np.iinfo(np.uint8).max:
        _drawn[key] = drawn.astype(np.uint8), rng.bit_generator.state
        if len(_drawn) > _KEPT:
            _drawn.popitem(last=False)
    return drawn
