"""A fit and a proposal of `dataselect mix`: a document for programs, and tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from dataselect.mixture.constraints import Limits
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.pareto import TradeOff
from dataselect.mixture.propose import Beside, Proposal
from dataselect.mixture.response_map import ResponseMap
from dataselect.mixture.single_share import Rankings
from dataselect.report import numbers
from dataselect.report.console import add_row, named_table, say, value_text
from dataselect.report.mixture.verdict import ranking_words

_SHOWN_SHARE = 0.1


def print_fit(model: MixtureModel, rankings: Rankings, console: Console) -> None:
    """Print which surrogates predict each metric, and how well they predict held-out runs."""
    swarm, stack = model.swarm, model.stack
    better = "lower" if model.lower_is_better else "higher"
    say(
        console,
        f"{len(swarm.runs)} runs, {len(swarm.sources)} sources, {len(swarm.metrics)} metrics; "
        f"{better} is better; {len(stack.folds)} folds",
    )
    table = named_table("metric", "error", "of spread", "by", left=("by",), fold=True)
    single, averaged = model.errors
    spread = swarm.values.std(axis=0)
    for k, name in enumerate(swarm.metrics):
        order = np.argsort(-stack.stacking_weights[:, k])
        largest = [
            f"{list(stack.whole)[i]} {stack.stacking_weights[i, k]:.0%}"
            for i in order[:2]
            if stack.stacking_weights[i, k] >= _SHOWN_SHARE
        ]
        add_row(
            table,
            name,
            f"{averaged[k]:.3g}",
            f"{averaged[k] / spread[k]:.0%}",
            ", ".join(largest),
        )
    console.print(table)
    say(
        console,
        "Error: root mean square on held-out runs, in the metric's unit and as a share of its "
        "spread over runs (100% is no better than the mean of the runs). By: the largest shares in "
        "the average.",
    )
    typical = ", ".join(
        f"{name} {value:.0%}"
        for name, value in zip(
            stack.whole, np.median(single / spread, axis=1).tolist(), strict=True
        )
    )
    say(console, f"Each alone, of spread, median over metrics: {typical}.")
    say(console, ranking_words(_rankings(rankings, swarm.sources)))
    for note in swarm.notes:
        say(console, f"note: {note}")


def fit_verdict(model: MixtureModel, rankings: Rankings) -> str:
    """How well held-out runs are predicted, and ranked compared with the share of one source."""
    _, averaged = model.errors
    error = float(np.median(averaged / model.swarm.values.std(axis=0)))
    ours, single = rankings.model, rankings.single_share
    metrics = len(model.swarm.metrics)
    over = f", the median over {metrics} metrics," if metrics > 1 else ""
    return (
        f"Held-out runs are predicted with an error of {error:.0%} of their spread{over} and "
        f"ranked by the objective at Spearman "
        f"{numbers.with_interval(ours.value, (ours.low, ours.high))}; by the share of "
        f"{model.swarm.sources[rankings.source]} alone at {numbers.number(single.value)}."
    )


def proposal_document(
    model: MixtureModel,
    limits: Limits,
    found: Proposal,
    others: Sequence[TradeOff],
    rankings: Rankings,
    grid: ResponseMap | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole result, ready for JSON; what is not known is None."""
    names = model.swarm.sources
    sources = {}
    for i, name in enumerate(names):
        tokens = limits.tokens[i]
        epochs = None
        if limits.target_tokens is not None and np.isfinite(tokens):
            epochs = float(found.shares[i] * limits.target_tokens / tokens)
        upper = limits.feasible.upper[i]
        each = found.slices[i]
        sources[name] = {
            "weight": float(found.shares[i]),
            "low": float(found.low[i]),
            "high": float(found.high[i]),
            "near_equal_low": float(found.near_low[i]),
            "near_equal_high": float(found.near_high[i]),
            "prior": None if limits.prior is None else float(limits.prior[i]),
            "epochs": epochs,
            "cap": float(upper),
            "capped_by": (limits.caps[i] or None) if found.shares[i] > upper - 1e-6 else None,
            "beyond_runs": i in found.outside,
            "slice": {
                "weight": each.shares.tolist(),
                "objective": each.objective.tolist(),
                "low": (each.objective - each.half).tolist(),
                "high": (each.objective + each.half).tolist(),
            },
        }
    low, high = found.metrics - found.metrics_half, found.metrics + found.metrics_half
    return {
        **facts,
        "lower_is_better": model.lower_is_better,
        "sources": sources,
        "objective": _ends(found.objective, found.objective_half),
        "objective_weights": dict(
            zip(model.swarm.metrics, model.objective.weights.tolist(), strict=True)
        ),
        "metrics": {
            name: {"value": float(value), "low": float(a), "high": float(b)}
            for name, value, a, b in zip(model.swarm.metrics, found.metrics, low, high, strict=True)
        },
        "beside": {name: _beside(each, names) for name, each in found.beside.items()},
        "held_out": {
            "runs": list(model.swarm.runs),
            "observed": (model.sign * model.objective.of(model.costs)).tolist(),
            "predicted": (model.sign * model.objective.of(model.stack.honest)).tolist(),
            "rank_correlation": _rankings(rankings, names),
        },
        "map": None if grid is None else _map(grid),
        "near_equal_tolerance": found.tolerance,
        "kl_from_prior": found.divergence,
        "trade_offs": [_trade_off(each, names, model.swarm.metrics) for each in others],
        "notes": [*model.swarm.notes, *_warnings(names, found)],
    }


