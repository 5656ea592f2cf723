"""A model's predictions at the epochs that the next pretraining run will have.

Runs of a swarm are short, so they read a scarce source once where the target reads it ten times.
The law of repeated data says what that costs: with R as fitted where runs repeated text, or as the
user gives it where they did not. Both are assumptions about the target, so predictions are moved
only if the constraints ask for it ('repetition'); otherwise a note says where the epochs differ.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dataselect.errors import InputError
from dataselect.mixture.constraints import Limits
from dataselect.mixture.laws import PUBLISHED_REPETITION
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.repetition import rates_of, repetition_of
from dataselect.wording import quoted

Array = NDArray[np.float64]

_OTHER = 1.25
"""Epochs that differ by less than this factor are about the same."""


def at_epochs(model: MixtureModel, rates: Array) -> MixtureModel:
    """The model, predicting at these epochs of a share of 1: (sources,), or (mixtures, sources).

    InputError if no run repeated text.
    """
    if model.stack.repeated is None:
        raise InputError(
            "--epochs",
            "no run of the model is known to read a source more than once",
            "leave it out, or fit the model with --epochs",
        )
    return replace(model, stack=model.stack.at_rates(rates))


def for_target(model: MixtureModel, limits: Limits) -> MixtureModel:
    """The model, predicting at the target's epochs if the limits ask for it; else unchanged.

    InputError if R is to be the fitted one and no run repeated text.
    """
    asked = limits.repetition
    if asked is None:
        return model
    if asked == "fitted" and model.stack.repeated is None:
        raise InputError(
            "repetition",
            "no run is known to read a source more than once, so nothing is fitted",
            f"write a number, as published {PUBLISHED_REPETITION:g}, or fit with --epochs",
        )
    stack = model.stack.at_rates(limits.rates, None if asked == "fitted" else float(asked))
    return replace(model, stack=stack)


def fitted_repetition(model: MixtureModel) -> list[str]:
    """A line on the value of repeated text in the runs; none if no run repeated any."""
    if model.stack.repeated is None:
        return []
    found = repetition_of(model.stack.repeated)
    middle, low, high = np.median(found), found.min(), found.max()
    return [
        f"value of repeated text: R {middle:.3g} ({low:.3g} to {high:.3g} over metrics; "
        f"published {PUBLISHED_REPETITION:g})"
    ]


def notes_on_epochs(
    model: MixtureModel, limits: Limits, shares: Array, *, searched: bool = False
) -> list[str]:
    """A note on where the target reads text more often than the runs, and whether that counts.

    After a search (`searched`) the note says how to train trials at the target's epochs.
    """
    law = model.stack.repeated
    usual = np.zeros(len(shares)) if law is None else rates_of(law)
    target, runs = limits.rates * shares, usual * shares
    differ = (np.maximum(target, 1) > _OTHER * np.maximum(runs, 1)) | (
        np.maximum(runs, 1) > _OTHER * np.maximum(target, 1)
    )
    if not differ.any() or limits.target_tokens is None:
        return []
    i = int(np.argmax(np.where(differ, np.maximum(target, runs), 0)))
    name = quoted(model.swarm.sources[i])
    there = f"{runs[i]:.2g} times" if law is not None else "an unknown number of times"
    if limits.repetition is None:
        fix = "'repetition:' in the constraints would count that"
        if searched:
            fix = "set 'target_epochs: true' in the plan's 'mix' to have trials read it as often"
        return [
            f"the target reads {name} {target[i]:.2g} times and runs of that weight {there}; {fix}"
        ]
    value = "as fitted" if limits.repetition == "fitted" else f"{limits.repetition:g}"
    return [f"predicted at the target's epochs, with R {value} for the value of repeated text"]
