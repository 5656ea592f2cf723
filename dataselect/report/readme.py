"""README.md of a report: for the people who decide, most important first.

Verdict, ranked candidates with their uncertainty, who beats whom, what is predicted for the
target, how well proxies agreed with the truth if any is known, what it cost, where the figures
come from, and how to run it again. It is a view of the document alone.
"""

from collections import Counter
from typing import Any

from dataselect.report import figures
from dataselect.report.markdown import code, escape, table
from dataselect.units import format_count, format_flops, format_seconds

_STAGES = {"stage1": "Stage 1", "stage2": "Stage 2", "all": "both"}


def readme(document: dict[str, Any], command: str) -> str:
    """Markdown text; `command` is what runs it again."""
    target = document["target"]
    parts = [
        f"# {code(document['run'])}",
        f"For a target of {format_count(target['parameters'])} parameters trained on "
        f"{format_count(target['tokens'])} tokens.",
        f"**{escape(document['verdict'])}**",
        *_incomplete(document),
        "## Ranking",
        *_ranking(document),
        *_wins(document),
        *_prediction(document),
        *_evidence(document["evidence"]),
        "## Cost",
        *_cost(document["cost"]),
        "## Provenance",
        *_provenance(document),
        *_notes(document),
        "## Run it again",
        f"    {figures.one_line(command)}",
        "What is in the store already is not computed again. Everything above is in "
        "`report.json`, one row per candidate in `ranking.csv`.",
    ]
    return "\n\n".join(parts) + "\n"


def _incomplete(document: dict[str, Any]) -> list[str]:
    if document["complete"]:
        return []
    return ["Some candidates failed; the same command tries them again."]


def _name(candidate: dict[str, Any]) -> str:
    name = code(candidate["id"])
    return name if candidate["title"] == candidate["id"] else f"{name} {escape(candidate['title'])}"


def _ranking(document: dict[str, Any]) -> list[str]:
    first, second = document["stages"]["stage1"], document["stages"]["stage2"]
    head = ["rank", "candidate", "status", "Stage 1 score", f"P(best {first['kept']})"]
    if second:
        predicted = any(
            c["stage2"] and c["stage2"]["predicted_accuracy"] is not None
            for c in document["candidates"]
        )
        head.append("predicted accuracy, %" if predicted else "Stage 2 score")
    rows = []
    for each in document["candidates"]:
        reason = f": {escape(each['reason'])}" if each["reason"] else ""
        row = [
            figures.number(each["rank"], 0),
            _name(each),
            f"{each['status']}{reason}",
            figures.score_text(each["stage1"]),
            figures.probability(each["stage1"] and each["stage1"]["p_top_k"]),
        ]
        if second:
            stage2 = each["stage2"]
            row.append(figures.accuracy_text(stage2) if predicted else _stage2_score(stage2))
        rows.append(row)
    share = f"{100 * first['confidence']:g}%"
    text = (
        f"Scores are {_aggregate(first['aggregate'])} of rBridge over the benchmarks; lower is "
        f"better. In brackets the {share} interval of a bootstrap over items, the same items for "
        "every candidate; it does not cover the training seed or the gap between proxy and target."
    )
    if second and predicted:
        text += " An asterisk marks a prediction beyond the range that was fitted."
    return [table(head, rows, "r  rrr"), text]


def _aggregate(method: str) -> str:
    return {"z_score": "mean z-scores", "mean_rank": "mean ranks"}.get(method, method)


def _stage2_score(stage2: dict[str, Any] | None) -> str:
    if stage2 is None:
        return "–"
    ends = figures.interval(
        figures.number(stage2["score_low"]), figures.number(stage2["score_high"])
    )
    return f"{figures.number(stage2['score'])} {ends}"


def _wins(document: dict[str, Any]) -> list[str]:
    survivors = [c["id"] for c in document["candidates"] if c["status"] == "ranked"]
    stage = "stage2" if document["wins"]["stage2"] else "stage1"
    wins = document["wins"][stage]
    if len(survivors) < 2:
        return []
    rows = [
        [
            code(one),
            *("" if one == two else figures.probability(wins[one][two]) for two in survivors),
        ]
        for one in survivors
    ]
    return [
        "## Who beats whom",
        f"Probability that the row has the better score in {_STAGES[stage]}.",
        table(["", *map(code, survivors)], rows, " " + "r" * len(survivors)),
    ]


def _prediction(document: dict[str, Any]) -> list[str]:
    functions = document["provenance"]["transfer"]
    if document["stages"]["stage2"] is None or not functions:
        return []
    parts = ["## Predicted accuracy of the target, by benchmark"]
    for benchmark, function in functions.items():
        low, high = function["fitted_range"]
        rows = []
        for each in document["candidates"]:
            if each["stage2"] is None:
                continue
            part = each["stage2"]["benchmarks"][benchmark]
            extrapolated = "extrapolated" if part["extrapolated"] else ""
            score = figures.number(part["rbridge"], 3)
            rows.append([code(each["id"]), score, figures.accuracy_text(part), extrapolated])
        fitted = (
            f"{code(benchmark)}: {function['family']} function of rBridge, fitted on "
            f"{function['points']} points of {escape(function['calibration'])} with scores from "
            f"{figures.number(low, 3)} to {figures.number(high, 3)} (R² "
            f"{figures.number(function['r2'])}, mean leave-one-out error "
            f"{figures.points(function['loo_mae'])} points)."
        )
        head = ["candidate", "rBridge, nats per token", "predicted accuracy, %", ""]
        parts += [fitted, table(head, rows, " rr ")]
    return parts