def _trade_off(each: TradeOff, names: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    ends = zip(metrics, each.metrics.tolist(), each.metrics_half.tolist(), strict=True)
    objective = _ends(each.objective, each.objective_half)
    return {
        "weights": dict(zip(names, each.shares.tolist(), strict=True)),
        "metrics": {name: _ends(value, half) for name, value, half in ends},
        "objective": objective["value"],
        "low": objective["low"],
        "high": objective["high"],
    }


def _rankings(found: Rankings, names: Sequence[str]) -> dict[str, Any]:
    return {
        "runs": found.runs,
        "model": asdict(found.model),
        "single_share": {
            "source": names[found.source],
            "more_is_better": found.more_is_better,
            **asdict(found.single_share),
        },
        "ahead": asdict(found.ahead),
    }


def _map(grid: ResponseMap) -> dict[str, Any]:
    return {
        "weights": grid.shares.round(6).tolist(),
        "objective": grid.objective.tolist(),
        "low": (grid.objective - grid.half).tolist(),
        "high": (grid.objective + grid.half).tolist(),
    }


def print_proposal(document: Mapping[str, Any], console: Console) -> None:
    """Print shares with intervals, the mixtures compared with, and notes."""
    better = "lower" if document["lower_is_better"] else "higher"
    objective = document["objective"]
    say(
        console,
        f"predicted objective {value_text(objective)} ({better} is better, "
        f"{document['confidence']:.0%} interval)",
    )
    sources = document["sources"]
    known = any(each["epochs"] is not None for each in sources.values())
    prior = any(each["prior"] is not None for each in sources.values())
    table = named_table(
        "source",
        "weight",
        "interval",
        "near-equal",
        *(["prior"] if prior else []),
        *(["epochs"] if known else []),
        "",
        left=("",),
        fold=True,
    )
    for name, each in sorted(sources.items(), key=lambda item: -item[1]["weight"]):
        cells = [f"{each['weight']:.3f}", f"{each['low']:.3f}–{each['high']:.3f}"]
        cells.append(f"{each['near_equal_low']:.3f}–{each['near_equal_high']:.3f}")
        if prior:
            cells.append(f"{each['prior']:.3f}")
        if known:
            cells.append("–" if each["epochs"] is None else f"{each['epochs']:.2f}")
        add_row(table, name, *cells, each["capped_by"] or "")
    console.print(table)
    beside = named_table("beside", "objective", "gain of the proposal", fold=True)
    for name, each in document["beside"].items():
        label = f"{name} ({each['which']})" if each["which"] else name
        gain = {"value": each["gain"], "low": each["gain_low"], "high": each["gain_high"]}
        add_row(beside, label, value_text(each), value_text(gain))
    console.print(beside)
    say(
        console,
        "Interval: where the optimum lies when runs are left out. Near-equal: how far a weight "
        "alone may move before the objective is worse by one held-out error "
        f"({document['near_equal_tolerance']:.2g}). Gain: above 0 the proposal is better.",
    )
    say(console, ranking_words(document["held_out"]["rank_correlation"]))
    for number, each in enumerate(document["trade_offs"], start=1):
        shares = ", ".join(
            f"{name} {share:.2f}" for name, share in each["weights"].items() if share >= 0.005
        )
        metrics = ", ".join(f"{name} {value_text(m)}" for name, m in each["metrics"].items())
        accuracy = f" (accuracy {numbers.percent(each['accuracy'])})" if "accuracy" in each else ""
        say(
            console,
            f"trade-off {number}: objective {each['objective']:.4g}{accuracy}; {metrics}: {shares}",
        )
    for note in document["notes"]:
        say(console, f"note: {note}")


def _warnings(names: Sequence[str], found: Proposal) -> list[str]:
    notes = []
    if found.outside:
        listed = ", ".join(names[i] for i in found.outside)
        notes.append(f"no run has as much of these as is proposed: {listed}; confirm it by a run")
    for name, each in found.beside.items():
        if name in ("prior", "best run") and each.gain - each.gain_half <= 0:
            notes.append(
                f"the gain over the {name} may be nothing: its interval reaches 0; confirm it by a "
                "run of each"
            )
    return notes


def _beside(each: Beside, names: Sequence[str]) -> dict[str, Any]:
    return {
        "which": each.label or None,
        **_ends(each.objective, each.half),
        "gain": each.gain,
        "gain_low": each.gain - each.gain_half,
        "gain_high": each.gain + each.gain_half,
        "weights": dict(zip(names, each.shares.tolist(), strict=True)),
    }


def _ends(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}
