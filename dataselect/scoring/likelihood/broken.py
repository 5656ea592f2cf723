"""Texts that came out broken are computed again, each alone.

A NaN spreads to the texts that are computed together with it, since a masked value is still
multiplied, by 0.
"""

from collections.abc import Callable, Sequence

import numpy as np

from dataselect.scoring.advance import observed
from dataselect.scoring.likelihood.likelihoods import Likelihoods
from dataselect.scoring.likelihood.packing import Pair

_PROBES = 16
"""Texts tried alone where every text came out broken, before the model is taken to be."""


def alone_where_broken(
    pairs: Sequence[Pair], found: Likelihoods, alone: Callable[[list[Pair]], Likelihoods]
) -> Likelihoods:
    """The likelihoods with texts that have a non-finite loss computed again by `alone`.

    Where every text is broken and so are some tried alone, the others are not.
    """
    broken = [n for n, nll in enumerate(found.nll) if not np.isfinite(nll).all()]
    if not broken:
        return found
    nll, tokens = list(found.nll), found.tokens
    with observed(None):  # these few are done again
        if len(broken) == len(pairs) > _PROBES:
            some = broken[:: -(-len(broken) // _PROBES)]
            again = alone([pairs[n] for n in some])
            tokens += again.tokens
            if not any(np.isfinite(each).all() for each in again.nll):
                return Likelihoods(nll, tokens)
        again = alone([pairs[n] for n in broken])
    for n, each in zip(broken, again.nll, strict=True):
        nll[n] = each
    return Likelihoods(nll, tokens + again.tokens)
