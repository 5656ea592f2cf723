"""The surrogates: models that predict all metrics of a mixture, fitted to runs, by name.

Each makes another assumption on how metrics depend on shares: two laws, a Gaussian process, a
process on the residuals of a law, ridge regressions, and trees where LightGBM is installed. Where
runs read text more than once, a law of repeated data and a process on its residuals are added.
`stack` finds how much each is worth on a swarm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataselect.mixture.gaussian_process import FittedProcess, fit_process
from dataselect.mixture.law_fit import FittedLaw, fit_law
from dataselect.mixture.laws import EffectiveData, Exponential
from dataselect.mixture.repetition import fit_repeated, harm
from dataselect.mixture.ridge import FittedRidge, fit_ridge
from dataselect.mixture.trees import FittedTrees, fit_trees

Array = NDArray[np.float64]


class Surrogate(Protocol):
    """A model that predicts costs of mixtures, lower being better."""

    def predict(self, shares: Array) -> Array:
        """Costs, shape (mixtures, metrics)."""
        ...


@dataclass(frozen=True)
class FittedSum:
    """A law plus a process on its residuals."""

    law: FittedLaw
    """The law, fitted first."""
    process: FittedProcess
    """The process, fitted to what the law leaves."""

    def predict(self, shares: Array) -> Array:
        """Costs of mixtures, shape (mixtures, metrics)."""
        return self.law.predict(shares) + self.process.predict(shares)


DATA_LAW = "data law"
REPEATED = "repeated data law"
REPEATED_AND_PROCESS = "repeated data law + process"

Fitted = FittedLaw | FittedProcess | FittedSum | FittedRidge | FittedTrees
Fit = Callable[[Array, Array, Mapping[str, Fitted]], Fitted]
"""Of shares (runs, sources), costs (runs, metrics), and the surrogates of before that were fitted
to the same."""


def surrogates(seed: int, trees: bool = False) -> dict[str, Fit]:
    """All surrogates by name; trees only on request, since they need another library."""

    def law_and_process(shares: Array, costs: Array, fitted: Mapping[str, Fitted]) -> FittedSum:
        law = fitted[DATA_LAW]
        assert isinstance(law, FittedLaw), "the law is fitted first"
        return FittedSum(law, fit_process(shares, costs - law.predict(shares), seed))

    found: dict[str, Fit] = {
        DATA_LAW: lambda w, c, _: fit_law(EffectiveData(), w, c),
        "data law, β ½": lambda w, c, _: fit_law(EffectiveData(0.5), w, c),
        "exponential": lambda w, c, _: fit_law(Exponential(), w, c),
        "process": lambda w, c, _: fit_process(w, c, seed),
        "data law + process": law_and_process,
        "ridge": lambda w, c, _: fit_ridge(True, w, c),
        "linear": lambda w, c, _: fit_ridge(False, w, c),
    }
    if trees:
        found["trees"] = lambda w, c, _: fit_trees(w, c, seed)
    return found


def repeated_surrogates(
    shares: Array,
    costs: Array,
    rates: Array,
    usual: Array,
    seed: int,
) -> tuple[FittedLaw, dict[str, Fitted]]:
    """The law of repeated data fitted to the runs, and all surrogates with it, by name."""
    law = fit_repeated(shares, costs, rates, usual)
    left = costs - harm(law, shares, rates) - law.predict(shares)
    process = fit_process(shares, left, seed)
    return law, {REPEATED: law, REPEATED_AND_PROCESS: FittedSum(law, process)}
