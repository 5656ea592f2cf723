"""Is `dataselect agree` right, and do its intervals hold what they state?

    python benchmarks/agreement/study.py --data DIR [--regmix-1m FILE] [--samples 300]

DIR holds published results by others (README.md says which). Three questions: does the command's
code give the known decision accuracies; how often do its 90% intervals hold the true figure when
candidates are sampled from a population whose figure is known, against percentiles of the same
bootstrap; and do the probabilities and ceilings that come from seeds hold? Prints what it finds and
writes `results.json` beside this file. One core, about a minute.
"""

import argparse
import csv
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.comparisons import LABELS, Comparisons, Settings, compare_tables
from dataselect.decisions.noise_ceiling import noise_ceiling
from dataselect.formats.score_table import read_score_table

HERE = Path(__file__).parent
SEED = 0
DRAWS = 400
CONFIDENCE = 0.9
COUNTS = (5, 8, 12, 15, 25, 60)
"""Candidates in a sample."""

KNOWN = {
    ("4M", "arc_challenge"): 0.677,
    ("6M", "arc_challenge"): 0.400,
    ("14M", "arc_challenge"): 0.787,
    ("20M", "arc_challenge"): 0.777,
    ("60M", "arc_challenge"): 0.880,
    ("90M", "arc_challenge"): 0.903,
    ("90M", "csqa"): 0.666,
}
KNOWN_REGMIX = 0.971

Array = NDArray[np.float64]
Sample = tuple[Array, Array]


@dataclass(frozen=True)
class Population:
    """Candidates to sample from: (proxy, target) of n of them, higher is better in both."""

    name: str
    kind: str
    sample: Callable[[int, np.random.Generator], Sample]
    decision_accuracy: float
    kendall_tau: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--regmix-1m", type=Path)
    parser.add_argument("--samples", type=int, default=300)
    arguments = parser.parse_args()
    runs, targets = read_datadecide(arguments.data)
    found = {
        "command": "python benchmarks/agreement/study.py --data DIR"
        + (" --regmix-1m FILE" if arguments.regmix_1m else "")
        + f" --samples {arguments.samples}",
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "scipy": scipy.__version__,
        },
        "seed": SEED,
        "draws": DRAWS,
        "confidence": CONFIDENCE,
        "samples": arguments.samples,
        "known_answers": known_answers(runs, targets),
        "regmix": regmix(arguments.data, arguments.regmix_1m),
        "seeds": seeds(runs, targets),
        "ceiling": ceiling(targets),
        "simulated_ceiling": simulated_ceiling(arguments.samples),
    }
    rows = coverage(populations(arguments.data, runs, targets), arguments.samples)
    found["coverage"] = summary(rows)
    for name in list(found)[6:]:
        for row in found[name] if isinstance(found[name], list) else [found[name]]:
            print(name, json.dumps(row))
    text = json.dumps(found, indent=1, allow_nan=False)
    (HERE / "results.json").write_text(text + "\n", encoding="utf-8")


