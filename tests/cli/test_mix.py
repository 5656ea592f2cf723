"""`dataselect mix`: from two CSV files to predictions, a proposal and files for trainers."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.mixture.design import design

SOURCES = ("web", "[code]", "wiki")
WORTH = np.array([[1.0, 0.3, 2.0], [0.3, 3.0, 0.4]])


def losses(weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = 2 + (0.05 + weights**0.5 @ WORTH.T) ** -0.5
    return found


def table(path: Path, columns: tuple[str, ...], rows: np.ndarray, prefix: str = "r") -> Path:
    lines = [",".join(("run", *columns))]
    lines += [",".join((f"{prefix}{i}", *map(repr, row))) for i, row in enumerate(rows.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


def mix(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["mix", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swarm of 16 runs, and the model that is fitted to it."""
    folder = tmp_path_factory.mktemp("swarm")
    weights = design(np.array([0.6, 0.3, 0.1]), 16, 0)
    noise = 0.005 * np.random.default_rng(0).standard_normal((16, 2))
    table(folder / "ratios.csv", SOURCES, weights)
    table(folder / "metrics.csv", ("qa_loss", "code_loss"), losses(weights) + noise)
    given = ("--ratios", folder / "ratios.csv", "--metrics", folder / "metrics.csv")
    result = mix("fit", *given, "--lower-is-better", "--out", folder / "model.json")
    assert result.exit_code == 0, result.output
    assert re.search(r"  fits of 2 metrics \d+% \S+ left", result.stderr)
    assert "  fits of 2 metrics done after" in result.stderr
    (folder / "fit.txt").write_text(result.stdout)
    return folder


def fit(folder: Path, *options: object) -> Result:
    given = ("--ratios", folder / "ratios.csv", "--metrics", folder / "metrics.csv")
    return mix("fit", *given, *options)


def test_fit_says_how_well_held_out_runs_are_predicted(folder: Path) -> None:
    text = " ".join((folder / "fit.txt").read_text().split())
    assert "16 runs, 3 sources, 2 metrics; lower is better; 10 folds" in text
    assert "Each alone, of spread, median over metrics: data law " in text
    assert "Ranking of held-out runs by the objective (Spearman): " in text
    assert f"model: {folder}" in text
    provenance = json.loads((folder / "model.json").read_text())["provenance"]
    assert provenance["files"]["ratios"]["name"] == "ratios.csv"
    assert len(provenance["files"]["metrics"]["sha256"]) == 64


def test_predictions_have_a_column_and_ends_for_each_metric_and_the_objective(
    folder: Path, tmp_path: Path
) -> None:
    new = np.random.default_rng(1).dirichlet(np.ones(3), 50)
    at, out = table(tmp_path / "at.csv", SOURCES, new, "n"), tmp_path / "predictions.csv"
    result = mix("predict", "--with", folder / "model.json", "--at", at, "--out", out)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == [
        "run",
        *(
            f"{n}{end}"
            for n in ("qa_loss", "code_loss", "objective")
            for end in ("", "_low", "_high")
        ),
    ]
    assert [row["run"] for row in rows] == [f"n{i}" for i in range(50)]
    found = np.array([[float(row["qa_loss"]), float(row["code_loss"])] for row in rows])
    assert np.corrcoef(found[:, 0], losses(new)[:, 0])[0, 1] > 0.95
    assert float(rows[0]["objective"]) == pytest.approx(found[0].mean(), rel=1e-6)
    assert all(float(r["objective_low"]) < float(r["objective_high"]) for r in rows)


