"""The report's sections on predicted accuracies and on agreement with known targets.

Views of the document alone.
"""

from collections.abc import Mapping
from typing import Any

from dataselect.report import numbers
from dataselect.report.markdown import code, escape, table
from dataselect.report.selection.stages import predicting


def prediction_lines(document: Mapping[str, Any]) -> list[str]:
    """Predicted accuracies by benchmark, each with the function that predicts it."""
    functions = document["provenance"]["transfer"]
    last = predicting(document)
    if last is None or not functions:
        return []
    parts = ["## Predicted accuracy of the target, by benchmark"]
    for benchmark, function in functions.items():
        low, high = function["fitted_range"]
        rows = []
        for each in document["candidates"]:
            if each[last] is None:
                continue
            part = each[last]["benchmarks"][benchmark]
            extrapolated = "extrapolated" if part["extrapolated"] else ""
            score = numbers.number(part["rbridge"], 3)
            rows.append([code(each["id"]), score, numbers.accuracy_text(part), extrapolated])
        datasets = f" ({function['datasets']} datasets)" if function["datasets"] else ""
        fitted = (
            f"{code(benchmark)}: {function['family']} function of rBridge, fitted on "
            f"{function['points']} points of {escape(function['calibration'])}{datasets} with "
            "scores from "
            f"{numbers.number(low, 3)} to {numbers.number(high, 3)} (R² "
            f"{numbers.number(function['r2'])}, mean leave-one-out error "
            f"{numbers.points(function['loo_mae'])} points)."
        )
        head = ["candidate", "rBridge, nats per token", "predicted accuracy, %", ""]
        parts += [fitted, table(head, rows, " rr ")]
    return parts


def evidence_lines(evidence: dict[str, Any] | None) -> list[str]:
    """How each metric's ranking agrees with targets of known accuracy."""
    if evidence is None:
        return []
    rows = [
        [
            numbers.metric_name(metric),
            *(
                numbers.with_interval(evidence[kind][metric], evidence[f"{kind}_interval"][metric])
                for kind in ("decision_accuracy", "kendall_tau")
            ),
        ]
        for metric in evidence["decision_accuracy"]
    ]
    return [
        "## Agreement with targets trained already",
        table(["ranking by", "decision accuracy", "Kendall's tau"], rows, " rr"),
        f"Over {evidence['pairs']} pairs of candidates whose target accuracy differs; a tie of the "
        "proxies counts one half; chance is 0.50. Intervals resample candidates.",
    ]
