"""Stage 2 without transfer functions: the unit of its scores, what is shown of them, and ties."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.compute import InlineCompute
from dataselect.traces.trace import Trace, TraceHeader, write_traces

PLAN = """\
target: {size: 1B, tokens: 1B}
plan:
  benchmarks:
    - {id: sums, items: sums.yaml, traces: sums.traces.jsonl}
    - {id: steps, items: steps.yaml, traces: steps.traces.jsonl}
  screen: {keep: KEEP, benchmarks: SCREENED}
  predict: {}
candidates:
"""
MODELS = ("m0", "m1", "m2", "m3", "m4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five models for each stage, and two benchmarks of ten items."""
    folder = tmp_path_factory.mktemp("world")
    for place, opening in enumerate(("sums", "steps")):
        rows, traces = [], []
        for n in range(10):
            text = (
                f"we add {n} and {n + place}, {'then we check it, ' * place}that is {2 * n + place}"
            )
            row = {"id": f"q{n}", "question": f"{opening}: {n} + {n + place}?"}
            rows.append(json.dumps(row | {"answer": str(2 * n + place), "rationale": text}))
            traces.append(Trace(f"q{n}", text, ((6, 0.2), (len(text) - 6, 0.9))))
        (folder / f"{opening}.jsonl").write_text("\n".join(rows))
        (folder / f"{opening}.yaml").write_text(
            f"items: {opening}.jsonl\ntask: arithmetic\nnew_tokens: 4\n"
        )
        header = TraceHeader(opening, "oracle", "{question}", "a test")
        write_traces(folder / f"{opening}.traces.jsonl", header, traces)
    for n, name in enumerate(MODELS):
        save_model(folder / "small" / name, seed=n)
        save_model(folder / "large" / name, seed=100 + n)
    return folder


def run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    models: tuple[str, ...] = MODELS,
    *,
    keep: int,
    screened: str = "[sums, steps]",
) -> tuple[dict[str, Any], str, str]:
    """The report's document, the terminal's text and the README."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )
    text = PLAN.replace("KEEP", str(keep)).replace("SCREENED", screened)
    for name in models:
        text += (
            f"  - id: {name}\n    proxies:\n"
            f"      screen: {{model: small/{name}, tokens: 1M}}\n"
            f"      predict: {{model: large/{name}, tokens: 2M}}\n"
        )
    (folder / "two.yaml").write_text(text)
    result = CliRunner().invoke(app, ["run", "two.yaml"])
    assert result.exit_code == 0, result.output
    report = folder / "reports" / "two"
    readme = " ".join((report / "README.md").read_text().split())
    return json.loads((report / "report.json").read_text()), result.output, readme


def scores(report: dict[str, Any], stage: str = "stage2") -> dict[str, float]:
    return {c["id"]: c[stage]["score"] for c in report["candidates"] if c[stage]}


def test_a_survivor_more_changes_no_score_and_scores_follow_from_what_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two, text, readme = run(folder, monkeypatch, keep=2)
    three, _, _ = run(folder, monkeypatch, keep=3)
    found, more = scores(two), scores(three)
    assert len(found) == 2
    for name, score in found.items():
        assert more[name] == pytest.approx(score, abs=1e-9)
    stage = two["stages"]["stage2"]
    assert (stage["unit"]["kind"], stage["unit"]["earlier"]) == ("items", True)
    for each in two["candidates"]:
        if each["stage2"]:
            means = {name: b["rbridge"] for name, b in each["stage2"]["benchmarks"].items()}
            by_hand = sum(means[name] / stage["unit"]["sizes"][name] for name in means) / 2
            assert each["stage2"]["score"] == pytest.approx(by_hand)
            for mean in means.values():
                assert f"{mean:.3f}" in text
                assert f"{mean:.3f}" in readme
    assert two["stages"]["stage1"]["unit"]["kind"] == "candidates"
    assert "in units of the noise of one item" in text
    assert "measured on the candidates of Stage 1" in readme
    assert "times the noise of one item" in two["verdict"]


def test_benchmarks_that_stage_1_lacks_are_measured_on_the_survivors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _, _ = run(folder, monkeypatch, keep=2, screened="[sums]")
    unit = report["stages"]["stage2"]["unit"]
    assert (unit["kind"], unit["earlier"]) == ("items", False)
    assert all(size > 0 for size in unit["sizes"].values())


def test_copies_of_a_model_tie_and_stage_1_decides_saying_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-copy", "z-copy"):
        shutil.copytree(folder / "large" / "m0", folder / "large" / name, dirs_exist_ok=True)
    # In Stage 1 they are two models, the worse one first by name.
    alone, _, _ = run(folder, monkeypatch, keep=2)
    first = [c["id"] for c in sorted(alone["candidates"], key=lambda c: c["stage1"]["score"])]
    for name, model in (("a-copy", first[1]), ("z-copy", first[0])):
        shutil.copytree(folder / "small" / model, folder / "small" / name, dirs_exist_ok=True)
    report, text, readme = run(folder, monkeypatch, ("a-copy", "z-copy", *first[2:]), keep=2)
    ranked = [c["id"] for c in report["candidates"] if c["status"] == "ranked"]
    assert ranked == ["z-copy", "a-copy"]
    found = scores(report)
    assert found["a-copy"] == found["z-copy"]
    line = "z-copy and a-copy have the same Stage 2 score; they are in the order of Stage 1"
    assert line in text
    assert line in report["notes"]
    assert "a tie that Stage 1 decides" in report["verdict"]
    assert report["decision"]["not_told_apart"] == ["a-copy"]
    assert report["stages"]["stage2"]["ties"] == [["z-copy", "a-copy"]]
    assert line in readme


def test_two_candidates_keep_the_size_of_their_scores_in_stage_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _, readme = run(folder, monkeypatch, ("m0", "m1"), keep=2)
    assert sorted(map(abs, scores(report, "stage1").values())) != [1.0, 1.0]
    assert report["stages"]["stage1"]["unit"]["kind"] == "items"
    single, text, _ = run(folder, monkeypatch, ("m0", "m1"), keep=2, screened="[sums]")
    for each in single["candidates"]:
        rbridge = each["stage1"]["benchmarks"]["sums"]["rbridge"]
        assert each["stage1"]["score"] == pytest.approx(rbridge)
        assert f"{rbridge:.3f} [" in text
    assert "Stage 1 scores are means over the benchmarks of rBridge in units" in readme
