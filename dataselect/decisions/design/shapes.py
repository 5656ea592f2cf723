"""Other shapes of plans at the same budget, to compare a proposal with.

Each is built by a rule that knows nothing of gaps and noise, and spends as much of the budget as
its rule allows.
"""

import math
from collections.abc import Sequence

from dataselect.decisions.design.rungs import Rung, Rungs

SHAPES = ("two_stage", "single_stage", "halving")


def two_stage(candidates: int, flops: Sequence[float], budget: float) -> Rungs | None:
    """The paper's shape: the smallest size for all, a third of them at the largest it pays.

    None if the budget does not pay for a second stage of a larger size. `flops`: by size.
    """
    first = _order(flops)[0]
    keep = max(2, round(candidates / 3))
    if keep >= candidates:
        return None
    second = _largest(flops, (budget - candidates * flops[first]) / keep)
    if second is None or flops[second] <= flops[first]:
        return None
    return (Rung(first, 1, keep), Rung(second, 1, 1))


def single_stage(candidates: int, flops: Sequence[float], budget: float) -> Rungs | None:
    """The largest size that is paid for all candidates; None if none is."""
    size = _largest(flops, budget / candidates)
    return None if size is None else (Rung(size, 1, 1),)


def halving(candidates: int, flops: Sequence[float], budget: float) -> Rungs | None:
    """Successive halving: every rung has an equal part of the budget and keeps half.

    As many rungs as leave one candidate, each of the largest size that its part pays; rungs of the
    same size are one, since they would train the same proxies. None if the first is not paid.
    """
    rounds = max(1, math.ceil(math.log2(candidates)))
    rungs: list[Rung] = []
    left = candidates
    for _ in range(rounds):
        size = _largest(flops, budget / rounds / left)
        if size is None:
            return None
        left = math.ceil(left / 2)
        if rungs and rungs[-1].size == size:
            rungs[-1] = Rung(size, 1, left)
        else:
            rungs.append(Rung(size, 1, left))
    return tuple(rungs)


def _order(flops: Sequence[float]) -> list[int]:
    return sorted(range(len(flops)), key=lambda size: flops[size])


def _largest(flops: Sequence[float], limit: float) -> int | None:
    paid = [size for size in _order(flops) if flops[size] <= limit]
    return paid[-1] if paid else None
