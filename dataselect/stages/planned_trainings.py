"""What the stages of a plan would train, before anything is: at most, since cuts are not known."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.stage import Screen
from dataselect.cost import StageCost, training_flops
from dataselect.proxies.recipe import Recipe
from dataselect.stages.proxy_origins import (
    Command,
    Series,
    StageName,
    counted,
    origin_of,
    stages,
)


@dataclass(frozen=True)
class Trainings:
    """Proxies that a stage trains here, and numbers of candidates with proxies from elsewhere."""

    candidates: int
    """Most candidates that the stage can have."""
    runs: int
    """Trainings here, at most, over all candidates and seeds; a proxy that an earlier stage trained
    is used again."""
    parameters: int
    """Parameters of one proxy; 0 without a training here."""
    tokens: int
    """Training tokens of one proxy; 0 without a training here."""
    given: int
    """Candidates whose proxies are given as checkpoints."""
    commanded: int
    """Candidates whose proxies a command trains."""

    @property
    def cost(self) -> StageCost:
        """FLOPs of the trainings here, divided over the candidates."""
        flops = self.runs * training_flops(self.parameters, self.tokens)
        return StageCost(self.candidates, flops / self.candidates)


def planned_trainings(
    manifest: Manifest, plan: Plan, recipes: Mapping[StageName, Recipe]
) -> dict[StageName, Trainings]:
    """The trainings of each stage of the plan. Given and commanded are of all candidates."""
    most = most_after_counting(manifest, plan)
    return trainings_after(manifest, plan, recipes, StageName.at(0), most)


def most_after_counting(manifest: Manifest, plan: Plan) -> int:
    """Most candidates that Stage 1 can have: those that cannot be counted go on as well."""
    total = len(manifest.candidates)
    if plan.screen0 is None:
        return total
    known = len(counted(manifest, plan))
    return plan.screen0.most(known) + total - known


def trainings_after(
    manifest: Manifest,
    plan: Plan,
    recipes: Mapping[StageName, Recipe],
    last: StageName,
    survivors: int,
) -> dict[StageName, Trainings]:
    """The trainings of the stages after `last`, of which `survivors` candidates go on."""
    trainings = {}
    most = survivors
    for stage, chosen in stages(plan).items():
        if stage.number <= last.number:
            continue
        origins = [origin_of(manifest, plan, stage, each.id) for each in manifest.candidates]
        here = sum(origin is None for origin in origins)
        recipe = recipes.get(stage) if here else None
        trainings[stage] = Trainings(
            candidates=most,
            # Which candidates go on is not known: all of those trained here may.
            runs=min(here, most) * max(0, chosen.seeds - _trained_before(plan, stage)),
            parameters=recipe.parameters if recipe else 0,
            tokens=recipe.tokens if recipe else 0,
            given=sum(isinstance(origin, Series) for origin in origins),
            commanded=sum(isinstance(origin, Command) for origin in origins),
        )
        if isinstance(chosen, Screen):
            most = chosen.most(most)
    return trainings


def _trained_before(plan: Plan, stage: StageName) -> int:
    """Seeds of this stage's proxy that an earlier stage has trained."""
    chosen = stages(plan)[stage]
    earlier = [each for name, each in stages(plan).items() if name.number < stage.number]
    same = [each.seeds for each in earlier if each.proxy == chosen.proxy and each.train is None]
    return max(same, default=0)


def planned_vocabulary(plan: Plan) -> int:
    """Entries of the plan's tokenizer: those that it is to have where it is trained here."""
    assert plan.tokenizer is not None, "called only if the plan names a tokenizer"
    if plan.tokenizer.train is not None:
        return plan.tokenizer.train.vocab_size
    from dataselect.corpus.tokenizer import load_tokenizer

    assert plan.tokenizer.path is not None, "the plan guarantees a path or training"
    local = plan.base / plan.tokenizer.path
    path = str(local) if local.is_dir() else plan.tokenizer.path
    return len(load_tokenizer(path, plan.tokenizer.revision))
