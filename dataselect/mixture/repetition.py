"""What repeated text costs a mixture.

A share alone does not say it: reading a source at share w is rate·w epochs, and the rate, tokens of
a run divided by tokens of the source, may differ between runs and for the target. So the law of
repeated data is fitted to runs at the rates of each. The other surrogates do not know rates. They
are fitted to costs that the law has moved to the usual rates, which changes nothing where all runs
have the same rates; predictions at other rates are moved by the law as well.

Not covered: overfitting, where one more epoch is worse than none. In the law another epoch is worth
less and less, and takes room from other text.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.law_fit import FittedLaw, fit_law
from dataselect.mixture.laws import EffectiveData, RepeatedData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moved:
    """Laws of repeated data that move predictions from the usual rates to others."""

    asked: Array
    """Rates to predict at: (sources,), or (mixtures, sources)."""
    whole: FittedLaw
    """The law fitted to all runs."""
    folds: tuple[FittedLaw, ...]
    """The laws fitted without each fold."""

    def harm(self, shares: Array, without: int | None = None) -> Array:
        """Rise of the costs from the usual rates to those asked, (mixtures, metrics)."""
        return harm(self.whole if without is None else self.folds[without], shares, self.asked)


def repeats(shares: Array, rates: Array) -> bool:
    """Whether any run reads a source more than once; otherwise there is nothing to fit."""
    return bool((rates * shares > 1).any())


def usual_rates(shares: Array, rates: Array) -> Array:
    """Usual rates, (sources,): epochs summed over the runs, divided by the sum of shares."""
    total = shares.sum(axis=0)
    usual: Array = (rates * shares).sum(axis=0) / np.where(total > 0, total, 1.0)
    return usual


def fit_repeated(shares: Array, costs: Array, rates: Array, usual: Array) -> FittedLaw:
    """The law of repeated data fitted at the rates of each run, predicting at the usual ones."""
    return read_at(fit_law(RepeatedData(rates), shares, costs), usual)


def harm(law: FittedLaw, shares: Array, rates: Array) -> Array:
    """Rise of the costs from the law's own rates to these, (mixtures, metrics)."""
    return read_at(law, rates).predict(shares) - law.predict(shares)


def read_at(law: FittedLaw, rates: Array) -> FittedLaw:
    """The same law at other rates."""
    assert isinstance(law.law, RepeatedData), "another law knows of no rates"
    return replace(law, law=RepeatedData(rates))


def rates_of(law: FittedLaw) -> Array:
    """The rates that a law of repeated data predicts at."""
    assert isinstance(law.law, RepeatedData), "another law knows of no rates"
    return law.law.rates


def repetition_of(law: FittedLaw) -> Array:
    """R of each metric, (metrics,)."""
    found: Array = np.exp(law.parameters[:, -1])
    return found


def with_repetition(law: FittedLaw, repetition: float) -> FittedLaw:
    """The law with R set instead of fitted; an effective-data law becomes one of repeated data."""
    if isinstance(law.law, EffectiveData):
        sources = law.parameters.shape[1] - 5
        law = replace(law, law=RepeatedData(np.zeros(sources)))
        known = law.parameters
    else:
        known = law.parameters[:, :-1]
    given = np.full((len(known), 1), np.log(repetition))
    return replace(law, parameters=np.hstack([known, given]))
