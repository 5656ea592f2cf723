"""The content of report.json: the whole report as plain JSON values.

The terminal summary, the README and the CSV file are views of this dictionary, so they cannot
disagree. Nothing that a decision depends on is computed here; means over items and the verdict's
margin come from the stages' scores. Missing values are null, because NaN is not JSON.

Schema 1. Keys may be added within a schema; none is renamed or removed.

    run, target, complete, verdict, next_step, decision
    stopped | null why the run ended before its last stage: after, first, p_best, wanted,
                   left_out[], flops_saved
    failed_stage | null
                   the stage that could score nothing, so that the one before decides: stage,
                   reasons by candidate
    screen0 | null Stage 0, by counting words: score, kept, kept_by, doubt, uncounted, tokens,
                   cpu_seconds; each candidate then has `stage0`
    candidates[]   id, title, rank, status, reason, leaks | null, and by stage ("stage1", "stage2",
                   …) what was measured of it | null: `score`, `low`, `high`, `p_top_k` where the
                   stage prunes, accuracies and `score` where it predicts
    wins           by stage, by candidate: probability that it is better than each other one;
                   under "prediction" that its target is better
    truth | null   choice and predictions beside known target accuracies
    stages         by stage: the proxies, how scores were aggregated, status of each candidate
    cost           flops, counts, saving_factor, seconds, spent
    evidence | null, ablation | null, leaks | null
    fits           by benchmark with a transfer function: its calibration points and its curve
    counting | null
                   rankings by counting words, by score ("ngram1_trace_nll"): scores, ranks, chosen,
                   share of pairs in rBridge's order; and the sentence `text`
    mixture | null
                   status ("done", "failed", "unfinished"), problem, verdict, folder, and
                   proposal | null: proposal.json of that folder without curves and runs
    corpus, exclusions, provenance, notes
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dataselect.cost import Spent, StageCost, training_flops
from dataselect.report.mixture.part import mixture_part
from dataselect.report.selection.candidates import candidate_rows, planned
from dataselect.report.selection.counting import counting_part
from dataselect.report.selection.fits import fits_part
from dataselect.report.selection.leaks import leak_figures
from dataselect.report.selection.next_step import advise
from dataselect.report.selection.provenance import provenance
from dataselect.report.selection.truth import truth_part
from dataselect.report.selection.verdict import decide
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.screen import Screening
from dataselect.stages.screen_by_counting import STAGE0

if TYPE_CHECKING:
    from dataselect.decisions.ablation import Ablation
    from dataselect.decisions.target_agreement import TargetAgreement
    from dataselect.pipeline import Selection

SCHEMA = 1


def document(selection: "Selection") -> dict[str, Any]:
    """The content of report.json, as JSON values."""
    target = selection.experiment.manifest.target
    candidates = candidate_rows(selection)
    decision = decide(selection, [c["id"] for c in candidates if c["status"] == "ranked"])
    decision["next"] = advise(selection, decision)
    stages = _stages(selection)
    wins: dict[str, Any] = {
        name: each.ranking.wins.to_dict("index") for name, each in selection.by_stage.items()
    }
    not_run = dict.fromkeys(planned(selection)[1:])
    if selection.prediction is not None and selection.prediction.wins is not None:
        wins["prediction"] = selection.prediction.wins.to_dict("index")
    content: dict[str, Any] = _plain(
        {
            "schema": SCHEMA,
            "run": selection.experiment.manifest.name,
            "target": {"parameters": target.size, "tokens": target.total_tokens},
            "complete": selection.complete,
            "verdict": decision.pop("text"),
            "next_step": decision["next"].pop("text"),
            "decision": decision,
            "stopped": None if selection.stopped is None else asdict(selection.stopped),
            "failed_stage": None
            if selection.failed is None
            else {"stage": selection.failed.stage, "reasons": selection.failed.reasons},
            "screen0": _stage0(selection),
            "candidates": candidates,
            "truth": truth_part(selection.truth),
            "wins": {**not_run, "prediction": None, **wins},
            "stages": {**not_run, **stages},
            "cost": _cost(selection),
            "evidence": _evidence(selection.agreement),
            "fits": fits_part(selection),
            "ablation": None if selection.ablation is None else _ablation(selection.ablation),
            "leaks": leak_figures(selection),
            "counting": counting_part(selection.counting, decision["winner"]),
            "mixture": mixture_part(selection),
            "corpus": _corpus(selection),
            "exclusions": _exclusions(selection),
            "provenance": provenance(selection),
            "notes": selection.notes,
        }
    )
    return content


def _stages(selection: "Selection") -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for stage, each in selection.by_stage.items():
        scores, ranking = each.scores, each.ranking
        size, tokens = scores.parameters, scores.tokens
        described[stage] = {
            # Null if the candidates' proxies differ or their size is not known.
            "proxy": {
                "parameters": size,
                "tokens": tokens,
                "training_flops": training_flops(size, tokens) if size and tokens else None,
            },
            "aggregate": ranking.method,
            # What each benchmark's scores are divided by; null for ranks.
            "unit": None if ranking.units is None else asdict(ranking.units),
            "ties": ranking.ties,
            # Null for a stage that predicts.
            "kept": ranking.k if isinstance(each, Screening) else None,
            **(_uncertainty(selection, each) if isinstance(each, Screening) else {}),
            "confidence": ranking.confidence,
            "items": {name: len(table) for name, table in scores.table("rbridge").items()},
            "status": scores.status,
            "reasons": scores.reasons,
        }
    return described


def _stage0(selection: "Selection") -> dict[str, Any] | None:
    """How Stage 0 ranked and what it cost; each candidate's part is its `stage0`."""
    stage0 = selection.stage0
    if stage0 is None:
        return None
    ranking, counted = stage0.ranking, stage0.counted
    return {
        "order": stage0.order,
        "score": stage0.score,
        "aggregate": ranking.method,
        "unit": None if ranking.units is None else asdict(ranking.units),
        "kept": ranking.k,
        "kept_by": dict(stage0.kept_by),
        **_best(selection, STAGE0),
        "doubt": asdict(stage0.uncertainty),
        "confidence": ranking.confidence,
        "items": {name: len(table) for name, table in counted.tables[stage0.score].items()},
        "uncounted": dict(stage0.uncounted),
        "tokens": dict(counted.tokens),
        "exact": counted.exact,
        "cpu_seconds": counted.cpu_seconds,
    }


