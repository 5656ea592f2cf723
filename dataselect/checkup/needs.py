"""What a manifest with its plan needs of the machine: disk, Hub, engine, device.

Not here: whether its files are right, which `dataselect validate` says. Not covered: what a
benchmark's own YAML file takes from the Hub.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.mask_subsets import MASK_DATASET
from dataselect.checkup.finding import Finding
from dataselect.compute.engines import LOCAL, check_engine
from dataselect.config.benchmark import MASK_PREFIX
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.corpus.files import origin
from dataselect.corpus.prepare import tokens_needed
from dataselect.errors import InputError
from dataselect.stages.planned_trainings import planned_trainings, planned_vocabulary
from dataselect.stages.prepare import make_recipes
from dataselect.stages.proxy_origins import needs_tokenizer, text_budgets
from dataselect.traces.released import RELEASED

_PART = "this run"
_BYTES_PER_PARAMETER = 4
_STATES = 3
"""A state of training holds parameters and two moments."""
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Needs:
    """What a run needs."""

    hub: tuple[str, ...]
    """What it takes from the Hub, as `datasets/ID` and `models/ID`."""
    bytes: int
    """What it adds to the store, about and at most; 0 if it is not known."""


def needs_of(manifest: Manifest, plan: Plan) -> Needs:
    """What a run of the manifest by the plan needs."""
    return Needs(tuple(dict.fromkeys(_from_hub(manifest, plan))), _bytes(manifest, plan))


def examine_needs(manifest: Manifest, plan: Plan, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Manifest, engine and device of a run. `facts` are of torch."""
    text = f"{manifest.name}: {len(manifest.candidates)} candidates, plan {plan.name}"
    yield Finding(_PART, "manifest", "ok", text)
    compute = plan.compute
    try:
        check_engine(compute.on, plan.where("compute", "on"))
    except InputError as error:
        yield Finding(_PART, "engine", "problem", error.problem, f"{error.where}: {error.fix}")
    sees = [each for each in facts.get("gpus", ()) if not each.get("error")]
    if compute.on != LOCAL:
        yield Finding(
            _PART, "device", "ok", f"jobs run on {compute.on}; its GPUs are not seen here"
        )
    elif compute.device == "cuda" and not sees:
        fix = f"write 'device: auto' in {plan.where('compute', 'device')}, or see GPUs above"
        yield Finding(_PART, "device", "problem", "the plan wants a GPU, and torch sees none", fix)
    else:
        device = "cpu" if compute.device == "cpu" or not sees else "cuda"
        yield Finding(_PART, "device", "ok", f"the plan says {compute.device}, which is {device}")


def _from_hub(manifest: Manifest, plan: Plan) -> Iterator[str]:
    for source in manifest.text_sources().values():
        with suppress(InputError):  # validate says it better
            if origin(source, manifest.base) == "hub":
                yield f"datasets/{source.path}"
    for chosen in plan.benchmarks:
        if chosen.folder is None and (known := KNOWN.get(chosen.id)) and known.items.hub:
            yield f"datasets/{known.items.hub.path}"
        if chosen.folder is None and chosen.id.startswith(MASK_PREFIX):
            yield f"datasets/{MASK_DATASET}"
        if chosen.weigh is not None and not (plan.base / chosen.weigh).exists():
            yield f"models/{chosen.weigh.partition('@')[0]}"
        elif not chosen.trace_files and chosen.weigh is None and chosen.id in KNOWN:
            yield f"datasets/{RELEASED}"
    tokenizer = plan.tokenizer
    path = None if tokenizer is None else tokenizer.path
    if path is not None and not (plan.base / path).is_dir():
        yield f"models/{path}"


def _bytes(manifest: Manifest, plan: Plan) -> int:
    """Checkpoints, one state of training for each proxy, and token streams."""
    try:
        if not needs_tokenizer(manifest, plan):
            return 0
        recipes = make_recipes(plan, planned_vocabulary(plan), "cpu")
        total = 0
        for stage, each in planned_trainings(manifest, plan, recipes).items():
            recipe = recipes.get(stage)
            if recipe is not None:
                copies = recipe.checkpoints + _STATES
                total += each.runs * each.parameters * _BYTES_PER_PARAMETER * copies
        streams = tokens_needed(manifest, text_budgets(manifest, plan, recipes))
        return total + _BYTES_PER_TOKEN * sum(streams.values())
    except InputError:
        return 0  # validate says why
