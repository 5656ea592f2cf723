"""The result of a search for shares: the folder `mixture/` of a report, and tables for people.

`proposal.json` has all that was found, and `README.md` is the page for people, with pictures. What
it took, in seconds and in trials that were done again, is in `spent.json` alone: all other files
have the same bytes whatever interrupted the search. `dataselect mix` reads `model.json`,
`ratios.csv`, `metrics.csv` and `epochs.csv`, so that another objective or other constraints need no
new trial. The rest are shares for trainers.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from dataselect._version import __version__
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.cost import training_flops
from dataselect.mixture.exports import export_all, notes_on_texts, texts_of
from dataselect.mixture.model_file import Provenance, to_json
from dataselect.mixture_search.search import Found
from dataselect.report import numbers
from dataselect.report.console import say, value_text
from dataselect.report.mixture.accuracy import (
    accuracy_document,
    accuracy_notes,
    gain_document,
    print_accuracy,
)
from dataselect.report.mixture.proposal import print_proposal, proposal_document
from dataselect.report.mixture.readme import mixture_readme
from dataselect.report.output import ELSEWHERE
from dataselect.report.pictures import missing_pictures
from dataselect.store.files import write_atomic, writing
from dataselect.units import format_flops, format_seconds

Array = NDArray[np.float64]

_UNITS = {True: "standard deviations", False: "nats per token"}


def search_document(found: Found, manifest: Manifest, plan: Plan, command: str) -> dict[str, Any]:
    """The content of proposal.json; `command` is the one that repeats the search."""
    limits, model = found.limits, found.model
    facts = {
        "model": "model.json",
        "constraints": None if plan.mix is None else plan.mix.constraints,
        "confidence": plan.confidence,
        "seed": found.settings.seed,
        "command": command,
        "objective_unit": _UNITS[found.settings.standardise],
        "search": _search(found, manifest),
        "confirmed": _confirmed(found),
        "accuracy": accuracy_document(found),
    }
    document = proposal_document(
        model, limits, found.proposal, found.trade_offs, found.rankings, found.grid, facts
    )
    if found.settings.target is not None:
        for shown, each in zip(document["trade_offs"], found.trade_offs, strict=True):
            shown["accuracy"] = float(found.settings.target.of(each.metrics))
    document["notes"] += [*accuracy_notes(document["accuracy"]), *found.notes]
    return document


def spent_document(found: Found) -> dict[str, Any]:
    """The content of spent.json: what the search took, which is another each time."""
    return {
        "failed": found.failed,
        "trial_seconds": found.trial_seconds,
        "spent_in_this_store": asdict(found.spent),
    }


def write_search(
    found: Found, manifest: Manifest, plan: Plan, out: Path, command: str
) -> dict[str, Any]:
    """Write the folder, created if absent; returns the content of proposal.json."""
    limits, model, seed = found.limits, found.model, found.settings.seed
    sources = texts_of(model.swarm.sources, found.proposal.shares, limits)
    texts, notes = export_all(sources, limits.target_tokens, seed)
    document = search_document(found, manifest, plan, command)
    document["notes"] += [*notes, *notes_on_texts(sources, limits.target_tokens, limits)]
    provenance = Provenance(command=command, version=__version__, files={})
    swarm = model.swarm
    texts |= {
        "model.json": to_json(model, provenance),
        "ratios.csv": _table(swarm.runs, swarm.sources, swarm.shares),
        "metrics.csv": _table(swarm.runs, swarm.metrics, swarm.values),
        "proposal.json": json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "spent.json": json.dumps(spent_document(found), indent=2, allow_nan=False) + "\n",
        **missing_pictures(document, swarm.shares, out),
    }
    rates = found.settings.rates
    if rates is not None:
        texts["epochs.csv"] = _table(swarm.runs, swarm.sources, swarm.shares * np.array(rates))
    texts["README.md"] = mixture_readme(document, texts)
    with writing(out, ELSEWHERE):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(out / name, text.encode())
    return document


def print_search(document: Mapping[str, Any], spent: Mapping[str, Any], console: Console) -> None:
    """Print the proposal, its measured gain, and what the search cost (`spent_document`)."""
    if document["accuracy"] is not None:
        print_accuracy(document["accuracy"], console)
    print_proposal(document, console)
    search, confirmed = document["search"], document["confirmed"]
    if confirmed is not None:
        gain = confirmed["objective"]
        predicted = document["beside"]["prior"]["gain"]
        say(
            console,
            f"measured gain over the prior: {value_text(gain)} ({predicted:.4g} predicted), "
            f"{confirmed['seeds']} fresh seeds of each",
        )
        accuracy = confirmed["accuracy"]
        if accuracy is not None:
            gained = numbers.points(accuracy["value"])
            if accuracy["low"] is not None:
                ends = (numbers.points(accuracy[key]) for key in ("low", "high"))
                gained += f" {numbers.interval(*ends)}"
            predicted = numbers.points(document["accuracy"]["beside"]["prior"]["gain"])
            say(
                console,
                f"that is {gained} points of accuracy by the transfer functions ({predicted} "
                "predicted)",
            )
        if gain["low"] is None or gain["low"] <= 0:
            say(console, "note: what was measured does not show that the proposal is better")
    again = f", {spent['failed']} done again" if spent["failed"] else ""
    diverged = f", {search['diverged']} diverged" if search["diverged"] else ""
    unit = "divided by its spread over the trials" if search["standardised"] else "in nats a token"
    say(console, f"Objective: the mean of each benchmark's rBridge, {unit}.")
    say(
        console,
        f"{search['trials']} trials{diverged}{again}, and those that confirm: "
        f"{format_flops(search['flops'])}, {search['share_of_target']:.2g} of the target's "
        f"training; {format_seconds(spent['spent_in_this_store']['wall_seconds'])} of work in "
        "this store",
    )


def _search(found: Found, manifest: Manifest) -> dict[str, Any]:
    settings = found.settings
    target = training_flops(manifest.target.size, manifest.target.total_tokens)
    return {
        "study": found.study,
        "trials": found.trials,
        "designed": settings.designed,
        "replicates_of_prior": settings.replicates,
        "together": settings.together,
        "sampler": settings.sampler,
        "standardised": settings.standardise,
        "maximises": "rbridge" if settings.target is None else "accuracy",
        "diverged": found.diverged,
        "unscored": {str(number): why for number, why in found.unscored.items()},
        "flops": found.flops,
        "share_of_target": found.flops / target,
        "steps": [asdict(entry) for entry in found.history],
    }


def _confirmed(found: Found) -> dict[str, Any] | None:
    measured = found.measured
    if measured is None:
        return None
    return {
        "seeds": measured.seeds,
        "over": "prior",
        "objective": _gain(measured.objective, measured.objective_half),
        "accuracy": None if measured.accuracy is None else gain_document(measured.accuracy),
        "benchmarks": {
            name: _gain(float(value), float(half))
            for name, value, half in zip(
                found.settings.benchmarks, measured.metrics, measured.metrics_half, strict=True
            )
        },
    }


def _gain(value: float, half: float) -> dict[str, float | None]:
    """A gain with its interval; None for the ends where a single pair gives none."""
    if not np.isfinite(half):
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def _table(runs: tuple[str, ...], columns: tuple[str, ...], values: Array) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["run", *columns])
    rows.writerows([run, *map(repr, row)] for run, row in zip(runs, values.tolist(), strict=True))
    return text.getvalue()
