"""`dataselect plan`: what a run would train and what it would cost."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from dataselect.compute.cores import available_cores
from dataselect.compute.engines import LOCAL
from dataselect.config.manifest import Manifest
from dataselect.config.mixture import Mix
from dataselect.config.plan import Plan
from dataselect.corpus.prepare import tokens_needed
from dataselect.cost import PlannedCost, formula, training_flops
from dataselect.mixture_search.prepare import search_proxy
from dataselect.pipeline import check
from dataselect.proxies.recipe import make_recipe
from dataselect.report import numbers
from dataselect.stages.engine import job_device
from dataselect.stages.planned_trainings import Trainings, planned_trainings, planned_vocabulary
from dataselect.stages.prepare import make_recipes
from dataselect.stages.proxy_origins import (
    StageName,
    counted,
    needs_tokenizer,
    step_title,
    text_budgets,
)
from dataselect.store import Store, open_store
from dataselect.units import format_count, format_flops, format_seconds


def print_plan(manifest: Manifest, plan: Plan, store: str | Path, console: Console) -> None:
    """Print runs, tokens, FLOPs and, if this store has recorded trainings, an estimate of the time.

    Raises InputError if manifest and plan do not fit together.
    """
    check(manifest, plan)
    device = job_device(plan, required=False)
    recipes = {}
    if needs_tokenizer(manifest, plan):
        recipes = make_recipes(plan, planned_vocabulary(plan), device)
    trainings = planned_trainings(manifest, plan, recipes)
    target_tokens = manifest.target.total_tokens
    cost = PlannedCost(
        candidates=len(manifest.candidates),
        stages=tuple(each.cost for each in trainings.values()),
        target=training_flops(manifest.target.size, target_tokens),
    )
    where = device if plan.compute.on == LOCAL else f"{plan.compute.on}, {device}"
    console.print(f"{manifest.name}, plan {plan.name}, on {where}", style="bold", markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("", "runs", "N", "D", "FLOPs each", "FLOPs", "each of target"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    rows = [
        (step_title(plan, stage), each.runs, each.parameters, each.tokens)
        for stage, each in trainings.items()
        if each.runs
    ]
    search_flops = 0.0
    if plan.mix is not None:
        runs, parameters, tokens = _search(plan, plan.mix, device)
        search_flops = runs * training_flops(parameters, tokens)
        rows.append(("Mixture: mix", runs, parameters, tokens))
    rows.append(("Target", 1, manifest.target.size, target_tokens))
    for name, runs, parameters, tokens in rows:
        each = training_flops(parameters, tokens)
        table.add_row(
            name,
            str(runs),
            format_count(parameters),
            format_count(tokens),
            format_flops(each).removesuffix(" FLOPs"),
            format_flops(runs * each).removesuffix(" FLOPs"),
            _share(each, cost.target),
        )
    console.print(table)
    letters = formula(len(cost.stages), plan.screen0 is not None)
    lines = [
        "",
        *_counting(manifest, plan, trainings[StageName.SCREEN]),
        *(line for stage, each in trainings.items() for line in _elsewhere(stage, each)),
        f"{letters} = {format_flops(cost.total)}; every candidate at target size, N·Ct = "
        f"{format_flops(cost.naive)}: {cost.saving_factor:.1f} times as much",
        "to tokenise: "
        + (
            ", ".join(
                f"{name} {format_count(count)}"
                for name, count in sorted(
                    tokens_needed(manifest, text_budgets(manifest, plan, recipes)).items()
                )
            )
            or "nothing"
        ),
        _time(cost.search + search_flops, open_store(store)),
        "N parameters, D tokens, FLOPs = 6ND; scoring (2ND, small) and tokenising not counted",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _share(flops: float, target: float) -> str:
    """FLOPs as a part of a target run; more than three digits of it mean nothing."""
    if flops >= target:
        return "1"
    parts = target / flops
    return "< 1/1,000,000" if parts > 1e6 else f"1/{numbers.significant(parts)}"


def _search(plan: Plan, mix: Mix, device: str) -> tuple[int, int, int]:
    """Number of proxy runs of the mixture search with its confirmation, and their N and D."""
    proxy, where = search_proxy(plan, mix)
    recipe = make_recipe(proxy, planned_vocabulary(plan), device, where)
    return mix.trials + 2 * mix.confirm, recipe.parameters, recipe.tokens


def _counting(manifest: Manifest, plan: Plan, first: Trainings) -> list[str]:
    """A line on Stage 0, which trains nothing."""
    if plan.screen0 is None:
        return []
    known = len(counted(manifest, plan))
    return [
        f"Stage 0: words of {known} candidates are counted, about a CPU minute for a billion "
        f"tokens; at most {first.candidates} of {len(manifest.candidates)} go on to Stage 1"
    ]


def _elsewhere(stage: StageName, trainings: Trainings) -> list[str]:
    parts = []
    if trainings.given:
        parts.append(f"{trainings.given} given as checkpoints")
    if trainings.commanded:
        parts.append(f"{trainings.commanded} trained by a command")
    if not parts:
        return []
    return [f"{stage.label}: proxies of {' and '.join(parts)}, whose cost is not counted here"]


def _time(flops: float, store: Store) -> str:
    """An estimate of the time from the trainings recorded in this store; unknown without any."""
    records = [r for r in store.ledger() if r.get("kind") == "proxy" and r.get("status") == "done"]
    seconds = sum(float(record.get("wall_seconds") or 0) for record in records)
    if not records or seconds <= 0:
        return "time: not known, this store has seen no training yet"
    rate = sum(float(record.get("flops") or 0) for record in records) / seconds
    jobs = available_cores()
    return (
        f"time: about {format_seconds(flops / rate / jobs)} at the {format_flops(rate)}/s that "
        f"{len(records)} earlier trainings in this store reached, with {jobs} in parallel"
    )
