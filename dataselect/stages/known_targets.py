"""A run's choice and predictions, judged by the known accuracies of targets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dataselect.decisions.regret import KnownTruth, known_truth
from dataselect.stages.experiment import Experiment
from dataselect.stages.results import StageResults
from dataselect.stages.screen_by_counting import STAGE0, go_on
from dataselect.transfer.applies import fitted_on

if TYPE_CHECKING:
    import pandas as pd


def judge(
    experiment: Experiment,
    found: StageResults,
    truth: Mapping[str, Mapping[str, float]],
    by_metric: "Mapping[str, pd.Series]",
) -> KnownTruth | None:
    """What the choice cost, by accuracies of targets by candidate and benchmark.

    `by_metric`: scores by candidate, lower is better, each of a ranking that might have chosen.
    None if the target accuracy of no candidate is known.
    """
    screening, prediction = found.screening, found.prediction
    order = found.survivors if prediction is None else prediction.order
    overall = {} if prediction is None else prediction.overall
    functions = (
        {}
        if prediction is None or not overall
        else {name: prediction.functions[name] for name in prediction.counted}
    )
    proxies = {name: run.proxy for name, run in screening.scores.candidates.items()}
    tokens = {name: proxy.tokens for name, proxy in proxies.items() if proxy is not None}
    return known_truth(
        truth,
        [candidate.id for candidate in experiment.manifest.candidates],
        chosen=order[0] if order else None,
        survivors=found.survivors,
        cuts=_cuts(experiment, found),
        by_metric=by_metric,
        predicted={
            name: (each.predicted_accuracy, each.low, each.high) for name, each in overall.items()
        },
        constants={
            name: float(np.mean([accuracy for _, accuracy in function.points]))
            for name, function in functions.items()
        },
        fitted=fitted_on(functions, list(overall)),
        # Without all of them it is not known who has the most.
        tokens={name: count for name, count in tokens.items() if count is not None}
        if None not in tokens.values()
        else {},
    )


def _cuts(experiment: Experiment, found: StageResults) -> dict[str, Sequence[str]]:
    """Candidates that each stage kept, by stage, in their order."""
    kept: dict[str, Sequence[str]] = {}
    if found.stage0 is not None:
        kept[STAGE0] = go_on(experiment.manifest, found.stage0)
    return kept | {str(each.scores.stage): each.survivors for each in found.screenings}