def read_datadecide(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proxy runs (id, seed, size, nll) and targets (id and benchmarks)."""
    runs = pd.read_csv(folder / "datadecide_olmes_nll.csv").rename(
        columns={"recipe": "id", "olmes10_mean_neglog_correct_prob_per_char": "nll"}
    )
    targets = pd.read_csv(folder / "datadecide_target_1b.csv").rename(columns={"recipe": "id"})
    return runs, targets


def compared(proxy: pd.DataFrame, target: pd.DataFrame, settings: Settings) -> Comparisons:
    """What the command finds in two files with these rows."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("proxy.csv", "target.csv")]
        for path, rows in zip(paths, (proxy, target), strict=True):
            rows.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
        proxies, truths = (read_score_table(path, LABELS) for path in paths)
        return compare_tables(proxies, truths, settings)


def known_answers(runs: pd.DataFrame, targets: pd.DataFrame) -> list[dict[str, Any]]:
    """DataDecide, default seed, against the 1B mean over three seeds."""
    default = runs[runs["seed"] == "default"].drop(columns="seed")
    found = compared(
        default,
        targets[["id", "arc_challenge", "csqa"]],
        Settings(lower_is_better=True, draws=2000, seed=SEED, confidence=CONFIDENCE),
    )
    rows = []
    for (size, benchmark), known in KNOWN.items():
        agreement = found.by_name[f"nll@{size} -> {benchmark}"].agreement
        interval = agreement.decision_accuracy_interval
        assert interval is not None
        rows.append(
            {
                "size": size,
                "benchmark": benchmark,
                "known": known,
                "found": round(agreement.decision_accuracy, 4),
                "interval": [round(end, 3) for end in interval],
            }
        )
    return rows


def regmix(folder: Path, small: Path | None) -> dict[str, Any] | None:
    """Losses of the same 256 mixtures at 1M and at 60M, domain by domain; None without 1M."""
    if small is None:
        return None
    tables = [pd.read_csv(path) for path in (small, folder / "regmix_test_loss_60m.csv")]
    proxy, target = (table.rename(columns={"index": "id"}) for table in tables)
    found = compared(
        proxy,
        target,
        Settings(lower_is_better=True, target_lower_is_better=True, draws=100, seed=SEED),
    )
    each = [one.agreement.decision_accuracy for one in found.by_name.values()]
    mean = round(float(np.mean(each)), 4)
    return {
        "known": KNOWN_REGMIX,
        "found": mean,
        "lowest": round(min(each), 4),
        "domains": len(each),
    }


def seeds(runs: pd.DataFrame, targets: pd.DataFrame) -> list[dict[str, Any]]:
    """What three seeds of the proxy change, and how far pairs called by seed noise alone hold."""
    settings = Settings(lower_is_better=True, draws=100, seed=SEED)
    found = compared(runs, targets[["id", "arc_challenge", "csqa"]], settings)
    rows = []
    for one in found.by_name.values():
        assert one.stated is not None
        rows.append(
            {
                "size": one.size,
                "benchmark": one.target,
                "three_seeds": round(one.agreement.decision_accuracy, 4),
                "surest_half": round(one.kept[1].accuracy, 4),
                "at_0.9": {
                    "share": round(one.stated[-1].share, 4),
                    "stated": round(one.stated[-1].stated or 0, 4),
                    "accuracy": round(one.stated[-1].accuracy or 0, 4),
                },
            }
        )
    return rows


def ceiling(targets: pd.DataFrame) -> list[dict[str, Any]]:
    """The default target seed against the mean of the other two, which is 3/2 mean - 1/2 default.

    The other two seeds are not in the file one by one.
    """
    rows = []
    for benchmark in ("arc_challenge", "csqa"):
        one = targets[f"{benchmark}_default"]
        others = ((3 * targets[benchmark] - one) / 2).round(5)
        agreement = decision_accuracy(one, others, lower_is_better=False)
        found = round(agreement.decision_accuracy, 4)
        rows.append({"benchmark": benchmark, "default_seed_against_others": found})
    return rows


def simulated_ceiling(samples: int) -> list[dict[str, Any]]:
    """`of_means` against how far true values really agree with means, 25 candidates, 3 seeds."""
    rng = np.random.default_rng(SEED)
    rows = []
    for noise in (0.2, 0.5, 1.0):
        estimated, real = [], []
        for _ in range(samples):
            true = rng.normal(size=25)
            values = true[:, None] + noise * rng.normal(size=(25, 3))
            found = noise_ceiling(values)
            assert found is not None
            estimated.append(found.of_means)
            real.append(accuracy_of(true, values.mean(axis=1)))
        rows.append(
            {
                "noise_sd": noise,
                "estimated": round(float(np.mean(estimated)), 4),
                "real": round(float(np.mean(real)), 4),
            }
        )
    return rows


def populations(folder: Path, runs: pd.DataFrame, targets: pd.DataFrame) -> list[Population]:
    """Made-up ones without end, real recipes and mixtures drawn anew, real ones drawn once."""
    found = list(made_up())
    default = runs[runs["seed"] == "default"]
    table = targets.set_index("id")
    for size in ("6M", "20M", "90M"):
        scores = -default[default["size"] == size].set_index("id")["nll"]
        for benchmark in ("arc_challenge", "csqa"):
            pair = scores.loc[table.index].to_numpy(), table[benchmark].to_numpy()
            found += [
                finite(f"{size} {benchmark}", *pair, "25 recipes, with replacement"),
                finite(f"{size} {benchmark}", *pair, "25 recipes, without replacement"),
            ]
    losses = pd.read_csv(folder / "regmix_test_loss_60m.csv").drop(columns="index")
    names = list(losses.columns)
    for first, second in pairwise([*names, names[0]]):
        # One domain's loss as a proxy of another's: all degrees of agreement, on real runs.
        pair = -losses[first].to_numpy(), -losses[second].to_numpy()
        short = " for ".join(
            name.partition("the_pile_")[2].removesuffix("_val_loss") for name in (first, second)
        )
        found.append(finite(short, *pair, "256 mixtures, without replacement"))
    return found


def made_up() -> Iterator[Population]:
    """Populations without end; the true figures are from 40 samples of 1,000."""

    def normal(accuracy: float) -> Callable[[int, np.random.Generator], Sample]:
        rho = np.sin(np.pi * (accuracy - 0.5))

        def sample(n: int, rng: np.random.Generator) -> Sample:
            x = rng.normal(size=n)
            return x, rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)

        return sample

    def heavy_tails(n: int, rng: np.random.Generator) -> Sample:
        scale, x = np.sqrt(2 / rng.chisquare(2, n)), rng.normal(size=n)
        return scale * x, scale * (0.8 * x + 0.6 * rng.normal(size=n))

    def families(n: int, rng: np.random.Generator) -> Sample:
        family = 3.0 * rng.integers(0, 3, n)
        return family + rng.normal(size=n), family + rng.normal(size=n)

    def some_inverted(n: int, rng: np.random.Generator) -> Sample:
        x = rng.normal(size=n)
        y = x + 0.3 * rng.normal(size=n)
        return x, np.where(rng.random(n) < 0.12, -3 * rng.random(n), y)

    def coarse(n: int, rng: np.random.Generator) -> Sample:
        x = rng.normal(size=n)
        return np.round(1.5 * x), x + 0.7 * rng.normal(size=n)

    shapes = {f"normal, {share:g}": normal(share) for share in (0.5, 0.65, 0.8, 0.9, 0.96)}
    shapes |= {
        "heavy tails": heavy_tails,
        "three families": families,
        "one in eight inverted": some_inverted,
        "proxy with ties": coarse,
    }
    rng = np.random.default_rng(SEED)
    for name, sample in shapes.items():
        figures = [concordance(*sample(1000, rng)) for _ in range(40)]
        truth = np.mean(figures, axis=0)
        yield Population(name, "made up, without end", sample, float(truth[0]), float(truth[1]))


