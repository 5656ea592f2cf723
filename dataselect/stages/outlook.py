"""All the training that a run has before it, told to whoever watches once the recipes are known."""

from contextlib import suppress

from dataselect.config.stage import Cut
from dataselect.cost import training_flops
from dataselect.stages.engine import job_resources, side_by_side
from dataselect.stages.experiment import Experiment
from dataselect.stages.planned_trainings import planned_trainings
from dataselect.stages.proxy_origins import stages, step_title
from dataselect.stages.work import ExpectedPart, Outlook


def outlook(experiment: Experiment, more: tuple[ExpectedPart, ...] = ()) -> Outlook:
    """The parts of the plan that train proxies here, and `more` that follow them."""
    manifest, plan = experiment.manifest, experiment.plan
    trainings = planned_trainings(manifest, plan, experiment.recipes)
    engine, chosen = experiment.runtime.compute, stages(plan)
    parts = []
    for stage, each in trainings.items():
        needs = chosen[stage].resources, chosen[stage].processes
        # How much a user's command computes is not known.
        flops = None if each.commanded else training_flops(each.parameters, each.tokens)
        slots = side_by_side(engine, job_resources(plan.compute, *needs, engine))
        title = step_title(plan, stage)
        parts.append(ExpectedPart(title, each.runs + each.commanded, flops, slots=slots))
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