def _evidence(evidence: dict[str, Any] | None) -> list[str]:
    if evidence is None:
        return []
    rows = [
        [
            figures.metric_name(metric),
            *(
                figures.with_interval(evidence[kind][metric], evidence[f"{kind}_interval"][metric])
                for kind in ("decision_accuracy", "kendall_tau")
            ),
        ]
        for metric in evidence["decision_accuracy"]
    ]
    return [
        "## Agreement with targets trained already",
        table(["ranking by", "decision accuracy", "Kendall's tau"], rows, " rr"),
        f"Over {evidence['pairs']} pairs of candidates whose target accuracy differs; a tie of the "
        "proxies counts one half, and chance is 0.50. Intervals resample candidates.",
    ]


def _cost(cost: dict[str, Any]) -> list[str]:
    flops, counts = cost["flops"], cost["counts"]
    n, k = counts["candidates"], counts["survivors"]
    c1, c2, ct = (format_flops(counts[key]) for key in ("proxy1", "proxy2", "target"))
    search = flops["stage1"] + flops["stage2"]
    lines = [
        f"N·C1 + k·C2 + Ct = {n} × {c1} + {k} × {c2} + {ct} = {format_flops(flops['total'])}, "
        f"against N·Ct = {n} × {ct} = {format_flops(flops['naive'])} for training every candidate "
        f"at target size: {figures.factor(cost['saving_factor'])} less. The search alone costs "
        f"{figures.share_of(search, flops['target'])} of one target run. FLOPs are counted, 6ND "
        "for training and 2ND for scoring.",
        "Really spent on this run, earlier attempts included:",
    ]
    head = ["", "jobs", "failed", "attempts", "wall", "CPU", "GPU", "FLOPs kept", "FLOPs failed"]
    rows = [
        [
            _STAGES.get(stage, stage),
            *(str(spent[key]) for key in ("jobs", "failed_jobs", "attempts")),
            *(format_seconds(spent[f"{kind}_seconds"]) for kind in ("wall", "cpu", "gpu")),
            *(format_flops(spent[key]) for key in ("flops", "failed_flops")),
        ]
        for stage, spent in cost["spent"].items()
    ]
    return [
        *lines,
        table(head, rows, " rrrrrrrr"),
        f"Seconds are summed over jobs, also those that ran side by side; this call took "
        f"{format_seconds(cost['seconds']['this_run'])}.",
    ]


def _provenance(document: dict[str, Any]) -> list[str]:
    made = document["provenance"]
    hardware = made["hardware"]
    versions = ", ".join(f"{name} {v}" for name, v in made["versions"].items() if v is not None)
    seeds = ", ".join(f"{_STAGES.get(name, name)} {seed}" for name, seed in made["seeds"].items())
    lines = [
        f"Versions: {escape(versions)}",
        f"Machine: {escape(hardware['processor'])}, {hardware['cores']} cores, {made['device']}",
        f"Plan: {code(made['plan'])}; seeds: {seeds}; {made['bootstrap_draws']:,} bootstrap draws",
        f"Tokenizer: {made['tokenizer']['vocab_size']:,} entries, {_short(made['tokenizer']['hash'])}",
    ]
    for stage, recipe in made["recipes"].items():
        lines.append(
            f"{_STAGES[stage]} proxy: {format_count(recipe['parameters'])} parameters, "
            f"{format_count(recipe['tokens'])} tokens in {recipe['steps']:,} steps of "
            f"{recipe['batch_size']} × {recipe['sequence_length']}, {recipe['precision']}"
        )
    for name, each in made["benchmarks"].items():
        traces = each["traces"]
        lines.append(
            f"Benchmark {code(name)}: {each['items']} items, {_short(each['hash'])}; {traces['count']} "
            f"traces of {escape(traces['model'])}, {_short(traces['hash'])}"
            f"{_left_out(document['exclusions'].get(name, []))}"
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


def _short(digest: str) -> str:
    return code(digest[:12])


def _left_out(exclusions: list[dict[str, Any]]) -> str:
    if not exclusions:
        return ""
    reasons = Counter(each["reason"] for each in exclusions)
    listed = "; ".join(f"{count} × {escape(reason)}" for reason, count in reasons.most_common(5))
    return f"; {len({each['item'] for each in exclusions})} items left out ({listed})"


def _notes(document: dict[str, Any]) -> list[str]:
    if not document["notes"]:
        return []
    return ["## Notes", "\n".join(f"- {escape(note)}" for note in document["notes"])]
