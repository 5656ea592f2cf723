"""The verdict of `dataselect score`: which model has the lowest rBridge, and by how much.

Where only marks of traces are scored, it is of the NLL per marked token ("mask"); of texts that are
scored by counting, of their unigram NLL.

Two models are compared on the same items, so the standard error of their difference is that of the
paired differences.
"""

from collections.abc import Sequence

from dataselect.report.numbers import number
from dataselect.report.tables.score_frames import mean_of
from dataselect.scoring.masks import OWN
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.wording import one_line

_NAMES = {
    "rbridge": "rBridge",
    OWN: OWN,
    "ngram1_trace_nll": "unigram NLL of the traces",
}
"""Columns that models and texts are compared by, with their names."""
_OF_MODELS, _OF_TEXTS = ("rbridge", OWN), ("ngram1_trace_nll",)


def score_verdict(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> str:
    """The model with the lowest rBridge on each benchmark, or the rBridge of the only model.

    Of texts beside models the same is said by the unigram NLL.
    """
    sentences = []
    for columns in (_OF_MODELS, _OF_TEXTS):
        places = [n for n in range(len(models)) if _column(scores[0], n, columns) is not None]
        if len(places) == 1:
            alone = ", ".join(_alone(each, places[0], columns) for each in scores)
            sentences.append(f"{one_line(models[places[0]])}: {alone}.")
        elif places:
            compared = "; ".join(_compared(models, each, places, columns) for each in scores)
            sentences.append(f"{compared}.")
    return " ".join(sentences)


def _column(scores: BenchmarkScores, place: int, columns: Sequence[str]) -> str | None:
    """The first of the columns that the table at `place` has."""
    return next((name for name in columns if name in scores.tables[place]), None)


def _alone(scores: BenchmarkScores, place: int, columns: Sequence[str]) -> str:
    column = _column(scores, place, columns) or columns[0]
    values = scores.tables[place].get(column)
    mean = None if values is None else mean_of(values)
    where = one_line(scores.evaluation.benchmark.id)
    if mean is None:
        return f"no {_NAMES[column]} on {where}"
    return f"{_NAMES[column]} {number(mean[0], 3)} ± {number(mean[1], 3)} nats per token on {where}"


def _compared(
    models: Sequence[str],
    scores: BenchmarkScores,
    places: Sequence[int],
    columns: Sequence[str],
) -> str:
    where = one_line(scores.evaluation.benchmark.id)
    column = _column(scores, places[0], columns) or columns[0]
    name = _NAMES[column]
    tables = {n: scores.tables[n] for n in places if column in scores.tables[n]}
    means = {n: mean[0] for n, table in tables.items() if (mean := mean_of(table[column]))}
    if len(means) < 2:
        return f"no two models have a value of {name} on {where}"
    best, second = sorted(means, key=lambda n: means[n])[:2]
    lead = mean_of(tables[second][column] - tables[best][column])
    assert lead is not None, "both have means, over the same items"
    return (
        f"{one_line(models[best])} has the lowest {name} on {where}, {number(means[best], 3)} nats"
        f" per token, {number(lead[0], 3)} ± {number(lead[1], 3)} below {one_line(models[second])}"
    )
