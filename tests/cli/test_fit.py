"""`dataselect fit` on a table of pairs: output, files and refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.transfer.file import read_transfer_file

TOKENS = np.geomspace(1e9, 1e11, 20)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["benchmark,metric,accuracy,tokens,group"]
    for name, ceiling in (("arc_easy", 0.7), ("[odd]", 0.5)):
        for group in "ab":
            score = 3.5 - 0.1 * np.log(TOKENS) + rng.normal(0, 0.005, 20)
            share = 0.25 + (ceiling - 0.25) / (1 + np.exp(12 * (score - 1.2)))
            lines += [
                f"{name},{s:.5f},{100 * y:.3f},{t:.0f},{group}"
                for s, y, t in zip(score, share, TOKENS, strict=True)
            ]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def fit(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


def test_json_holds_errors_coverage_and_what_stands_beside(table: Path) -> None:
    result = fit(table, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["protocol"], found["accuracy_unit"], found["seed"]) == ("robust", "percent", 0)
    assert found["lower_is_better"]
    arc = found["benchmarks"]["arc_easy"]
    assert (arc["points"], arc["runs"], arc["floor"]) == (40, 2, 0.25)
    for name in ("cv_mae", "last_20_mae", "last_40_mae", "other_runs_mae"):
        assert 0 < arc[name] < 8
        assert arc["beside"]["log tokens"][name] > 0
    assert set(arc["coverage"]) == {"cv", "last_20", "last_40"}
    errors = [each["cv_mae"] for each in found["benchmarks"].values()]
    assert found["overall"]["cv_mae_mean"] == pytest.approx(np.mean(errors))
    assert fit(table, "--json").stdout == result.stdout


def test_the_papers_protocol_gives_its_figures(table: Path) -> None:
    found = json.loads(fit(table, "--protocol", "paper", "--json").stdout)
    arc = found["benchmarks"]["arc_easy"]
    assert sum(arc["family_wins"].values()) == 5
    assert 0.8 < arc["train_r2"] < 1
    assert found["overall"]["test_mae_mean"] > 0
    assert "coverage" not in arc


@pytest.mark.parametrize("protocol", ["robust", "paper"])
def test_the_table_names_every_benchmark(table: Path, protocol: str) -> None:
    result = fit(table, "--protocol", protocol)
    assert result.exit_code == 0
    assert "[odd]" in result.stdout
    assert "lower scores are better" in result.stdout
    assert "accuracies read as percent" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    figures = (
        r"arc_easy .*\d\.\d\d/\d\.\d\d/\d\.\d\d" if protocol == "robust" else r"arc_easy .*0\.9\d\d"
    )
    assert re.search(figures, result.stdout), "no figure is broken over lines"
    if protocol == "paper":
        assert "folds won: " in result.stdout


def test_the_functions_written_carry_what_the_setting_says(table: Path, tmp_path: Path) -> None:
    setting = tmp_path / "setting.json"
    setting.write_text('{"target_size": 7000000000, "calibration": "the public run"}')
    out = tmp_path / "transfer.json"
    assert fit(table, "--setting", setting, "--out", out).exit_code == 0
    function = read_transfer_file(out)["arc_easy"]
    assert function.provenance.setting.target_size == 7_000_000_000
    assert function.provenance.setting.traces is None
    assert function.provenance.calibration == "the public run"
    assert "averaged over up to 5" in function.provenance.method
    assert function.family == "sigmoid"
    assert abs(float(function.predict(1.0)) - 0.66) < 0.03


def test_bad_input_is_one_line_and_exit_code_2(table: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
    for arguments, message in (
        ((tmp_path / "none.csv",), "cannot be read"),
        ((few,), "2 points with different scores, and 3 are needed"),
        ((table, "--setting", few), "Invalid JSON"),
        ((table, "--out", tmp_path / "no" / "where.json"), "cannot be written"),
    ):
        result = fit(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert not result.stdout


def test_a_direction_given_is_kept(table: Path) -> None:
    found = json.loads(fit(table, "--higher-is-better", "--json").stdout)
    assert not found["lower_is_better"]
    assert found["direction_from"] == "given"
    assert found["notes"] == ["accuracy moves against the score's direction on arc_easy, [odd]"]


def datasets_table(tmp_path: Path, count: int, benchmarks: int = 3) -> Path:
    """One checkpoint of each dataset; accuracy falls with the score, and one benchmark is noise."""
    rng = np.random.default_rng(0)
    lines = ["benchmark,metric,accuracy,group"]
    for place in range(benchmarks):
        for i in range(count):
            score = np.exp(rng.normal(0, 0.15))
            level = 0.5 - (0.4 + 0.1 * place) * np.log(score) * (place < 3)
            lines.append(f"q{place},{score:.5f},{level + rng.normal(0, 0.02):.5f},d{i}")
    path = tmp_path / "datasets.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_error_on_datasets_left_out_comes_first(tmp_path: Path) -> None:
    path = datasets_table(tmp_path, 9, benchmarks=4)
    shown = fit(path).stdout
    assert shown.index("left out") < shown.index("fitted range")
    assert "q3: this score says nothing about this benchmark here (rank correlation" in shown
    found = json.loads(fit(path, "--json").stdout)
    assert found["mean_over"] == ["q0", "q1", "q2"]
    first = found["benchmarks"]["q0"]
    assert first["datasets"] == 9
    assert first["other_runs_mae"] < first["beside"]["constant"]["other_runs_mae"]
    assert first["worth"]["gain_low"] < first["worth"]["gain"] < first["worth"]["gain_high"]
    errors = [found["benchmarks"][name]["other_runs_mae"] for name in found["mean_over"]]
    assert found["overall"]["other_runs_mae_mean"] == pytest.approx(np.mean(errors))
    every = json.loads(fit(path, "--every-benchmark", "--json").stdout)
    assert every["mean_over"] == ["q0", "q1", "q2", "q3"]


def test_one_dataset_has_an_interval_with_a_prior_alone(tmp_path: Path) -> None:
    path = datasets_table(tmp_path, 1)
    refused = fit(path)
    assert refused.exit_code == 2
    assert "1 points with different scores, and 3 are needed" in refused.stderr
    shown = fit(path, "--prior", "public")
    assert shown.exit_code == 0
    assert "no honest interval" not in shown.stdout
    found = json.loads(fit(path, "--prior", "public", "--json").stdout)
    assert found["prior"].startswith("of published runs")
    assert found["benchmarks"]["q0"]["interval_for_new_data"]
    assert found["benchmarks"]["q0"]["cv_mae"] is None
    both = fit(path, "--prior", "public", "--protocol", "paper")
    assert "the paper's protocol has no prior" in both.stderr


def test_two_datasets_have_no_interval_and_it_is_said(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "transfer.json"
    result = fit(table, "--out", out)
    assert "it has no honest interval for a new one" in " ".join(result.stdout.split())
    assert not read_transfer_file(out)["arc_easy"].has_intervals


def test_a_prior_of_ones_own_is_written_and_used(tmp_path: Path) -> None:
    path, prior = datasets_table(tmp_path, 9), tmp_path / "prior.json"
    assert fit(path, "--prior-out", prior).exit_code == 0
    assert json.loads(prior.read_text())["prior"]["command"].startswith("dataselect")
    two = tmp_path / "two.csv"
    two.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    found = json.loads(fit(two, "--prior", prior, "--json").stdout)
    assert found["benchmarks"]["q0"]["datasets"] == 2
    assert found["benchmarks"]["q0"]["interval_for_new_data"]
    few = fit(two, "--prior", prior, "--prior-out", tmp_path / "none.json")
    assert few.exit_code == 2
    assert "a prior needs 3" in few.stderr
