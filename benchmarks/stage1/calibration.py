"""Are stated probabilities true: fits, leave-family-out, and reliability."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from published import FAMILIES, FLOPS, SIZES, Array, Published, pairs
from scipy.optimize import minimize
from scipy.special import ndtr

from dataselect.decisions.discrepancy import ahead_probability

SCALE = 1e17
"""FLOPs in whose unit the scale is fitted; of a 14M proxy."""

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
Probability = Callable[[Array, pd.DataFrame], Array]


@dataclass(frozen=True)
class Form:
    """A way to state probabilities; `start` has as many numbers as it has parameters."""

    probability: Probability
    start: tuple[float, ...]


def tau(parameters: Array, flops: Array | float, exponent: float = 1.0) -> Array:
    """floor + (unit / FLOPs)^exponent; parameters are the logarithms of both parts at SCALE."""
    floor, unit = np.exp(parameters[:2])
    return np.asarray(floor + unit * (np.asarray(flops) / SCALE) ** -exponent)


def _cauchy(exponent: float | None = 1.0) -> Probability:
    def probability(parameters: Array, rows: pd.DataFrame) -> Array:
        power = float(np.exp(np.clip(parameters[2], -3, 2))) if exponent is None else exponent
        width = tau(parameters, rows["flops"].to_numpy(), power)
        return ahead_probability(rows["d"].to_numpy(), rows["noise"].to_numpy(), width)

    return probability


def _cauchy_constant(parameters: Array, rows: pd.DataFrame) -> Array:
    width = np.exp(parameters[0])
    return ahead_probability(rows["d"].to_numpy(), rows["noise"].to_numpy(), width)


def _normal(parameters: Array, rows: pd.DataFrame) -> Array:
    width = tau(parameters, rows["flops"].to_numpy())
    return np.asarray(ndtr(rows["d"] / np.sqrt(rows["noise"] ** 2 + width**2)))


def _lapse(parameters: Array, rows: pd.DataFrame) -> Array:
    """A share of the pairs is tossed, the rest is as in `_normal`."""
    tossed = 1 / (1 + np.exp(-parameters[2]))
    return tossed / 2 + (1 - tossed) * _normal(parameters, rows)


def _seeds_alone(parameters: Array, rows: pd.DataFrame) -> Array:
    return np.asarray(ndtr(rows["d"] / rows["noise"]))


def _toss(parameters: Array, rows: pd.DataFrame) -> Array:
    return np.full(len(rows), 0.5)


FORMS = {
    "constant .5": Form(_toss, ()),
    "seeds alone, Φ(z)": Form(_seeds_alone, ()),
    "normal, floor + 1/C": Form(_normal, (0.0, 0.5)),
    "normal with lapses, floor + 1/C": Form(_lapse, (-1.0, 0.5, -1.4)),
    "Cauchy, one scale": Form(_cauchy_constant, (0.0,)),
    "Cauchy, floor + C^-¼": Form(_cauchy(0.25), (-1.0, 0.5)),
    "Cauchy, floor + C^-½": Form(_cauchy(0.5), (-1.0, 0.5)),
    "Cauchy, floor + 1/C": Form(_cauchy(), (-1.0, 0.5)),
    "Cauchy, floor + C^-b": Form(_cauchy(None), (-1.0, 0.5, 0.5)),
}
SHIPPED = "Cauchy, floor + 1/C"


def log_loss(probability: Array, rows: pd.DataFrame) -> float:
    """Mean negative log of the probability given to what came true, in nats."""
    given = np.where(rows["y"] > 0, probability, 1 - probability)
    return float(np.average(-np.log(np.clip(given, 1e-12, 1)), weights=rows["weight"]))


def fit(form: Form, rows: pd.DataFrame) -> Array:
    """Parameters of least log loss, held a little towards 0 where the rows say nothing."""
    if not form.start:
        return np.zeros(0)

    def loss(parameters: Array) -> float:
        held = 2e-4 * float(np.square(parameters).sum())
        return log_loss(form.probability(parameters, rows), rows) + held

    options = {"maxiter": 600, "xatol": 3e-3, "fatol": 1e-6}
    return np.asarray(minimize(loss, form.start, method="Nelder-Mead", options=options).x)


def fits_without_family(
    published: Published, form: Form, benchmarks: tuple[str, ...]
) -> list[Array]:
    """For each family the parameters fitted on pairs without it, of one seed and of three."""
    found = []
    for place in range(len(FAMILIES)):
        out = published.families[:, place]
        rows = pd.concat([pairs(published, benchmarks, seeds=n, known=~out) for n in (1, 3)])
        found.append(fit(form, rows[~out[rows["first"]] & ~out[rows["second"]]]))
    return found


def held_out(
    published: Published, form: Form, fits: list[Array], asked: tuple[str, ...], seeds: int
) -> pd.DataFrame:
    """Pairs with a recipe of a family, stated by the fit on pairs without; of `asked` benchmarks.

    A pair of two families is stated twice and each counts half. Seed noise of one seed is that of
    the families that were fitted on; of three seeds it is everyone's own.
    """
    parts = []
    for place, parameters in enumerate(fits):
        out = published.families[:, place]
        rows = pairs(published, asked, seeds=seeds, known=~out if seeds == 1 else None)
        rows = rows[out[rows["first"]] | out[rows["second"]]].copy()
        rows["stated"] = form.probability(parameters, rows)
        parts.append(rows)
    found = pd.concat(parts, ignore_index=True)
    same = ["first", "second", "size", "run", "benchmark"]
    found["weight"] /= found.groupby(same)["stated"].transform("size")
    return found


def reliability(rows: pd.DataFrame, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """By bins of the stated probability of the likelier order: stated and true, with intervals.

    `ece` is the mean |stated - true| over bins, weighed by their pairs. Intervals are 90%
    percentiles over resampled recipes, the fits as they were.
    """
    stated = np.maximum(rows["stated"], 1 - rows["stated"]).to_numpy()
    likelier = np.where(rows["stated"] >= 0.5, rows["y"], 1 - rows["y"])
    right = np.where(rows["stated"] == 0.5, 0.5, likelier)
    weight = rows["weight"].to_numpy()
    bins = np.clip(np.digitize(stated, BINS) - 1, 0, len(BINS) - 2)
    count = int(max(rows["first"].max(), rows["second"].max())) + 1
    sums = np.zeros((3, len(BINS) - 1, count, count))
    at = (bins, rows["first"].to_numpy(), rows["second"].to_numpy())
    for place, values in enumerate((weight, weight * stated, weight * right)):
        np.add.at(sums[place], at, values)

    def figures(taken: Array) -> tuple[Array, float]:
        total, said, true = np.einsum("abij,i,j->ab", sums, taken, taken)
        safe = np.maximum(total, 1e-12)
        gaps = np.where(total > 0, (true - said) / safe, np.nan)
        return gaps, float(np.nansum(np.abs(gaps) * total) / total.sum())

    everyone = np.ones(count)
    gaps, ece = figures(everyone)
    resampled = [figures(rng.multinomial(count, everyone / count)) for _ in range(draws)]
    total, said, true = sums.sum(axis=(2, 3))
    many = np.stack([each[0] for each in resampled])
    low, high = np.full((2, len(total)), np.nan)
    low[total > 0], high[total > 0] = np.nanquantile(many[:, total > 0], [0.05, 0.95], axis=0)
    spread = float(np.sqrt(np.average((stated - 0.5) ** 2, weights=weight)))
    return {
        "bins": [
            {
                "from": BINS[place],
                "share": round(float(total[place] / total.sum()), 3),
                "stated": round(float(said[place] / total[place]), 3),
                "true": round(float(true[place] / total[place]), 3),
                "gap": round(float(gaps[place]), 3),
                "gap_interval": [round(float(low[place]), 3), round(float(high[place]), 3)],
            }
            for place in range(len(BINS) - 1)
            if total[place] > 0
        ],
        "largest_gap": round(float(np.nanmax(np.abs(gaps))), 3),
        "ece": round(ece, 3),
        "ece_interval": [
            round(float(end), 3)
            for end in np.quantile([each[1] for each in resampled], [0.05, 0.95])
        ],
        # Root mean square of what is stated beyond a toss: how much is said at all.
        "sharpness": round(spread, 3),
        "log_loss": round(log_loss(rows["stated"].to_numpy(), rows), 4),
        "stated": round(float(np.average(stated, weights=weight)), 3),
        "right": round(float(np.average(right, weights=weight)), 3),
    }


def by_size(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean stated probability of the likelier order, and how often it is true, at each size."""
    found = []
    for place, group in rows.groupby("size"):
        stated = np.maximum(group["stated"], 1 - group["stated"])
        right = np.where(group["stated"] >= 0.5, group["y"], 1 - group["y"])
        found.append(
            {
                "size": SIZES[int(str(place))],
                "stated": round(float(np.average(stated, weights=group["weight"])), 3),
                "true": round(float(np.average(right, weights=group["weight"])), 3),
            }
        )
    return found