def test_a_proposal_is_shown_with_what_stands_beside_it_and_written(
    folder: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(
        "target_tokens: 1T\nsources:\n  web: {tokens: 2T}\n  '[code]': {tokens: 200B}\n"
        "  wiki: {tokens: 20B}\n"
    )
    out = tmp_path / "made" / "here"
    arguments = ("propose", "--with", folder / "model.json", "--constraints", limits)
    result = mix(*arguments, "--out", out, "--pareto", 3)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "[code]" in text
    assert "20B tokens 4 times" in text
    assert "prior (available tokens)" in text
    assert "best single source" in text
    assert "trade-off 1: objective" in text
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = json.loads((out / "proposal.json").read_text())
    assert found["sources"]["wiki"]["weight"] == pytest.approx(0.08, abs=1e-6)
    assert found["sources"]["wiki"]["epochs"] == pytest.approx(4, abs=1e-3)
    assert sum(each["weight"] for each in found["sources"].values()) == pytest.approx(1)
    assert found["beside"]["prior"]["gain"] > 0
    assert found["fitted_by"]["files"]["ratios"]["name"] == "ratios.csv"
    weights = json.loads((out / "weights.json").read_text())
    assert weights == {
        name: pytest.approx(each["weight"])
        for name, each in found["sources"].items()
        if each["weight"] > 0
    }
    assert {"olmo-core.yaml", "megatron.txt", "litgpt_mixture.py", "map.svg", "weights.svg"} <= {
        p.name for p in out.iterdir()
    }
    assert "![Predicted objective of all mixtures" in (out / "README.md").read_text()
    ranked = found["held_out"]["rank_correlation"]
    assert ranked["single_share"]["source"] in SOURCES
    assert "by the share of" in text
    again = mix(*arguments, "--json", tmp_path / "again.json")
    assert again.exit_code == 0
    other = json.loads((tmp_path / "again.json").read_text())
    assert other["sources"] == found["sources"]


def test_an_objective_changes_the_proposal(folder: Path, tmp_path: Path) -> None:
    weights = {}
    for name in ("qa_loss", "code_loss"):
        options = ("--objective", name, "--lower-is-better", "--out", tmp_path / f"{name}.json")
        assert fit(folder, *options).exit_code == 0
        out = tmp_path / f"{name}.out.json"
        assert mix("propose", "--with", tmp_path / f"{name}.json", "--json", out).exit_code == 0
        weights[name] = json.loads(out.read_text())["sources"]["[code]"]["weight"]
    assert weights["code_loss"] > weights["qa_loss"] + 0.2


def test_epochs_go_from_the_fit_to_predictions_and_the_proposal(
    folder: Path, tmp_path: Path
) -> None:
    weights = design(np.array([0.6, 0.3, 0.1]), 16, 0)
    rates = np.array([0.2, 3.0, 40.0])
    epochs = table(tmp_path / "epochs.csv", SOURCES, weights * rates)
    model = tmp_path / "model.json"
    result = fit(folder, "--epochs", epochs, "--lower-is-better", "--out", model)
    assert result.exit_code == 0, result.output
    assert "repeated data law" in result.stdout
    assert "value of repeated text" in " ".join(result.stdout.split())
    assert "epochs" in json.loads(model.read_text())["provenance"]["files"]

    new = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    at = table(tmp_path / "at.csv", SOURCES, new)
    found = {}
    for times in (1, 10):
        read = table(tmp_path / f"{times}.csv", SOURCES, times * new * rates)
        out = tmp_path / f"predicted-{times}.csv"
        told = mix("predict", "--with", model, "--at", at, "--out", out, "--epochs", read)
        assert told.exit_code == 0, told.output
        found[times] = [float(row["objective"]) for row in csv.DictReader(out.open())]
    assert (np.array(found[10]) > np.array(found[1])).all()

    limits = tmp_path / "limits.yaml"
    known = "target_tokens: 1T\nmax_repetition: 20\nsources:\n  web: {tokens: 5T}\n"
    known += "  '[code]': {tokens: 33B}\n  wiki: {tokens: 2.5B}\n"
    notes = {}
    for more in ("", "repetition: fitted\n"):
        limits.write_text(more + known)
        out = tmp_path / "proposal.json"
        told = mix("propose", "--with", model, "--constraints", limits, "--json", out)
        assert told.exit_code == 0, told.output
        notes[more] = " ".join(json.loads(out.read_text())["notes"])
    assert "in the constraints would count that" in notes[""]
    assert "predicted at the target's epochs, with R as fitted" in notes["repetition: fitted\n"]


def test_files_that_name_runs_by_index_are_read_as_they_are(folder: Path, tmp_path: Path) -> None:
    for name in ("ratios.csv", "metrics.csv"):
        text = (folder / name).read_text()
        (tmp_path / name).write_text("index" + text.removeprefix("run"))
    result = fit(tmp_path, "--lower-is-better", "--out", tmp_path / "model.json")
    assert result.exit_code == 0, result.output
    first, second = (json.loads((each / "model.json").read_text()) for each in (folder, tmp_path))
    assert {k: first[k] for k in ("values", "weights")} == {
        k: second[k] for k in ("values", "weights")
    }


def test_a_mixture_with_an_unknown_source_is_skipped_and_counted(
    folder: Path, tmp_path: Path
) -> None:
    model = ("--with", folder / "model.json")
    at, out = tmp_path / "at.csv", tmp_path / "out.csv"
    head = "run,web,[code],wiki,books\n"
    at.write_text(head + "m1,0.5,0.3,0.2,0\nm2,0.5,0.2,0.1,0.2\nm3,0.2,0.5,0.3,0\n")
    result = mix("predict", *model, "--at", at, "--out", out)
    assert result.exit_code == 0, result.output
    assert [row["run"] for row in csv.DictReader(out.open())] == ["m1", "m3"]
    assert "note: 1 mixture of 3 in at.csv skipped ('m2'): 'books' is no source" in result.stdout
    assert "did you mean" not in result.stdout
    assert "predictions of 2 mixtures" in result.stdout


def test_metrics_of_two_directions_are_refused_with_a_way_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ratios.csv").write_text((folder / "ratios.csv").read_text())
    rows = (folder / "metrics.csv").read_text().split()
    more = ["arc_acc", *(f"0.{i + 10}" for i in range(16))]
    lines = (f"{row},{cell}" for row, cell in zip(rows, more, strict=True))
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    for options in ((), ("--lower-is-better",)):
        result = fit(tmp_path, *options)
        assert result.exit_code == 2
        assert "keep the columns of one direction" in result.stderr


def test_bad_input_is_one_line_and_exit_code_2(folder: Path, tmp_path: Path) -> None:
    model = ("--with", folder / "model.json")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("run,web,books\nr1,0.5,0.5\n")
    caps = tmp_path / "caps.yaml"
    caps.write_text("sources: {web: {max: 0.1}, wiki: {max: 0.1}, '[code]': {max: 0.1}}\n")
    right = table(tmp_path / "right.csv", SOURCES, np.array([[0.5, 0.3, 0.2]]))
    again = tmp_path / "again.yaml"
    again.write_text("repetition: fitted\ntarget_tokens: 1T\nsources: {web: {tokens: 1T}}\n")
    out = ("--out", tmp_path / "out.csv")
    for result, problem in (
        (fit(folder), "'qa_loss' is better when lower, by its name; give --lower-is-better"),
        (fit(folder, "--objective", "qa", "--lower-is-better"), "'qa' is no metric"),
        (mix("predict", *model, "--at", wrong, *out), "'books' is no source of the model"),
        (mix("predict", "--with", wrong, "--at", wrong, *out), "Invalid JSON"),
        (
            mix("predict", *model, "--at", wrong, *out, "--confidence", 90),
            "90 is not between 0 and 1",
        ),
        (mix("propose", *model, "--constraints", caps), "sum to 0.3, below 1"),
        (fit(folder, "--epochs", wrong, "--lower-is-better"), "wrong.csv:1: 'books' is no source"),
        (mix("predict", *model, "--at", right, *out, "--epochs", right), "no run of the model is"),
        (mix("propose", *model, "--constraints", again), "so nothing is fitted; write a number"),
    ):
        assert result.exit_code == 2, result.output
        assert problem in result.stderr
        assert result.stderr.count("\n") == 1
        assert not result.stdout


def test_no_model_library_is_loaded(folder: Path) -> None:
    code = (
        "import sys\nfrom dataselect.cli import app\n"
        "try: app(['mix', 'propose', '--model', 'model.json'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'optuna', 'lightgbm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)


def test_fit_and_propose_load_no_statistics_of_scipy() -> None:
    code = (
        "import sys\n"
        "import dataselect.api.mixture, dataselect.api.mixture_proposal\n"
        "import dataselect.report.mixture.proposal\n"
        "assert not {'scipy.stats', 'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
