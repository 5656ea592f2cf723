"""`ds.fit_transfer` and `ds.predict`: the commands' documents, frames or files, errors."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_tables import HOSTILE, command, pairs_table, printed, scores_table, written

import dataselect as ds
from dataselect.errors import InputError
from dataselect.transfer.file import read_transfer_file

SETTING = {"target_size": 7_000_000_000, "metric_version": 1}


@pytest.fixture(scope="module")
def fitted() -> ds.TransferFit:
    return ds.fit_transfer(pairs_table(), setting=SETTING)


@pytest.mark.parametrize("protocol", ["robust", "paper"])
def test_the_fit_and_the_command_give_the_same_document(tmp_path: Path, protocol: str) -> None:
    (path,) = written(tmp_path, pairs=pairs_table())
    found = ds.fit_transfer(path, protocol=protocol, seed=2)  # type: ignore[arg-type]
    shown = printed("fit", path, "--protocol", protocol, "--seed", 2, "--json")
    assert json.loads(json.dumps(found.document)) == shown
    assert list(found.table.index) == ["arc_easy", HOSTILE]
    assert (
        found.table.loc["arc_easy", "fitted_low"]
        == shown["benchmarks"]["arc_easy"]["fitted_range"][0]
    )
    error = "other_runs_mae" if protocol == "robust" else "test_mae"
    assert f"{shown['overall'][f'{error}_mean']:.2f} points of accuracy" in found.verdict


def test_pairs_in_a_frame_give_the_functions_of_their_file(
    tmp_path: Path, fitted: ds.TransferFit
) -> None:
    (path,) = written(tmp_path, pairs=pairs_table())
    from_file = ds.fit_transfer(path, setting=SETTING)
    assert fitted.document == {**from_file.document, "file": "pairs (a frame)"}
    for name, function in fitted.functions.items():
        assert function.curve == from_file.functions[name].curve
    assert fitted.functions["arc_easy"].provenance.calibration == "pairs (a frame)"


def test_the_transfer_file_is_the_commands_and_says_what_made_it(tmp_path: Path) -> None:
    (path,) = written(tmp_path, pairs=pairs_table())
    setting = tmp_path / "setting.json"
    setting.write_text(json.dumps(SETTING))
    found = ds.fit_transfer(path, setting=setting)
    assert found.functions["arc_easy"].provenance.command == (
        f"dataselect.fit_transfer({str(path)!r}, setting={str(setting)!r})"
    )
    command("fit", path, "--setting", setting, "--out", tmp_path / "theirs.json")
    theirs = read_transfer_file(tmp_path / "theirs.json")
    by = theirs["arc_easy"].provenance.command
    ds.fit_transfer(path, setting=SETTING, command=by).write(tmp_path / "ours.json")
    assert (tmp_path / "ours.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()


@pytest.mark.parametrize("protocol", ["robust", "paper"])
def test_the_functions_name_their_datasets_and_predict_says_which_are_candidates(
    tmp_path: Path, protocol: str
) -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(0.8, 1.6, 12)
    table = pd.DataFrame(
        {
            "benchmark": "arc",
            "metric": x,
            "accuracy": 0.9 - x / 3 + rng.normal(0, 0.01, 12),
            "group": [f"d{i // 2}" for i in range(12)],
            "tokens": [1e9, 2e9] * 6,
        }
    )
    ds.fit_transfer(table, protocol=protocol).write(  # type: ignore[arg-type]
        tmp_path / "functions.json"
    )
    (made,) = read_transfer_file(tmp_path / "functions.json").values()
    assert made.provenance.datasets == tuple(f"d{i}" for i in range(6))
    scores = pd.DataFrame({"id": ["new", "d2"], "arc": [1.0, 1.2]})
    told = ds.predict(scores, tmp_path / "functions.json").notes
    assert any(note.startswith("d2 was among the datasets that") for note in told)
    later = ds.predict(scores, tmp_path / "functions.json", same_data=True).notes
    assert not any("was among the datasets" in note for note in later)


def test_predictions_and_the_command_give_the_same_document_and_file(
    tmp_path: Path, fitted: ds.TransferFit
) -> None:
    (scores,) = written(tmp_path, scores=scores_table())
    functions, out = tmp_path / "transfer.json", tmp_path / "out.csv"
    fitted.write(functions)
    found = ds.predict(scores, functions, confidence=0.8, draws=500, seed=1)
    options = ("--confidence", 0.8, "--draws", 500, "--seed", 1, "--json", "--out", out)
    shown = printed("predict", scores, "--with", functions, *options)
    assert json.loads(json.dumps(found.document)) == shown
    assert found.to_csv() == out.read_text()
    found.to_csv(tmp_path / "ours.csv")
    assert (tmp_path / "ours.csv").read_text() == out.read_text()


def test_scores_and_functions_in_memory_predict_as_their_files(
    tmp_path: Path, fitted: ds.TransferFit
) -> None:
    (scores,) = written(tmp_path, scores=scores_table())
    fitted.write(tmp_path / "transfer.json")
    from_files = ds.predict(scores, tmp_path / "transfer.json")
    for functions in (fitted, fitted.functions):
        found = ds.predict(scores_table(), functions)
        pd.testing.assert_frame_equal(found.table, from_files.table)
        pd.testing.assert_frame_equal(found.wins, from_files.wins)
    assert found.document["functions_file"] == "functions (a mapping)"


def test_predictions_come_as_frames(fitted: ds.TransferFit) -> None:
    found = ds.predict(scores_table(), fitted)
    assert list(found.table.index) == [HOSTILE, "code", "web"]
    assert list(found.table["rank"]) == [1, 2, 3]
    parts = found.benchmarks.loc[HOSTILE]
    assert found.table.loc[HOSTILE, "predicted_accuracy"] == pytest.approx(
        parts["predicted_accuracy"].mean()
    )
    assert (found.table["low"] <= found.table["high"]).all()
    assert found.wins.loc[HOSTILE, "web"] > 0.95
    assert found.verdict.startswith(f"{HOSTILE} comes first with predicted accuracy ")
    assert np.isclose(float(fitted.functions["arc_easy"].predict(1.0)), 0.66, atol=0.03)


def test_a_function_for_another_setting_is_refused_unless_forced(fitted: ds.TransferFit) -> None:
    other = {**SETTING, "target_size": 13_000_000_000}
    with pytest.raises(InputError, match=r"functions .a TransferFit.: .* not 13B.* --force"):
        ds.predict(scores_table(), fitted, setting=other)
    found = ds.predict(scores_table(), fitted, setting=other, force=True)
    assert found.notes[0].startswith("FORCED: the transfer function of arc_easy was fitted for")


def test_a_notebook_shows_the_verdicts_and_runs_nothing(fitted: ds.TransferFit) -> None:
    for found in (fitted, ds.predict(scores_table(), fitted)):
        page = found._repr_html_()
        assert found.verdict.split("<")[0] in page
        assert "<script" not in page
        assert "&lt;script&gt;" in page


def test_errors_name_the_frame_or_the_argument(fitted: ds.TransferFit, tmp_path: Path) -> None:
    pairs, scores = pairs_table(), scores_table()
    for call, problem in (
        (lambda: ds.fit_transfer(pairs.drop(columns="metric")), "pairs .a frame.:1: no column m"),
        (lambda: ds.fit_transfer(pairs.assign(accuracy=101)), "pairs .a frame.:2: accuracy 101"),
        (lambda: ds.fit_transfer(pairs, protocol="x"), "--protocol: 'x' is not a protocol"),  # type: ignore[arg-type]
        (lambda: ds.fit_transfer(pairs, setting={"size": 1}), "setting .a mapping.: size: Extra"),
        (lambda: ds.fit_transfer(pairs, setting={"tokenizer": {1}}), "setting .a mapping.: Obj"),
        (lambda: ds.predict(scores.drop(columns="id"), fitted), "scores .a frame.:1: it needs"),
        (lambda: ds.predict(scores[["id", "seed"]].assign(b=1), fitted), "no function for 'b' of"),
        (lambda: ds.predict(scores, {"a": 1}), "functions .a mapping.: it holds no transfer"),  # type: ignore[dict-item]
        (lambda: ds.predict(scores, 5), "functions: int does not fit"),  # type: ignore[arg-type]
        (lambda: fitted.write(tmp_path / "no" / "where.json"), "cannot be written"),
    ):
        with pytest.raises(InputError, match=problem):
            call()


def test_what_is_not_known_is_missing_and_not_made_up() -> None:
    pairs = pairs_table().drop(columns=["tokens", "group"])
    fitted = ds.fit_transfer(pairs)
    assert fitted.table["tokens_alone_cv_mae"].isna().all()
    assert fitted.table["other_runs_mae"].dtype == "float64"
    assert "tokens alone" not in fitted.verdict
    scores = scores_table().astype({"arc_easy": "float64"})
    scores.loc[scores["id"] == "web", "arc_easy"] = None
    found = ds.predict(scores, fitted)
    assert pd.isna(found.table.loc["web", "rank"])
    assert ("web", "arc_easy") not in found.benchmarks.index
    scores.loc[scores["id"] != "web", HOSTILE] = None
    nobody = ds.predict(scores, fitted)
    assert nobody.verdict == "No candidate has a score on each benchmark, so none is ranked."
    assert "None" not in nobody._repr_html_().replace("No candidate", "")
