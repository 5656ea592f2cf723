"""`dataselect plan`: what a run would train and cost, before anything is spent."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from dataselect.compute import resolve_device
from dataselect.compute.cores import available_cores
from dataselect.corpus.prepare import tokens_needed
from dataselect.cost import PlannedCost, training_flops
from dataselect.manifest import Manifest
from dataselect.pipeline import budgets, check, make_recipes
from dataselect.plan import Plan
from dataselect.store import Store
from dataselect.units import format_count, format_flops, format_seconds


def print_plan(manifest: Manifest, plan: Plan, store: Path, console: Console) -> None:
    """Print runs, tokens, FLOPs and, where this store has measured any training, the time.

    Raises InputError where manifest and plan do not fit together.
    """
    check(manifest, plan)
    device = resolve_device(plan.compute.device)
    recipes = make_recipes(plan, _vocabulary(plan), device)
    n, k = len(manifest.candidates), plan.screen.keep
    flops = {s: training_flops(r.parameters, r.tokens) for s, r in recipes.items()}
    target_tokens = manifest.target.total_tokens
    cost = PlannedCost(
        candidates=n,
        survivors=k if "stage2" in recipes else 0,
        proxy1=flops["stage1"],
        proxy2=flops.get("stage2", 0.0),
        target=training_flops(manifest.target.size, target_tokens),
    )
    console.print(f"{manifest.name}, plan {plan.name}, on {device}", style="bold", markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("", "runs", "N", "D", "FLOPs each", "FLOPs", "each of target"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    rows = [("Stage 1: screen", n, recipes["stage1"].parameters, recipes["stage1"].tokens)]
    if "stage2" in recipes:
        rows.append(("Stage 2: predict", k, recipes["stage2"].parameters, recipes["stage2"].tokens))
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
            f"1/{cost.target / each:,.0f}" if each < cost.target else "1",
        )
    console.print(table)
    lines = [
        "",
        f"N·C1 + k·C2 + Ct = {format_flops(cost.total)}; every candidate at target size, N·Ct = "
        f"{format_flops(cost.naive)}: {cost.saving_factor:.1f} times as much",
        "to tokenise: "
        + ", ".join(
            f"{name} {format_count(count)}"
            for name, count in sorted(tokens_needed(manifest, budgets(recipes)).items())
        ),
        _time(cost.stage1 + cost.stage2, Store(store)),
        "N parameters, D tokens, FLOPs = 6ND; scoring (2ND, small) and tokenising not counted",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _vocabulary(plan: Plan) -> int:
    if plan.tokenizer.train is not None:
        return plan.tokenizer.train.vocab_size
    from dataselect.corpus.tokenizer import load_tokenizer

    assert plan.tokenizer.path is not None, "the plan guarantees a path or training"
    local = plan.base / plan.tokenizer.path
    path = str(local) if local.is_dir() else plan.tokenizer.path
    return len(load_tokenizer(path, plan.tokenizer.revision))


def _time(flops: float, store: Store) -> str:
    """An estimate from the trainings that this store has seen; none is made up without them."""
    seen = [r for r in store.ledger() if r.get("kind") == "proxy" and r.get("status") == "done"]
    seconds = sum(float(record.get("wall_seconds") or 0) for record in seen)
    if not seen or seconds <= 0:
        return "time: not known, this store has seen no training yet"
    rate = sum(float(record.get("flops") or 0) for record in seen) / seconds
    jobs = available_cores()
    return (
        f"time: about {format_seconds(flops / rate / jobs)} at the {format_flops(rate)}/s that "
        f"{len(seen)} earlier trainings in this store reached, with {jobs} side by side"
    )
