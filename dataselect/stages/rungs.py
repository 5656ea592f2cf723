"""The stages after the first, each with the survivors of the one before."""

from dataclasses import replace

from dataselect.config.stage import Predict
from dataselect.stages.experiment import Experiment
from dataselect.stages.predict import predict
from dataselect.stages.proxy_origins import stages
from dataselect.stages.results import StageResults
from dataselect.stages.screen import screen


def climb(experiment: Experiment, found: StageResults) -> StageResults:
    """The results of all stages, from those so far.

    Raises IncompleteError when a stage has no scored candidate.
    """
    for stage, chosen in stages(experiment.plan).items():
        if stage in found.by_stage:
            continue
        before = found.screenings
        if isinstance(chosen, Predict):
            found = replace(found, prediction=predict(experiment, chosen, before))
        else:
            screening = screen(experiment, stage, chosen, found.survivors, before)
            found = replace(found, between=(*found.between, screening))
    return found
