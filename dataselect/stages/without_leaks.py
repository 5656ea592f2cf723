"""The stages' rankings a second time, on the items that no candidate's text holds."""

from dataselect.leaks.alarm import CleanRanking, rank_clean
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.screen import Screening


def rank_without_leaks(
    experiment: Experiment, screening: Screening, prediction: Prediction | None
) -> dict[StageName, CleanRanking]:
    """Rankings without leaked items, of the stages where there are any."""
    if experiment.leaks is None:
        return {}
    ranked: dict[StageName, Screening | Prediction] = {StageName.SCREEN: screening}
    if prediction is not None:
        ranked[StageName.PREDICT] = prediction
    again = {
        name: rank_clean(
            experiment.leaks, each.scores.table("rbridge"), each.ranking, experiment.bootstrap
        )
        for name, each in ranked.items()
    }
    return {name: clean for name, clean in again.items() if clean is not None}