def _best(selection: "Selection", stage: StageName) -> dict[str, Any]:
    """The probability of each candidate of a stage to be the best of them, and that a survivor
    is."""
    cut = selection.all_cuts(selection.experiment.plan.seed)[stage]
    return {"p_best": cut.p_best, "p_kept": cut.p_kept}


def _uncertainty(selection: "Selection", screening: Screening) -> dict[str, Any]:
    """What a stage's probabilities cover besides items, and its benchmarks' signal to noise."""
    return {
        **_best(selection, screening.scores.stage),
        "kept_by": dict(screening.kept_by),
        "doubt": None if screening.uncertainty is None else asdict(screening.uncertainty),
        "signal_to_noise": {name: asdict(each) for name, each in screening.noise.items()},
    }


def _ablation(ablation: "Ablation") -> dict[str, Any]:
    return {
        "first": ablation.first,
        "pairs": ablation.pairs,
        "known": ablation.known,
        "confidence": ablation.confidence,
        "items": dict(ablation.items),
        "metrics": {
            metric: {
                "scores": each.scores,
                "ranks": each.ranks,
                "same_order": each.same_order,
                "kendall_tau": each.kendall_tau,
                "expected_same_order": each.expected_same_order,
                "differing": each.differing,
                "decision_accuracy": each.agreement and each.agreement.decision_accuracy,
                "decision_accuracy_interval": each.agreement
                and each.agreement.decision_accuracy_interval,
                "p_first": each.p_first,
                "basis": each.basis,
                "gain": each.gain and each.gain.difference,
                "gain_interval": each.gain and each.gain.interval,
            }
            for metric, each in ablation.metrics.items()
        },
    }


