"""The stages' rankings repeated without the items that were found in a candidate's text."""

from dataselect.leaks.alarm import CleanRanking, rank_clean
from dataselect.stages.experiment import Experiment
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.results import StageResults


def rank_without_leaks(
    experiment: Experiment, found: StageResults
) -> dict[StageName, CleanRanking]:
    """The ranking of each stage without its leaked items; only stages that have some."""
    if experiment.leaks is None:
        return {}
    rankings = {
        name: rank_clean(
            experiment.leaks, stage.scores.table("rbridge"), stage.ranking, experiment.bootstrap
        )
        for name, stage in found.by_stage.items()
    }
    return {name: clean for name, clean in rankings.items() if clean is not None}
