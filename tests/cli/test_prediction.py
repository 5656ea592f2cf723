"""Stage 2 with a transfer function: used for its own setting, refused for others."""

import json
from dataclasses import replace
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


def write_function(
    path: Path, report: dict[str, Any], target_size: int, datasets: int | None = None
) -> None:
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
    path.write_text(to_json([replace(function, datasets=datasets)]))


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


def test_a_function_of_one_dataset_predicts_points_and_scores_rank(project: Any) -> None:
    without = run(project)
    write_function(project.folder / "transfer.json", without, 1_000_000, datasets=1)
    plan = project.plan.read_text().replace("predict:\n", "predict:\n  transfer: transfer.json\n")
    project.plan.write_text(plan)
    report = run(project)
    survivors = [c for c in report["candidates"] if c["status"] == "ranked"]
    ranked_by_score = [c["id"] for c in without["candidates"] if c["status"] == "ranked"]
    assert [c["id"] for c in survivors] == ranked_by_score
    for candidate in survivors:
        stage2 = candidate["stage2"]
        assert 0 < stage2["predicted_accuracy"] < 1
        assert (stage2["low"], stage2["high"], stage2["tier"]) == (None, None, None)
    assert report["wins"]["prediction"] is None
    assert "Stage 2" in report["verdict"]
    notes = " ".join(report["notes"])
    assert "stories was fitted on one dataset" in notes
    assert "survivors are ranked by score, not by predicted accuracy" in notes
