"""A design of rungs as a JSON document and as terminal tables.

Regrets are in units of the targets' spread (their standard deviation), and in points of accuracy
where that is known. Costs are in FLOPs in the document, and in the budget's unit in the terminal.
"""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from dataselect.config.budget import Budget
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.decisions.design.rungs import Outcome
from dataselect.decisions.design.search import TOLERANCE
from dataselect.report import numbers
from dataselect.report.console import add_row, named_table, plain_table, say
from dataselect.report.designed_plan import transfer_is_dropped
from dataselect.stages.design import PUBLISHED_VOCABULARY, Designed, vocabulary_of
from dataselect.units import format_count

Document = dict[str, Any]
_LITTLE = 0.9
"""A part of the budget that counts as all of it."""


def design_document(manifest: Manifest, plan: Plan, budget: Budget, design: Designed) -> Document:
    """The whole result."""
    return {
        "manifest": manifest.name,
        "plan": plan.name,
        "plan_file": None,
        "candidates": design.candidates,
        "metric": design.metric,
        "budget": {
            "flops": budget.flops,
            "unit": budget.unit,
            "flops_per_unit": budget.flops_per_unit,
        },
        "target_flops": design.target_flops,
        "spread_points": design.spread,
        "spread_from": design.spread_from,
        "rests_on": design.model.source,
        "doubt": design.model.doubt,
        "proposal": _outcome(design, design.best),
        "frontier": [
            {"budget": flops, **_outcome(design, each)} for flops, each in design.at_budgets
        ],
        "others": [{"name": name, **_outcome(design, each)} for name, each in design.others],
        "notes": list(_notes(manifest, plan, budget, design)),
    }


def _outcome(design: Designed, outcome: Outcome | None) -> Document:
    if outcome is None:
        return {"flops": None, "regret": None, "regret_points": None, "p_best": None, "rungs": None}
    points = None if design.spread is None else design.spread * outcome.regret
    left, rungs = design.candidates, []
    for rung, flops, p in zip(outcome.rungs, outcome.costs, outcome.p_survives, strict=False):
        size = design.sizes[rung.size]
        rungs.append(
            {
                "proxy": size.name,
                "parameters": size.parameters,
                "tokens": size.tokens,
                "seeds": rung.seeds,
                "candidates": left,
                "keep": rung.keep,
                "flops": flops,
                "p_best_kept": p,
                "extrapolated": design.model.extrapolated[rung.size],
            }
        )
        left = rung.keep
    return {
        "flops": outcome.flops,
        "regret": outcome.regret,
        "regret_se": outcome.regret_se,
        "regret_points": points,
        "p_best": outcome.p_best,
        "rungs": rungs,
    }


def _notes(manifest: Manifest, plan: Plan, budget: Budget, design: Designed) -> Sequence[str]:
    best, used = design.best, [design.sizes[rung.size] for rung in design.best.rungs]
    notes = [f"it rests on {design.model.source}; other candidates may err otherwise"]
    if design.model.doubt:
        notes.append(
            f"the size of the errors is itself known to a factor of"
            f" {math.exp(design.model.doubt):.1f} either way, and regrets are means over that"
        )
    beyond: dict[str, list[str]] = {}
    for rung, each in zip(best.rungs, used, strict=True):
        why = design.model.extrapolated[rung.size]
        if why is not None and each.name not in beyond.setdefault(why, []):
            beyond[why].append(each.name)
    notes += [f"extrapolated for {', '.join(names)}: {why}" for why, names in beyond.items()]
    if best.flops < _LITTLE * budget.flops:
        notes.append(
            f"{budget.format(budget.flops - best.flops)} of the budget are left: no plan that is"
            f" known to us and costs more is better by more than {TOLERANCE:g} of the spread"
        )
    most = max(used, key=lambda each: each.tokens)
    notes.append(
        f"a proxy of {most.name} reads {format_count(most.tokens)} tokens of a candidate; with"
        f" the plan's max_repeats of {plan.max_repeats:g} its text must have"
        f" {format_count(most.tokens / plan.max_repeats)}, or the run stops before it trains"
    )
    if plan.tokenizer is not None and vocabulary_of(plan) is None:
        notes.append(f"parameters are those with a vocabulary of {PUBLISHED_VOCABULARY:,}")
    if given := [each.id for each in manifest.candidates if each.proxies is not None]:
        notes.append(
            f"{', '.join(given)}: proxies from elsewhere are priced as if they were trained here"
        )
    if transfer_is_dropped(plan, design):
        notes.append(
            "the plan's transfer function holds for another proxy than the last rung's, so the plan"
            " has none: calibrate one, or the finalists are ranked by score"
        )
    notes.append(
        "costs are of training (6ND) when no rung is left out; noise of items, which more items"
        " lower, is not part of the regret"
    )
    return notes


