"""How proxies err: the gap at each size, the noise of seeds, and what sizes have in common.

A recipe's score at a size, less what its target explains, is its error. Errors are fitted by
maximum likelihood on normal scores, for several forms of their correlation between sizes and
several tails; forms are compared by the log likelihood of recipes of a family that was left out.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2, norm, rankdata

sys.path.insert(0, str(Path(__file__).parents[1] / "stage1"))

from published import FAMILIES, FLOPS, SIZES, Published, read

from dataselect.decisions.design.score_model import FittedErrors

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TARGET = "nine"
SCALE = 1e17
"""FLOPs in whose unit errors are fitted."""
SOURCE = "likelihoods of OLMES's ten tasks (DataDecide: 25 recipes, 13 sizes, 3 seeds)"
TAILS = {"normal": np.inf, "t, 8 degrees": 8.0, "t, 4 degrees": 4.0}
CORRELATIONS = ("none", "common", "nested", "decaying", "common and decaying")
SHIPPED = ("decaying", "normal")
_LOGS = np.log([FLOPS[size] for size in SIZES])
_HELD = 2e-3
"""Weight by which parameters are held towards 0, as a share of one recipe's likelihood."""


def load(folder: Path) -> Published:
    """Published results, with the mean of the nine columns of target accuracy as TARGET."""
    published = read(folder)
    columns = [n for n in published.targets if n != "both" and not n.endswith("_default")]
    assert len(columns) == 9
    published.targets[TARGET] = published.targets[columns].mean(axis=1)
    return published


def only(published: Published, known: Mask) -> Published:
    """Some of the recipes."""
    return Published(
        tuple(np.array(published.recipes)[known]),
        published.runs[:, known],
        published.targets[known],
        published.families[known],
    )


def normal_scores(values: Array) -> Array:
    """Values by their ranks, as quantiles of a normal distribution."""
    return np.asarray(norm.ppf((rankdata(values) - 0.5) / values.size).reshape(values.shape))


@dataclass(frozen=True)
class Observed:
    """Normal scores of recipes."""

    means: Array
    """Sizes x recipes: mean over three seeds, standardised, higher is better."""
    share: Array
    """By size, noise of one seed in units of the spread of one seed's scores."""
    truth: Array
    """By recipe, standardised."""


def observe(published: Published) -> Observed:
    """Normal scores of these recipes."""
    runs = np.stack([normal_scores(-each) for each in published.runs])
    within = runs.var(axis=2, ddof=1).mean(axis=1)
    share = np.sqrt(within / runs.reshape(len(runs), -1).var(axis=1))
    means = runs.mean(axis=2)
    means = (means - means.mean(axis=1, keepdims=True)) / means.std(axis=1, keepdims=True)
    truth = normal_scores(published.targets[TARGET].to_numpy())
    return Observed(means, share, truth / truth.std())


def errors(parameters: Array) -> Array:
    """Standard deviation of the error by size; parameters are logarithms."""
    floor, unit, exponent = parameters[:3]
    return np.asarray(np.exp(floor) + np.exp(unit - np.exp(exponent) * (_LOGS - np.log(SCALE))))


def correlations(form: str, parameters: Array, error: Array) -> Array:
    """Sizes x sizes, with one or two further parameters for some forms."""
    distance = np.abs(np.subtract.outer(_LOGS, _LOGS))
    if form == "none":
        return np.eye(len(error))
    if form == "nested":  # a smaller size has the larger one's error and some more
        return np.asarray(np.minimum.outer(error, error) ** 2 / np.outer(error, error))
    common = 1 / (1 + np.exp(-parameters[-1]))
    if form == "common":
        return common + (1 - common) * np.eye(len(error))
    decaying = np.exp(-distance / np.exp(parameters[0]))
    return decaying if form == "decaying" else common + (1 - common) * decaying


def _free(form: str) -> int:
    return {"none": 0, "nested": 0, "common": 1, "decaying": 1, "common and decaying": 2}[form]


def log_likelihood(parameters: Array, form: str, degrees: float, observed: Observed) -> Array:
    """Of each recipe's scores at all sizes, given its truth, in nats."""
    error = errors(parameters)
    seeds = observed.share**2 / (1 - observed.share**2) * (1 + error**2) / 3
    heavier = 1.0 if np.isinf(degrees) else degrees / (degrees - 2)
    spread = np.sqrt(1 + heavier * error**2 + seeds)
    left = observed.means * spread[:, None] - observed.truth
    common = correlations(form, parameters[3:], error) * np.outer(error, error)
    # A t distribution is a normal one whose variance is drawn; one draw for all sizes of a recipe.
    quantiles = (np.arange(40) + 0.5) / 40
    scales = [1.0] if np.isinf(degrees) else degrees / chi2.ppf(quantiles, degrees)
    parts = []
    for scale in scales:
        root = np.linalg.cholesky(scale * common + np.diag(seeds + 1e-6))
        whitened = np.linalg.solve(root, left)
        parts.append(-0.5 * np.square(whitened).sum(axis=0) - np.log(np.diag(root)).sum())
    mixed = np.logaddexp.reduce(parts, axis=0) - np.log(len(parts))
    return np.asarray(mixed + np.log(spread).sum() - len(left) / 2 * np.log(2 * np.pi))


def fit(observed: Observed, form: str = SHIPPED[0], degrees: float = np.inf) -> Array:
    """Parameters of greatest likelihood, held a little towards 0."""

    def loss(parameters: Array) -> float:
        likelihood = log_likelihood(parameters, form, degrees, observed).mean()
        return float(_HELD * np.square(parameters).sum() - likelihood)

    start = np.array([-0.7, 0.0, 0.8, *(1.0, 0.0)[: _free(form)]])
    options = {"maxiter": 1500, "xatol": 1e-3, "fatol": 1e-5}
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options=options).x)


def fitted_errors(published: Published) -> FittedErrors:
    """What is fitted on these recipes, in the shipped form."""
    observed = observe(published)
    floor, unit, exponent, length = np.exp(fit(observed))
    return FittedErrors(
        source=SOURCE,
        floor=float(floor),
        unit_flops=float(SCALE * unit ** (1 / exponent)),
        exponent=float(exponent),
        length=float(length),
        seed_flops=tuple(FLOPS[size] for size in SIZES),
        seed_share=tuple(observed.share.tolist()),
        target_flops=FLOPS["1B"],
    )


def compared(published: Published) -> list[dict[str, Any]]:
    """Log likelihood of each form, of recipes of a family that it was not fitted on."""
    everyone = observe(published)
    rows = []
    for tail, degrees in TAILS.items():
        for form in CORRELATIONS:
            total, by_family = 0.0, {}
            for place, family in enumerate(FAMILIES):
                out = published.families[:, place]
                parameters = fit(observe(only(published, ~out)), form, degrees)
                likelihood = log_likelihood(parameters, form, degrees, everyone)[out]
                by_family[family] = round(float(likelihood.mean()), 2)
                total += float(likelihood.sum())
            count = int(published.families.sum())
            rows.append(
                {
                    "correlation": form,
                    "tails": tail,
                    "nats": round(total / count, 2),
                    "by_family": by_family,
                }
            )
    return rows
