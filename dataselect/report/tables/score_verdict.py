"""The verdict of `dataselect score`: which model has the lowest rBridge, and by how much.

Two models are compared on the same items, so the standard error of their difference is that of the
paired differences.
"""

from collections.abc import Sequence

from dataselect.report.numbers import number
from dataselect.report.tables.score_frames import mean_of
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.wording import one_line

_RBRIDGE = ("rbridge", "rBridge")
_UNIGRAMS = ("ngram1_trace_nll", "unigram NLL of the traces")
"""Of texts that are scored by counting."""


def score_verdict(models: Sequence[str], scores: Sequence[BenchmarkScores]) -> str:
    """The model with the lowest rBridge on each benchmark, or the rBridge of the only model.

    Of texts beside models the same is said by the unigram NLL.
    """
    sentences = []
    for metric in (_RBRIDGE, _UNIGRAMS):
        places = [n for n in range(len(models)) if metric[0] in scores[0].tables[n]]
        if len(places) == 1:
            alone = ", ".join(_alone(each, places[0], metric) for each in scores)
            sentences.append(f"{one_line(models[places[0]])}: {alone}.")
        elif places:
            compared = "; ".join(_compared(models, each, places, metric) for each in scores)
            sentences.append(f"{compared}.")
    return " ".join(sentences)


def _alone(scores: BenchmarkScores, place: int, metric: tuple[str, str]) -> str:
    column, name = metric
    mean = mean_of(scores.tables[place][column])
    where = one_line(scores.evaluation.benchmark.id)
    if mean is None:
        return f"no {name} on {where}"
    return f"{name} {number(mean[0], 3)} ± {number(mean[1], 3)} nats per token on {where}"


def _compared(
    models: Sequence[str],
    scores: BenchmarkScores,
    places: Sequence[int],
    metric: tuple[str, str],
) -> str:
    column, name = metric
    where = one_line(scores.evaluation.benchmark.id)
    columns = {n: scores.tables[n][column] for n in places}
    means = {n: mean[0] for n, values in columns.items() if (mean := mean_of(values))}
    if len(means) < 2:
        return f"no two models have an {name} on {where}"
    best, second = sorted(means, key=lambda n: means[n])[:2]
    lead = mean_of(columns[second] - columns[best])
    assert lead is not None, "both have means, over the same items"
    return (
        f"{one_line(models[best])} has the lowest {name} on {where}, {number(means[best], 3)} nats"
        f" per token, {number(lead[0], 3)} ± {number(lead[1], 3)} below {one_line(models[second])}"
    )
