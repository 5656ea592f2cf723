"""Stage 2 with a transfer function: used for its own setting, refused for others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.transfer.file import to_json
from dataselect.transfer.function import Provenance, Setting, fit


def run(project: Any) -> dict[str, Any]:
    out, store = project.folder / "out", project.folder / "store"
    arguments = ["run", str(project.manifest), "--out", str(out), "--store", str(store)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    return content


def write_function(path: Path, report: dict[str, Any], target_size: int) -> None:
    """A falling line through the proxies' scores, with the setting of `report`."""
    made, recipe = report["provenance"], report["provenance"]["recipes"]["stage2"]
    benchmark = made["benchmarks"]["stories"]
    setting = Setting(
        target_size=target_size,
        target_tokens=report["target"]["tokens"],
        proxy_size=recipe["parameters"],
        proxy_tokens=recipe["tokens"],
        traces=benchmark["traces_hash"],
        benchmark=benchmark["hash"],
        tokenizer=made["tokenizer"]["hash"],
        metric_version=made["versions"]["metric"],
    )
    scores = np.linspace(0, 8, 9)
    accuracies = 0.9 - 0.1 * scores + 0.01 * np.tile([1, -1, 0], 3)
    function = fit(
        scores,
        accuracies,
        benchmark="stories",
        provenance=Provenance(setting, "made up", "a test"),
        family="linear",
    )
    path.write_text(to_json([function]))


def test_function_for_this_setting_predicts_and_ranks(project: Any) -> None:
    without = run(project)
    assert without["candidates"][0]["stage2"]["predicted_accuracy"] is None
    assert "names no transfer function" in " ".join(without["notes"])

    write_function(project.folder / "transfer.json", without, target_size=1_000_000)
    plan = project.plan.read_text().replace("predict:\n", "predict:\n  transfer: transfer.json\n")
    project.plan.write_text(plan)
    report = run(project)
    survivors = [c for c in report["candidates"] if c["status"] == "ranked"]
    for candidate in survivors:
        stage2 = candidate["stage2"]
        part = stage2["benchmarks"]["stories"]
        assert abs(part["predicted_accuracy"] - (0.9 - 0.1 * part["rbridge"])) < 0.02
        assert stage2["low"] <= stage2["predicted_accuracy"] <= stage2["high"]
        assert part["extrapolated"] is False
    first, second = (c["id"] for c in survivors)
    assert report["decision"]["probability"] == report["wins"]["prediction"][first][second]
    assert "its target is ahead with probability" in report["verdict"]
    predicted = [c["stage2"]["predicted_accuracy"] for c in survivors]
    assert predicted == sorted(predicted, reverse=True)

    write_function(project.folder / "transfer.json", without, target_size=2_000_000)
    refused = run(project)
    assert refused["candidates"][0]["stage2"]["predicted_accuracy"] is None
    assert "a target of 2M parameters, not 1M" in " ".join(refused["notes"])
