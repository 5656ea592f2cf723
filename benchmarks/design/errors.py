"""How proxies err: the gap at each size, the noise of seeds, and what sizes have in common.

A recipe's score at a size, less what its target explains, is its error. Errors are fitted by
maximum likelihood on normal scores, for several forms of their correlation between sizes and
several tails; forms are compared by the log likelihood of recipes of a family that was left out.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2, norm, rankdata

sys.path.append(str(Path(__file__).parents[1] / "stage1"))  # which has a study too

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
CURVES = {"power law": 2, "floor and power law": 3, "two power laws": 4}
"""Forms of the error's standard deviation by FLOPs, with their numbers of parameters."""
SHIPPED = ("power law", "nested", "normal")
_LOGS = np.log([FLOPS[size] for size in SIZES])
_HELD = 2e-3
"""Weight by which parameters are held towards 0, as a share of one recipe's likelihood."""


def load(folder: Path) -> Published:
    """Published results, with the mean of the nine columns of target accuracy as TARGET."""
    published = read(folder)
    names = [str(name) for name in published.targets]
    columns = [name for name in names if name != "both" and not name.endswith("_default")]
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


def errors(curve: str, parameters: Array) -> Array:
    """Standard deviation of the error by size; parameters are logarithms."""
    logs = _LOGS - np.log(SCALE)

    def power(height: float, exponent: float) -> Array:
        return np.asarray(np.exp(height - np.exp(exponent) * logs))

    found = power(parameters[0], parameters[1])
    if curve == "floor and power law":
        found = found + np.exp(parameters[2])
    elif curve == "two power laws":
        found = found + power(parameters[2], parameters[3])
    return np.asarray(np.clip(found, 0.02, 50))


def correlations(form: str, parameters: Array, error: Array) -> Array:
    """Sizes x sizes, with one or two further parameters for some forms."""
    distance = np.abs(np.subtract.outer(_LOGS, _LOGS))
    if form == "none":
        return np.eye(len(error))
    if form == "nested":  # a smaller size has the larger one's error and some more
        return np.asarray(np.minimum.outer(error, error) ** 2 / np.outer(error, error))
    common = 1 / (1 + np.exp(-parameters[-1]))
    if form == "common":
        return np.asarray(common + (1 - common) * np.eye(len(error)))
    decaying = np.asarray(np.exp(-distance / np.exp(parameters[0])))
    return decaying if form == "decaying" else np.asarray(common + (1 - common) * decaying)


def _free(form: str) -> int:
    return {"none": 0, "nested": 0, "common": 1, "decaying": 1, "common and decaying": 2}[form]


@dataclass(frozen=True)
class Form:
    """A way in which proxies may err."""

    curve: str = SHIPPED[0]
    """One of CURVES."""
    correlation: str = SHIPPED[1]
    """One of CORRELATIONS."""
    tails: str = SHIPPED[2]
    """One of TAILS."""

    def start(self) -> Array:
        """Parameters to begin with."""
        curve = {2: (0.0, -1.0), 3: (0.0, 0.8, -0.7), 4: (0.0, 0.8, -0.7, -3.0)}
        return np.array([*curve[CURVES[self.curve]], *(1.0, 0.0)[: _free(self.correlation)]])


DEFAULT = Form()
"""What is shipped."""


def log_likelihood(parameters: Array, form: Form, observed: Observed) -> Array:
    """Of each recipe's scores at all sizes, given its truth, in nats."""
    degrees = TAILS[form.tails]
    error = errors(form.curve, parameters)
    seeds = observed.share**2 / (1 - observed.share**2) * (1 + error**2) / 3
    heavier = 1.0 if np.isinf(degrees) else degrees / (degrees - 2)
    spread = np.sqrt(1 + heavier * error**2 + seeds)
    left = observed.means * spread[:, None] - observed.truth
    further = parameters[CURVES[form.curve] :]
    common = correlations(form.correlation, further, error) * np.outer(error, error)
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


def fit(observed: Observed, form: Form = DEFAULT) -> Array:
    """Parameters of greatest likelihood, held a little towards 0."""

    def loss(parameters: Array) -> float:
        likelihood = log_likelihood(parameters, form, observed).mean()
        return float(_HELD * np.square(parameters).sum() - likelihood)

    found = minimize(
        loss,
        form.start(),
        method="Nelder-Mead",
        options={"maxiter": 3000, "xatol": 1e-3, "fatol": 1e-5},
    )
    return np.asarray(found.x, dtype=np.float64)


def fitted_errors(published: Published, curve: str = SHIPPED[0]) -> FittedErrors:
    """What is fitted on these recipes: a power law, with a floor or without."""
    observed = observe(published)
    height, exponent, *floor = np.exp(fit(observed, Form(curve))).tolist()
    return FittedErrors(
        source=SOURCE,
        floor=floor[0] if floor else 0.0,
        unit_flops=float(SCALE * height ** (1 / exponent)),
        exponent=exponent,
        seed_flops=tuple(FLOPS[size] for size in SIZES),
        seed_share=tuple(observed.share.tolist()),
        target_flops=FLOPS["1B"],
    )


def compared(published: Published) -> list[dict[str, Any]]:
    """Log likelihood of each form, of recipes of a family that it was not fitted on.

    Each is the shipped one with something else in one place, or in two.
    """
    forms = [
        *(Form(curve=curve) for curve in CURVES),
        *(Form(correlation=each) for each in CORRELATIONS if each != SHIPPED[1]),
        *(Form(tails=each) for each in TAILS if each != SHIPPED[2]),
        *(Form(curve, "decaying") for curve in CURVES if curve != SHIPPED[0]),
    ]
    everyone = observe(published)
    rows = []
    for form in forms:
        total, by_family = 0.0, {}
        for place, family in enumerate(FAMILIES):
            out = published.families[:, place]
            parameters = fit(observe(only(published, ~out)), form)
            likelihood = log_likelihood(parameters, form, everyone)[out]
            by_family[family] = round(float(likelihood.mean()), 2)
            total += float(likelihood.sum())
        nats = round(total / int(published.families.sum()), 2)
        rows.append({**asdict(form), "nats": nats, "by_family": by_family})
    return rows
