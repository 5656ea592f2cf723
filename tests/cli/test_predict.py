"""`dataselect predict` on a functions file and a scores file: output and refusals."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.transfer.file import to_json
from dataselect.transfer.function import Provenance, Setting, TransferFunction
from dataselect.transfer.robust import fit_robust

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"
X = np.linspace(0.9, 1.6, 16)
SCORES = "id,seed,arc,csqa\n" + "".join(
    f"{name},{seed},{at + off},{at + 0.1 - off}\n"
    for name, at in (("web", 1.3), ("books", 1.1), ("code", 1.11))
    for seed, off in (("a", 0.0), ("b", 0.01), ("c", -0.01))
)
SETTING = {
    "target_size": 7_000_000_000,
    "tokenizer": "k1",
    "metric_version": 1,
    "benchmarks": {"arc": {"traces": "t1", "benchmark": "b1"}, "csqa": {"traces": "t2"}},
}

Predict = Callable[..., Result]


def function(name: str, seed: int) -> TransferFunction:
    y = 0.25 + 0.5 / (1 + np.exp(8 * (X - 1.2))) + np.random.default_rng(seed).normal(0, 0.01, 16)
    setting = Setting(7_000_000_000, None, 10**9, None, "t1", "b1", "k1", 1)
    provenance = Provenance(setting, "the public run", "dataselect fit", "robust")
    return fit_robust(X, y, benchmark=name, provenance=provenance, chance=0.25)


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    functions = tmp_path / "functions.json"
    functions.write_text(to_json([function("arc", 0), function("csqa", 1)]))

    def run(
        *options: object, scores: str = SCORES, setting: dict[str, Any] | None = None
    ) -> Result:
        path = tmp_path / "scores.csv"
        path.write_text(scores)
        if setting is not None:
            (tmp_path / "setting.json").write_text(json.dumps(setting))
            options = (*options, "--setting", tmp_path / "setting.json")
        return CliRunner().invoke(
            app, ["predict", "--with", str(functions), str(path), *map(str, options)]
        )

    return run


def document(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_document_has_the_documented_fields(predict: Predict) -> None:
    found = document(predict("--json"))
    assert list(found) == [
        *("scores_file", "functions_file", "confidence", "draws", "seed"),
        *("same_data", "every_benchmark", "overruled"),
        *("functions", "candidates", "mean_over", "wins", "notes"),
    ]
    assert [(c["id"], c["rank"], c["tier"]) for c in found["candidates"]] == [
        ("books", 1, 1),
        ("code", 2, 1),
        ("web", 3, 2),
    ]
    books = found["candidates"][0]
    assert books["not_told_apart"] == ["code"]
    parts = books["benchmarks"]
    assert list(parts) == ["arc", "csqa"]
    assert (parts["arc"]["seeds"], parts["arc"]["score"]) == (3, pytest.approx(1.1))
    for part in (books, *parts.values()):
        assert part["low"] <= part["predicted_accuracy"] <= part["high"]
        assert part["extrapolated"] is False
    mean = np.mean([part["predicted_accuracy"] for part in parts.values()])
    assert books["predicted_accuracy"] == pytest.approx(mean)
    assert found["wins"]["books"]["web"] > 0.95
    assert found["wins"]["code"]["books"] == pytest.approx(1 - found["wins"]["books"]["code"])
    assert document(predict("--json")) == found


def test_the_long_form_says_the_same(predict: Predict) -> None:
    wide = document(predict("--json"))
    long = ["benchmark,id,metric,seed,tokens"]
    for line in SCORES.splitlines()[1:]:
        name, seed, arc, csqa = line.split(",")
        long += [f"arc,{name},{arc},{seed},5", f"csqa,{name},{csqa},{seed},5"]
    assert document(predict("--json", scores="\n".join(long))) == wide


def test_people_see_the_order_the_tiers_and_what_is_beyond_the_fit(predict: Predict) -> None:
    shown = predict(scores=SCORES.replace("web,a,1.3", "web,a,3.3")).stdout
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    assert "tier 1, not told apart from its first: books, code" in words
    assert "* beyond the fitted scores" in words
    web = next(line for line in shown.splitlines() if "web" in line)
    assert "*" in web
    assert "note: it is not known what the scores were measured with" in words
    assert "probability to beat" in words


def test_the_file_is_one_that_agree_reads(predict: Predict, tmp_path: Path) -> None:
    out, truth = tmp_path / "out.csv", tmp_path / "truth.csv"
    assert predict("--out", out).exit_code == 0
    table = pd.read_csv(out)
    assert list(table["id"]) == ["books", "code", "web"]
    assert list(table.columns[:7]) == [
        *("id", "rank", "tier", "predicted_accuracy", "predicted_low", "predicted_high"),
        "predicted_extrapolated",
    ]
    assert (table["arc_low"] <= table["arc"]).all()
    truth.write_text("id,arc\nbooks,0.6\ncode,0.5\nweb,0.4\n")
    agreed = CliRunner().invoke(app, ["agree", str(out), str(truth), "--json"])
    found = json.loads(agreed.stdout)
    assert found["metrics"]["arc"]["decision_accuracy"] == 1
    assert list(found["metrics"]) == ["predicted_accuracy", "arc", "csqa"]
    assert "compared with 'arc', not their own: 'predicted_accuracy', 'csqa'" in found["notes"]
    assert "no metric, left out: columns 'rank', 'tier', 'predicted_low'" in found["notes"][0]


def test_the_order_of_rows_changes_nothing(predict: Predict) -> None:
    head, *rows = SCORES.split()
    turned = predict("--json", scores="\n".join([head, *rows[::-1]]) + "\n")
    assert document(turned) == document(predict("--json"))


def test_seeds_of_unequal_number_are_said(predict: Predict) -> None:
    notes = document(predict("--json", scores="\n".join(SCORES.split()[:-1])))["notes"]
    assert any("candidates have" in note and "seeds" in note for note in notes)


def test_a_function_for_another_setting_is_refused_unless_forced(predict: Predict) -> None:
    for change, message in (
        ({"target_size": 13_000_000_000}, "a target of 7B parameters, not 13B"),
        ({"metric_version": 2}, "metric version 1, not 2"),
        ({"benchmarks": {"csqa": {"traces": "t2"}}}, "csqa was fitted for other reasoning traces"),
        ({"benchmarks": {"arc": {"benchmark": "b2"}}}, "arc was fitted for other benchmark items"),
    ):
        refused = predict(setting={**SETTING, "benchmarks": {}, **change})
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert not refused.stdout
        forced = predict("--force", setting={**SETTING, "benchmarks": {}, **change})
        assert forced.exit_code == 0
        assert "FORCED: the transfer function of" in forced.stdout
        assert message in " ".join(forced.stdout.split())


def test_what_only_shifts_scores_is_warned_of(predict: Predict) -> None:
    given = {**SETTING, "tokenizer": "k2", "proxy_size": 4_000_000, "benchmarks": {}}
    notes = document(predict("--json", setting=given))["notes"]
    assert notes[:2] == [
        "the transfer function of each of arc, csqa was fitted with another tokenizer",
        "the transfer function of each of arc, csqa was fitted for a proxy of 1B parameters, not"
        " 4M",
    ]
    assert "unknown for the scores: not checked" in notes[2]


def test_what_a_table_lacks_is_said(predict: Predict) -> None:
    notes = document(predict("--json", scores="id,arc,steps\nweb,1.3,5\nbooks,1.1,5\n"))["notes"]
    words = " ".join(notes)
    assert "scores.csv: no metric, left out: column 'steps'" in words
    assert "scores.csv has no scores for 'csqa'" in words
    assert "no candidate has two seeds on arc: these scores are taken as exact" in words
    found = document(predict("--json", scores="id,arc,csqa\nweb,1.3,\nbooks,1.1,1.2\n"))
    assert [(c["id"], c["rank"]) for c in found["candidates"]] == [("books", 1), ("web", None)]
    assert found["candidates"][1]["benchmarks"]["arc"]["predicted_accuracy"] > 0
    assert "not ranked, without a score on each benchmark: 'web'" in found["notes"]
    assert predict(scores="id,arc,csqa\nweb,1.3,\nbooks,1.1,1.2\n").exit_code == 0
    assert predict(scores="id,arc,csqa\nweb,1.3,\nbooks,,1.2\n").exit_code == 0
    assert predict(scores="id,size,arc\nweb,1B,1.3\nbooks,1B,1.1\n").exit_code == 0


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ("id,arcc\nweb,1\n", "no function for 'arcc' of .*; did you mean 'arc'"),
        ("id,benchmark,score\nweb,arc,1\n", "scores.csv:1: a column 'benchmark' and none 'metric'"),
        ("id,arc\nweb,x\n", "scores.csv:2: column 'arc' says 'x'"),
        ("id,arc\nweb,1\nweb,2\n", "scores.csv:3: 'web' comes twice .* add a column 'seed'"),
        ("id,arc\n", "scores.csv: it has no row"),
        ("id,size,arc\nweb,4M,1\nweb,1B,1\n", "its proxies have 2 sizes .'4M', '1B'."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(predict: Predict, scores: str, message: str) -> None:
    result = predict(scores=scores)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_bad_options_are_refused(predict: Predict, tmp_path: Path) -> None:
    for options, message in (
        (("--confidence", "90"), "90 is not between 0 and 1"),
        (("--out", tmp_path / "no" / "where.csv"), "cannot be written"),
        (("--setting", tmp_path / "none.json"), "cannot be read"),
    ):
        result = predict(*options)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
def test_published_runs_fit_and_predict_their_own_later_checkpoints(tmp_path: Path) -> None:
    table = pd.read_csv(RESULTS / "olmo_ladder_pairs.csv")
    chosen = (table["pair"] == "1B-10xC->3B-10xC") & table["task"].isin(["arc_challenge", "piqa"])
    rows = table[chosen].sort_values("tokens")
    early, late = rows[rows["tokens"] < 2e11], rows[rows["tokens"] >= 2e11]
    assert len(early) > 40
    assert len(late) > 10
    names = {"task": "benchmark", "proxy_bpb": "metric", "target_acc_rc": "accuracy"}
    early.rename(columns=names).to_csv(tmp_path / "pairs.csv", index=False)
    late = late.rename(columns=names).assign(id="at-" + late["tokens"].astype(str))
    late[["id", "benchmark", "metric"]].to_csv(tmp_path / "scores.csv", index=False)
    made = tmp_path / "made.json"
    runner = CliRunner()
    fitted = runner.invoke(app, ["fit", str(tmp_path / "pairs.csv"), "--out", str(made)])
    assert fitted.exit_code == 0
    result = runner.invoke(
        app,
        ["predict", "--with", str(made), str(tmp_path / "scores.csv"), "--same-data", "--json"],
    )
    found = {each["id"]: each for each in document(result)["candidates"]}
    held = [
        part["low"] <= accuracy <= part["high"]
        for name, benchmark, accuracy in late[["id", "benchmark", "accuracy"]].itertuples(
            index=False
        )
        for part in [found[name]["benchmarks"][benchmark]]
    ]
    assert np.mean(held) > 0.8
