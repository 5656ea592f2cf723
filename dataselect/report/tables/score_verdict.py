"""The verdict of `dataselect score`: which model has the lowest rBridge, and by how much.

Where only marks of traces are scored, it is of the NLL per marked token ("mask").

Two models are compared on the same items, so the standard error of their difference is that of the
paired differences.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataselect.report.numbers import number
from dataselect.report.tables.score_frames import mean_of
from dataselect.scoring.masks import OWN
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.wording import one_line

if TYPE_CHECKING:
    import pandas as pd


def score_verdict(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> str:
    """The model with the lowest rBridge on each benchmark, or the rBridge of the only model."""
    if len(models) == 1:
        return f"{one_line(models[0])}: {', '.join(_alone(each) for each in scores)}."
    return f"{'; '.join(_compared(models, each) for each in scores)}."


def _alone(scores: BenchmarkScores) -> str:
    (column,), name = _columns(scores)
    mean = mean_of(column)
    where = one_line(scores.evaluation.benchmark.id)
    if mean is None:
        return f"no {name} on {where}"
    return f"{name} {number(mean[0], 3)} ± {number(mean[1], 3)} nats per token on {where}"


def _compared(models: Sequence[str], scores: BenchmarkScores) -> str:
    where = one_line(scores.evaluation.benchmark.id)
    columns, name = _columns(scores)
    means = {n: mean[0] for n, column in enumerate(columns) if (mean := mean_of(column))}
    if len(means) < 2:
        return f"no two models have a value of {name} on {where}"
    best, second = sorted(means, key=lambda n: means[n])[:2]
    lead = mean_of(columns[second] - columns[best])
    assert lead is not None, "both have means, over the same items"
    return (
        f"{one_line(models[best])} has the lowest {name} on {where}, {number(means[best], 3)} nats"
        f" per token, {number(lead[0], 3)} ± {number(lead[1], 3)} below {one_line(models[second])}"
    )


def _columns(scores: BenchmarkScores) -> tuple[list["pd.Series[float]"], str]:
    """The values that models are compared by, a column for each, and their name."""
    import pandas as pd

    key, name = ("rbridge", "rBridge") if "rbridge" in scores.tables[0] else (OWN, OWN)
    missing: pd.Series[float] = pd.Series(dtype=float)
    return [table.get(key, missing) for table in scores.tables], name
