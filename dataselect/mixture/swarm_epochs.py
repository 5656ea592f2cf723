"""How often the runs of a swarm read each source.

A run of 5B tokens reads once what a target of 1T reads ten times, and so overestimates scarce text.
If every text is cut by the ratio of the run's tokens to the target's, runs read it as often as the
target would (arXiv 2606.07597).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits
from dataselect.mixture.earlier_swarm import Earlier
from dataselect.units import format_count
from dataselect.wording import quoted

Array = NDArray[np.float64]
_OTHER = 1.2
"""Ratio of epochs from which the target's differ from the runs'."""


def share_to_keep(limits: Limits, tokens: int | None, sources: Sequence[str]) -> float:
    """The part of every text that runs of so many tokens are to be trained on.

    InputError where tokens of runs, target or a source are not known.
    """
    if tokens is None:
        raise InputError("--target-epochs", "the tokens of a run are not known", "give --tokens")
    if limits.target_tokens is None:
        raise InputError("--target-epochs", "the target's tokens are not known", "give them")
    for name, each in zip(sources, limits.tokens.tolist(), strict=True):
        if np.isnan(each):
            raise InputError(
                "--target-epochs",
                f"the tokens of {quoted(name)} are not known",
                "give 'tokens' of every source in --constraints",
            )
    return min(1.0, tokens / limits.target_tokens)


def new_rates(limits: Limits, tokens: int | None, kept: float | None) -> Array:
    """Epochs of a new run at a share of 1, (sources,); 0 where not known."""
    if tokens is None:
        return np.zeros(len(limits.tokens))
    rates: Array = np.nan_to_num(tokens / (limits.tokens * (1.0 if kept is None else kept)))
    return rates


def notes_on_target(
    limits: Limits, rates: Array, shares: Array, sources: Sequence[str]
) -> list[str]:
    """A note where the target reads a source more often than runs of the same mixtures.

    Rates are (sources,), shares (runs, sources).
    """
    most = shares.max(axis=0)
    there, here = limits.rates * most, rates * most
    differ = (there > _OTHER) & (there > _OTHER * np.maximum(here, 1)) & (here > 0)
    if not differ.any():
        return []
    i = int(np.argmax(np.where(differ, there, 0)))
    return [
        f"of {sources[i]} the target would read {there[i]:.2g} epochs where a run reads "
        f"{here[i]:.2g}; --target-epochs has runs read texts as often as the target"
    ]


def all_rates(
    new: Array, count: int, earlier: Earlier, tokens: int | None, sources: Sequence[str]
) -> tuple[Array | None, list[str]]:
    """Epochs at a share of 1 of earlier and `count` new runs, (runs, sources), and notes.

    None where those of earlier or of new runs are not known. `new` is of the first of `sources`;
    the others are removed. InputError if the runs are of another length than the earlier ones.
    """
    record = earlier.record
    if record is not None and None not in (record.tokens, tokens) and record.tokens != tokens:
        raise InputError(
            "--tokens",
            f"runs of {earlier.path} train on {format_count(record.tokens or 0)} tokens, and these "
            f"on {format_count(tokens or 0)}",
            "runs of one swarm are of one length; give the same, or design a new swarm",
        )
    known = bool(new.any())
    if earlier.rates is None or not known:
        notes = []
        if known:
            notes = [
                f"epochs of the runs of {earlier.path.name} are not known, so none are written"
            ]
        elif earlier.rates is not None:
            fix = "--tokens" if tokens is None else "tokens of the sources"
            notes = [f"without {fix} the epochs of new runs are not known, so none are written"]
        return None, notes
    old = np.zeros((len(earlier.runs), len(sources)))
    for i, name in enumerate(earlier.sources):
        old[:, sources.index(name)] = earlier.rates[:, i]
    wide = np.concatenate([new, np.zeros(len(sources) - len(new))])
    return np.vstack([old, np.tile(wide, (count, 1))]), []