def design_verdict(document: Document) -> str:
    """What to train, what it costs, and what is to be expected of the choice, in one sentence."""
    best, random = document["proposal"], document["others"][-1]
    budget = _budget(document)
    steps = [
        f"{_proxy(rung)} for {'all ' if not place else ''}{rung['candidates']}"
        for place, rung in enumerate(best["rungs"])
    ]
    return (
        f"Train {', then '.join(steps)}: {budget.format(best['flops'])}"
        f" ({numbers.share_of(best['flops'], document['target_flops'])} of a target run)."
        f" Expected regret {_regret(best)}, and {_regret(random)} at random; the choice is the best"
        f" of the {document['candidates']} with probability {numbers.probability(best['p_best'])}."
    )


def print_design(document: Document, console: Console) -> None:
    """Print the document as tables."""
    budget = _budget(document)
    say(console, design_verdict(document))
    console.print()
    table = plain_table()
    for name in ("rung", "proxy", "tokens", "seeds", "candidates", budget.unit, "best still in"):
        table.add_column(name, justify="left" if name == "proxy" else "right", no_wrap=True)
    for place, rung in enumerate(document["proposal"]["rungs"], start=1):
        add_row(
            table,
            str(place),
            rung["proxy"],
            format_count(rung["tokens"]),
            str(rung["seeds"]),
            str(rung["candidates"]),
            _cost(budget, rung["flops"]),
            numbers.probability(rung["p_best_kept"]),
        )
    console.print(table)
    for caption, rows in (
        ("Other budgets", [(_cost(budget, row["budget"]), row) for row in document["frontier"]]),
        ("Other choices at this budget", [(row["name"], row) for row in document["others"]]),
    ):
        console.print()
        console.print(caption, markup=False, highlight=False)
        points = document["spread_points"] is not None
        first = f"budget, {budget.unit}" if rows[0][1] is document["frontier"][0] else "choice"
        columns = (first, "proxy ×seeds (candidates)", budget.unit)
        table = named_table(columns[0], *columns[1:], "regret", "P(best)", left=columns[1:2])
        table.columns[1].no_wrap, table.columns[1].overflow = False, "fold"
        for name, row in rows:
            regret = row["regret_points"] if points else row["regret"]
            add_row(
                table,
                name,
                rungs_text(row["rungs"]),
                "–" if row["flops"] is None else _cost(budget, row["flops"]),
                numbers.number(regret),
                numbers.probability(row["p_best"]),
            )
        console.print(table)
    console.print()
    unit = "points of accuracy" if points else "standard deviations of the targets' accuracy"
    say(
        console,
        f"regret: how far the chosen target is expected to be behind the best one, in {unit};"
        " P(best): that it is the best.",
    )
    for note in document["notes"]:
        say(console, f"note: {note}")


def rungs_text(rungs: Sequence[Document] | None) -> str:
    """Rungs on one line: "4M (12) → 20M ×3 (4)"; what is missing in words."""
    if rungs is None:
        return "not paid for"
    return " → ".join(f"{_proxy(rung)} ({rung['candidates']})" for rung in rungs) or "–"


def _proxy(rung: Document) -> str:
    return f"{rung['proxy']} ×{rung['seeds']}" if rung["seeds"] > 1 else str(rung["proxy"])


def _regret(outcome: Document) -> str:
    if outcome["regret_points"] is not None:
        return f"{outcome['regret_points']:.2f} points"
    return f"{outcome['regret']:.2f} of the targets' spread"


def _budget(document: Document) -> Budget:
    return Budget(**document["budget"])


def _cost(budget: Budget, flops: float) -> str:
    return budget.format(flops).removesuffix(f" {budget.unit}") if flops else "0"
