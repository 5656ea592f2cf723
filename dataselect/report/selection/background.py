"""The README's sections on cost and provenance."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dataselect.compute.machine import NO_TORCH
from dataselect.cost import formula
from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.selection.stages import title
from dataselect.units import format_count, format_flops, format_seconds


def cost_lines(cost: dict[str, Any], counted: Mapping[str, Any] | None = None) -> list[str]:
    """Paragraphs on the cost as counted in FLOPs and as spent; `counted` is the part on Stage 0."""
    flops, counts = cost["flops"], cost["counts"]
    search = flops["total"] - flops["target"]
    naive = f"{counts['candidates']} × {format_flops(counts['target'])}"
    lines = [
        f"{_formula(counts, counted is not None)} = {format_flops(flops['total'])}, "
        f"against N·Ct = {naive} = {format_flops(flops['naive'])} for training every candidate "
        f"at target size: {numbers.factor(cost['saving_factor'])} less. The search alone costs "
        f"{numbers.share_of(search, flops['target'])} of one target run. FLOPs are counted, 6ND "
        "for training and 2ND for scoring.",
        *_by_counting(counted),
        *_elsewhere(flops.get("elsewhere")),
        *_mixture(flops),
        "Spent on this run, earlier attempts included:",
    ]
    head = ["", "jobs", "failed", "attempts", "wall", "CPU", "GPU", "FLOPs kept", "FLOPs failed"]
    parts = [stage for stage in cost["spent"] if stage != "all"]
    all_stages = "both" if len(parts) == 2 and "mixture" not in parts else "all"
    rows = [
        [
            all_stages if stage == "all" else title(stage),
            *(str(spent[key]) for key in ("jobs", "failed_jobs", "attempts")),
            *(format_seconds(spent[f"{kind}_seconds"]) for kind in ("wall", "cpu", "gpu")),
            *(format_flops(spent[key]) for key in ("flops", "failed_flops")),
        ]
        for stage, spent in cost["spent"].items()
        if stage != "all" or len(parts) > 1
    ]
    return [
        *lines,
        table(head, rows, " rrrrrrrr"),
        f"Seconds are summed over jobs, also over parallel ones; this call took "
        f"{format_seconds(cost['seconds']['this_run'])}.",
    ]


def _formula(counts: Mapping[str, Any], counted: bool) -> str:
    """The cost of the stages and a target run, in letters and in numbers."""
    stages = list(counts["stages"].values())
    terms = [f"{each['candidates']} × {format_flops(each['each'])}" for each in stages]
    return (
        f"{formula(len(stages), counted)} = {' + '.join([*terms, format_flops(counts['target'])])}"
    )


def _by_counting(counted: Mapping[str, Any] | None) -> list[str]:
    if counted is None:
        return []
    candidates = len(counted["tokens"])
    return [
        f"Counting the words of {candidates} candidates in Stage 0 took "
        f"{format_seconds(counted['cpu_seconds'])} of CPU and no training; it is not in the table "
        "below."
    ]


def _elsewhere(flops: float | None) -> list[str]:
    if not flops:
        return []
    return [
        f"Of this, {format_flops(flops)} went into proxies given as checkpoints (6ND, where "
        "their tokens are known): spent elsewhere, and not in the table below."
    ]


def _mixture(flops: dict[str, Any]) -> list[str]:
    if not flops.get("mixture"):
        return []
    return [
        f"The search for a mixture took another {format_flops(flops['mixture'])}, "
        f"{numbers.share_of(flops['mixture'], flops['target'])} of one target run. Proxies that it "
        "shares with Stage 1 count in both, but once in the table below."
    ]


def provenance_lines(document: Mapping[str, Any]) -> list[str]:
    """Paragraphs on versions, machine, recipes, benchmarks, traces and corpora."""
    made = document["provenance"]
    hardware = made["hardware"]
    versions = ", ".join(f"{name} {v}" for name, v in made["versions"].items() if v is not None)
    seeds = ", ".join(f"{title(name)} {seed}" for name, seed in made["seeds"].items())
    lines = [
        f"Versions: {escape(versions)}",
        f"Machine: {escape(hardware['processor'])}, {hardware['cores']} cores, {made['device']}",
        *_machines(made.get("machines", {})),
        f"Plan: {code(made['plan'])}; seeds: {seeds}; {made['bootstrap_draws']:,} bootstrap draws",
    ]
    if made["tokenizer"] is not None:
        entries, digest = made["tokenizer"]["vocab_size"], made["tokenizer"]["hash"]
        lines.append(f"Tokenizer: {entries:,} entries, {_short(digest)}")
    for stage, recipe in made["recipes"].items():
        lines.append(
            f"{title(stage)} proxy: {format_count(recipe['parameters'])} parameters, "
            f"{format_count(recipe['tokens'])} tokens in {recipe['steps']:,} steps of "
            f"{recipe['batch_size']} × {recipe['sequence_length']}, {recipe['precision']}"
        )
    for stage, proxies in made["proxies"].items():
        for name, proxy in proxies.items():
            if proxy["origin"] != "trained here":
                lines.append(f"{title(stage)} proxy of {code(name)}: {_proxy(proxy)}")
    for name, each in made["benchmarks"].items():
        traces = " and ".join(
            f"{one['count']} traces of {escape(one['model'])}, {_short(one['hash'])}"
            for one in each["traces"]
        )
        scaled = "" if each["weights"] == "trace" else f"; weights scaled: {each['weights']}"
        lines.append(
            f"Benchmark {code(name)}: {each['items']} items, {_short(each['hash'])}; {traces}"
            f"{scaled}{_left_out(document['exclusions'].get(name, []))}"
        )
    rows = [
        [
            code(name),
            format_count(each["tokens"]),
            format_count(each["documents"] or 0),
            *(f"{(each['rows'] or {}).get(kind, 0):,}" for kind in ("bad", "empty", "non_text")),
            _short(made["streams"][name]),
        ]
        for name, each in document["corpus"].items()
    ]
    head = ["source", "tokens", "documents", "bad rows", "empty", "not text", "stream"]
    return ["\n".join(f"- {line}" for line in lines), table(head, rows, " rrrrr ")]


def _proxy(proxy: dict[str, Any]) -> str:
    """A proxy that was not trained here: its origin, size, tokens and scored checkpoints."""
    tokens = "an unknown number of" if proxy["tokens"] is None else format_count(proxy["tokens"])
    named = ", ".join(code(each["label"]) for each in proxy["checkpoints"])
    origin = {"command": "trained by a command", "checkpoints": "given"}[proxy["origin"]]
    return f"{origin}, {format_count(proxy['parameters'])} parameters, {tokens} tokens, {named}"


def _machines(stages: Mapping[str, Any]) -> list[str]:
    """What computed each stage's proxies and scores, a line for each kind of machine."""
    lines: dict[str, list[str]] = {}
    for stage, done in stages.items():
        for did, kinds in done.items():
            for each in kinds:
                told = escape(" and then ".join(map(_machine, each["machines"])))
                of = f" ({len(each['of'])} of them)" if len(kinds) > 1 else ""
                lines.setdefault(told, []).append(f"{title(stage)} {did}{of}")
    return [f"{', '.join(what)}: {told}" for told, what in lines.items()]


def _machine(record: Mapping[str, str]) -> str:
    alone = record["torch"] == NO_TORCH
    torch = "without torch," if alone else f"torch {record['torch']} by"
    told = [
        f"{record['device']} {record['architecture']}",
        f"{torch} {record['instructions']}",
        f"{record['libraries']} {'for' if alone else 'by'} {record['processor']}",
        record["settings"],
        record["grouping"],
    ]
    return ", ".join(filter(None, told))


def _short(digest: str) -> str:
    return code(digest[:12])


def _left_out(exclusions: list[dict[str, Any]]) -> str:
    if not exclusions:
        return ""
    reasons = Counter(each["reason"] for each in exclusions)
    listed = "; ".join(f"{count} × {escape(reason)}" for reason, count in reasons.most_common(5))
    return f"; {len({each['item'] for each in exclusions})} items left out ({listed})"
