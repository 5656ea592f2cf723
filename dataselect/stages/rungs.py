"""The stages after the first, each with the survivors of the one before, until one is clear enough.

With `stop_when` in the plan, the stages that are left are not trained once the first candidate is
the best of all with the wanted probability. That is its probability to be the best of its stage,
times that of each earlier cut to have kept the best: what an earlier cut may have lost counts
against it. A later stage says nothing more of the candidates that it does not have, so nothing is
taken back.
"""

import math
from dataclasses import replace

from dataselect.config.stage import Predict
from dataselect.decisions.uncertainty import best_probabilities
from dataselect.stages.experiment import Experiment
from dataselect.stages.planned_trainings import trainings_after
from dataselect.stages.predict import predict
from dataselect.stages.proxy_origins import stages
from dataselect.stages.results import EarlyStop, FailedStage, StageResults
from dataselect.stages.screen import screen
from dataselect.stages.stage import NothingScoredError


def climb(experiment: Experiment, found: StageResults) -> StageResults:
    """The results of all stages that run, from those so far.

    A stage without a scored candidate is the last: the ranking of the one before it stands.
    """
    for stage, chosen in stages(experiment.plan).items():
        if stage in found.by_stage:
            continue
        stopped = _early_stop(experiment, found)
        if stopped is not None:
            return replace(found, stopped=stopped)
        before = found.screenings
        try:
            if isinstance(chosen, Predict):
                found = replace(found, prediction=predict(experiment, chosen, before))
            else:
                screening = screen(experiment, stage, chosen, found.survivors, before)
                found = replace(found, between=(*found.between, screening))
        except NothingScoredError as error:
            experiment.watch.note(f"{error}; the ranking of {before[-1].scores.stage.label} stands")
            return replace(found, failed=FailedStage(stage, error.candidates))
    return found


def _early_stop(experiment: Experiment, found: StageResults) -> EarlyStop | None:
    """Why the remaining stages are left out; None if they are not."""
    plan, last = experiment.plan, found.screenings[-1]
    if plan.stop_when is None:
        return None
    first = str(last.ranking.table.index[0])
    of_stage = best_probabilities(last.ranking, last.uncertainty, plan.seed)
    kept = math.prod(cut.p_kept for cut in found.cuts(plan.seed))
    p_best = kept * of_stage[first]
    if p_best < plan.stop_when.p_best:
        return None
    left_out = trainings_after(
        experiment.manifest,
        plan,
        experiment.recipes,
        last.scores.stage,
        len(last.survivors),
    )
    return EarlyStop(
        after=last.scores.stage,
        first=first,
        p_best=p_best,
        wanted=plan.stop_when.p_best,
        left_out=tuple(left_out),
        flops_saved=sum(each.cost.flops for each in left_out.values()),
    )
