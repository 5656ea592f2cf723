"""Transfer functions as earlier versions fitted them, for studies that compare."""

from dataclasses import replace

from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.neighbours import blocks
from dataselect.transfer.pairs import Pairs
from dataselect.transfer.robust import fit_robust

PROVENANCE = Provenance(Setting(*[None] * 8), "published runs", "earlier.py")


def as_before(pairs: Pairs) -> TransferFunction:
    """The function of earlier versions: blocks of rows left out, flat steps past the points."""
    found = fit_robust(
        pairs.metric,
        pairs.accuracy,
        benchmark=pairs.benchmark,
        provenance=PROVENANCE,
        chance=pairs.chance,
        blocks=blocks(pairs.tokens, pairs.groups),
    )
    flat = tuple(replace(curve, tail=None) for curve in found.loo_curves)
    return replace(found, curve=replace(found.curve, tail=None), loo_curves=flat)
