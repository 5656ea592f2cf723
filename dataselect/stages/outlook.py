"""All the training that a run has before it, told to whoever watches once the recipes are known."""

from contextlib import suppress

from dataselect.config.stage import Cut
from dataselect.cost import training_flops
from dataselect.stages.experiment import Experiment
from dataselect.stages.planned_trainings import planned_trainings
from dataselect.stages.proxy_origins import step_title
from dataselect.stages.work import ExpectedPart, Outlook


def outlook(experiment: Experiment, more: tuple[ExpectedPart, ...] = ()) -> Outlook:
    """The parts of the plan that train proxies here, and `more` that follow them."""
    manifest, plan = experiment.manifest, experiment.plan
    trainings = planned_trainings(manifest, plan, experiment.recipes)
    parts = [
        ExpectedPart(
            step_title(plan, stage),
            each.runs + each.commanded,
            # How much a user's command computes is not known.
            None if each.commanded else training_flops(each.parameters, each.tokens),
        )
        for stage, each in trainings.items()
    ]
    cuts = [each for each in (plan.screen0, *plan.stages) if isinstance(each, Cut)]
    open_ended = any(cut.min_probability is not None for cut in cuts)
    return Outlook(
        slots=experiment.runtime.compute.slots,
        parts=(*parts, *more),
        at_most=open_ended or plan.stop_when is not None,
        traces_usd=_traces_usd(experiment),
    )


def _traces_usd(experiment: Experiment) -> float | None:
    """What the traces cost, by the notes of the files that `traces build` wrote."""
    known = []
    for evaluation in experiment.evaluations.values():
        for traces in evaluation.traces:
            with suppress(KeyError, ValueError):
                known.append(float(traces.header.notes["usd"]))
    return sum(known) if known else None