def _cost(selection: "Selection") -> dict[str, Any]:
    cost = selection.cost
    spent = selection.spent
    seconds = {"this_run": selection.seconds}
    for kind in ("wall", "cpu", "gpu"):
        for stage, sums in spent.items():
            seconds[f"{stage}_{kind}"] = getattr(sums, f"{kind}_seconds")
    by_stage = {StageName.at(n): each for n, each in enumerate(cost.stages, start=1)}
    first, second = (*cost.stages, StageCost(0, 0.0))[:2]
    return {
        "flops": {
            "stage1": first.flops,
            "stage2": second.flops,
            **{name: each.flops for name, each in by_stage.items()},
            "target": cost.target,
            "total": cost.total,
            "naive": cost.naive,
            "elsewhere": cost.elsewhere,
            # Not in the total, which is that of the stages and the target.
            "mixture": 0.0 if selection.mixture_found is None else selection.mixture_found.flops,
        },
        "saving_factor": cost.saving_factor,
        # N, k, C1, C2 and Ct of the paper's section 5, and the candidates of every stage.
        "counts": {
            "candidates": cost.candidates,
            "survivors": second.candidates,
            "proxy1": first.each,
            "proxy2": second.each,
            "target": cost.target,
            "elsewhere": cost.elsewhere,
            "stages": {name: asdict(each) for name, each in by_stage.items()},
        },
        "seconds": seconds,
        "spent": {stage: asdict(sums) for stage, sums in {**spent, "all": _sum(spent)}.items()},
    }


def _sum(spent: Mapping[str, Spent]) -> Spent:
    rows = [asdict(each) for each in spent.values()]
    return Spent(**{field: sum(row[field] for row in rows) for field in asdict(Spent())})


def _evidence(evidence: "TargetAgreement | None") -> dict[str, Any] | None:
    if evidence is None:
        return None
    agreements = evidence.by_metric.items()
    return {
        "decision_accuracy": {metric: each.decision_accuracy for metric, each in agreements},
        "decision_accuracy_interval": {
            metric: each.decision_accuracy_interval for metric, each in agreements
        },
        "kendall_tau": {metric: each.kendall_tau for metric, each in agreements},
        "kendall_tau_interval": {metric: each.kendall_tau_interval for metric, each in agreements},
        "pairs": evidence.pairs,
        "target_ties": {metric: each.target_ties for metric, each in agreements},
        "proxy_ties": {metric: each.proxy_ties for metric, each in agreements},
        "target_accuracy": dict(evidence.target),
    }


def _corpus(selection: "Selection") -> dict[str, Any]:
    """What was read of each source; `rows` counts rows used and left out."""
    return {
        name: {
            "tokens": stream.tokens,
            "documents": stream.index.get("documents"),
            "rows": stream.index.get("counts"),
            "exhausted": stream.index.get("exhausted"),
        }
        for name, stream in selection.experiment.streams.items()
    }


def _exclusions(selection: "Selection") -> dict[str, list[dict[str, Any]]]:
    """Items left out of each benchmark, for every candidate alike, with the reason."""
    stages_of: dict[str, dict[tuple[str, str], list[str]]] = {}
    for stage, scores in selection.scores.items():
        for benchmark, exclusions in scores.exclusions.items():
            reasons = stages_of.setdefault(benchmark, {})
            for each in exclusions:
                reasons.setdefault((each.item, each.reason), []).append(stage)
    return {
        benchmark: [
            {"item": item, "reason": reason, "stages": stages}
            for (item, reason), stages in reasons.items()
        ]
        for benchmark, reasons in stages_of.items()
    }


def _plain(value: Any) -> Any:
    """`value` as JSON types; NumPy scalars unwrapped, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return str(value)  # a StageName becomes a plain string
    assert value is None or isinstance(value, bool | int | float), f"{value!r} in a report"
    return value