def finite(name: str, proxy: Array, target: Array, kind: str) -> Population:
    """All there are, to be drawn with or without replacement."""
    replace = kind.endswith("with replacement")

    def sample(n: int, rng: np.random.Generator) -> Sample:
        picks = rng.choice(len(proxy), n, replace=replace)
        return proxy[picks], target[picks]

    return Population(name, kind, sample, *concordance(proxy, target))


def concordance(proxy: Array, target: Array) -> tuple[float, float]:
    """Decision accuracy and tau-b."""
    x, y = (np.sign(each[:, None] - each[None, :]) for each in (proxy, target))
    agreed, untied = (x * y).sum(), (y**2).sum()
    return float((1 + agreed / untied) / 2), float(agreed / np.sqrt(untied * (x**2).sum()))


def accuracy_of(proxy: Array, target: Array) -> float:
    return concordance(proxy, target)[0]


def coverage(found: list[Population], samples: int) -> list[dict[str, Any]]:
    """For each population and sample size, how often intervals hold the population's figure.

    `percentile` is the interval by percentiles of the same kind of bootstrap.
    """
    rng = np.random.default_rng(SEED)
    rows = []
    for population in found:
        counts = COUNTS if "made up" in population.kind else (12, 15)
        if "mixtures" in population.kind:
            counts = (12, 25)
        for count in counts:
            # Thirteen pairs of domains are one another's repeats.
            times = samples if "mixtures" not in population.kind else samples // 4
            results = [_trial(population, count, rng) for _ in range(times)]
            held = {name: _mean(results, name) for name in results[0]}
            rows.append(
                {
                    "population": population.name,
                    "kind": population.kind,
                    "decision_accuracy": round(population.decision_accuracy, 4),
                    "candidates": count,
                    "samples": times,
                    **{name: round(value, 4) for name, value in held.items()},
                }
            )
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and lowest coverage over populations of a kind."""
    found = []
    for (kind, count), group in pd.DataFrame(rows).groupby(["kind", "candidates"], sort=False):
        figures: dict[str, Any] = {
            "kind": kind,
            "candidates": int(count),
            "populations": len(group),
            "samples": int(group["samples"].sum()),
        }
        for name in ("held", "held_percentile", "held_tau"):
            each = group[name]
            figures[name] = {"mean": round(each.mean(), 3), "lowest": round(each.min(), 3)}
        figures["lowest_of"] = group.loc[group["held"].idxmin(), "population"]
        for name in ("width", "width_percentile"):
            figures[name] = round(group[name].mean(), 3)
        found.append(figures)
    return found


def _trial(population: Population, count: int, rng: np.random.Generator) -> dict[str, float]:
    while True:
        proxy, target = population.sample(count, rng)
        if len(set(target)) > 1:
            break
    agreement = decision_accuracy(
        pd.Series(proxy),
        pd.Series(target),
        lower_is_better=False,
        bootstrap=Bootstrap(draws=DRAWS, seed=int(rng.integers(2**31)), confidence=CONFIDENCE),
    )
    ours, tau = agreement.decision_accuracy_interval, agreement.kendall_tau_interval
    assert ours is not None
    assert tau is not None
    before = percentile_interval(proxy, target, rng)
    truth = population.decision_accuracy
    return {
        "held": _within(truth, ours),
        "held_tau": _within(population.kendall_tau, tau),
        "held_percentile": _within(truth, before),
        "width": ours[1] - ours[0],
        "width_percentile": before[1] - before[0],
    }


def percentile_interval(
    proxy: Array, target: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentiles of decision accuracy over resampled candidates."""
    x, y = (np.sign(each[:, None] - each[None, :]) for each in (proxy, target))
    count = len(proxy)
    taken = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    agreed, untied = (((taken @ pairs) * taken).sum(axis=1) for pairs in (x * y, y**2))
    shares = (1 + agreed[untied > 0] / untied[untied > 0]) / 2
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _within(truth: float, interval: tuple[float, float]) -> float:
    return float(interval[0] - 1e-9 <= truth <= interval[1] + 1e-9)


def _mean(results: list[Mapping[str, float]], name: str) -> float:
    return float(np.mean([result[name] for result in results]))


if __name__ == "__main__":
    main()
