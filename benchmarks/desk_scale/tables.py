"""Write RESULTS.md from results.json.

python benchmarks/desk_scale/tables.py
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dataselect.report.markdown import table
from dataselect.units import format_count, format_flops

HERE = Path(__file__).parent
NAMES = {
    "rbridge": "rBridge",
    "trace_nll": "R^φ (trace NLL)",
    "label_nll": "label NLL",
    "accuracy": "accuracy",
}


def main() -> None:
    results = json.loads((HERE / "results.json").read_bytes())
    parts = [
        "# Results of the desk-scale study",
        f"Written by `python benchmarks/desk_scale/tables.py` from `results.json`, which "
        f"`{results['command']}` measured on: {results['hardware']}, one thread a model, one seed.",
        "## Does the proxies' ranking agree with the targets'?",
        agreement([*results["stage1"], results["stage2"]]),
        f"Target: {size(results['target'])}, generated-answer accuracy, mean of the two "
        "benchmarks. Decision accuracy (chance .50) and Kendall's tau over all pairs of ten "
        "candidates, each with a 90% bootstrap interval over candidates. Training seeds of "
        "proxies and targets are not covered: there is one of each.",
        "## Candidates",
        candidates(results),
        "Accuracies in %; the other columns are proxy scores in nats per token at 500K tokens, "
        "lower is better, and the proxy's own accuracy. Means of the two benchmarks.",
        "## Transfer functions, zero-shot",
        transfer(results["transfer"]),
    ]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def size(described: dict[str, Any]) -> str:
    """N, D and FLOPs of a training run."""
    return (
        f"{format_count(described['parameters'])} parameters x "
        f"{format_count(described['tokens'])} tokens, {format_flops(described['training_flops'])}"
    )


def agreement(stages: Iterable[dict[str, Any]]) -> str:
    rows = []
    for stage in stages:
        for metric, each in stage["metrics"].items():
            rows.append(
                [
                    size(stage),
                    f"1/{1 / stage['share_of_target_flops']:.0f}",
                    NAMES[metric],
                    interval(each, "decision_accuracy"),
                    interval(each, "kendall_tau"),
                ]
            )
    head = ["proxy", "of target", "metric", "decision accuracy", "Kendall's tau"]
    return table(head, rows, "lrlrr")


def interval(each: dict[str, Any], name: str) -> str:
    low, high = each[f"{name}_interval"]
    return f"{each[name]:.2f} [{low:.2f}, {high:.2f}]"


def candidates(results: dict[str, Any]) -> str:
    by_benchmark = results["target_accuracy"]
    rows = [
        [
            f"`{name}`",
            *(f"{100 * value:.1f}" for value in by_benchmark[name].values()),
            f"{100 * row['target_accuracy']:.1f}",
            *(f"{row[metric]:.3f}" for metric in ("rbridge", "trace_nll", "label_nll")),
            f"{100 * row['accuracy']:.1f}",
        ]
        for name, row in sorted(
            results["by_candidate"].items(), key=lambda pair: -pair[1]["target_accuracy"]
        )
    ]
    head = ["candidate", *next(iter(by_benchmark.values())), "target accuracy"]
    head += [NAMES[metric] for metric in ("rbridge", "trace_nll", "label_nll")]
    return table([*head, "proxy accuracy"], rows, "l" + "r" * 7)


def transfer(results: dict[str, Any]) -> str:
    rows = [
        [
            f"`{name}`",
            each["family"],
            f"{each['train_r2']:.3f}",
            f"{100 * each['leave_one_out_mae']:.1f}",
            f"{100 * each['zero_shot_mae']:.1f}",
            f"{100 * each['zero_shot_worst']:.1f}",
        ]
        for name, each in results["benchmarks"].items()
    ]
    head = ["benchmark", "family", "train R²", "leave-one-out MAE", "zero-shot MAE", "worst"]
    return "\n\n".join(
        [
            table(head, rows, "llrrrr"),
            f"Fitted on the checkpoints of `{results['calibration']}` alone, proxy against target "
            "at equal tokens, and applied to the other candidates' final proxies; errors in "
            f"points. On the mean of both benchmarks the zero-shot error is "
            f"{100 * results['zero_shot_mae']:.1f} points, where the best constant would have "
            f"{100 * results['constant_mae']:.1f}; the predicted order has a decision accuracy of "
            f"{results['decision_accuracy']:.2f}.",
        ]
    )


if __name__ == "__main__":
    main()