def table(
    published: Published, fitted: tuple[str, ...], draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The shipped constants: fit on everything, with intervals over resampled recipes."""
    rows = pd.concat([pairs(published, fitted, seeds=n) for n in (1, 3)], ignore_index=True)
    form = FORMS[SHIPPED]
    best = fit(form, rows)
    count = len(published.recipes)
    resampled = []
    for _ in range(draws):
        taken = rng.multinomial(count, np.full(count, 1 / count))
        times = taken[rows["first"]] * taken[rows["second"]]
        some = rows[times > 0].copy()
        some["weight"] *= times[times > 0]
        resampled.append(fit(form, some))
    low, high = np.exp(np.quantile(resampled, [0.05, 0.95], axis=0)) * [[1, SCALE]]
    sds = [
        float(
            np.sqrt(published.runs[place].var(axis=1, ddof=1).mean())
            / published.runs[place].std(axis=0).mean()
        )
        for place in range(len(SIZES))
    ]
    return {
        "floor": float(f"{np.exp(best[0]):.3g}"),
        "floor_interval": [float(f"{value:.3g}") for value in (low[0], high[0])],
        "unit_flops": float(f"{np.exp(best[1]) * SCALE:.3g}"),
        "unit_flops_interval": [float(f"{value:.3g}") for value in (low[1], high[1])],
        "target_flops": float(f"{FLOPS['1B']:.4g}"),
        "proxies": [
            {
                "size": size,
                "flops": float(f"{FLOPS[size]:.4g}"),
                "seed_sd": round(sd, 3),
                "tau": round(float(tau(best, FLOPS[size])), 3),
            }
            for size, sd in zip(SIZES, sds, strict=True)
        ],
    }
