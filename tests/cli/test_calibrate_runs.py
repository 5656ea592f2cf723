"""`dataselect calibrate` on several runs: one table with groups, fitted together."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_models import save_model
from typer.testing import CliRunner, Result

import dataselect as ds
from dataselect.cli import app
from dataselect.transfer.file import read_transfer_file

DATASETS = ("ours", "web", "books")
STEPS = (100, 200, 400)
SPEC = """\
proxy: {model: "{dataset}/step*-hf", tokens_per_step: 1M}
target: {size: 7B, tokens: 1B, csv: "{dataset}.csv"}
runs: [ours, web, books]
benchmarks:
  - {id: sums, items: sums.yaml, traces: sums.traces.jsonl.gz}
"""


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxies")
    for number, dataset in enumerate(DATASETS):
        for step in STEPS:
            save_model(folder / dataset / f"step{step}-hf", seed=step + number)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store shared by the tests, so that only the first one scores."""
    return tmp_path_factory.mktemp("shared") / "store"


@pytest.fixture
def project(bench: Any, proxies: Path) -> Path:
    folder: Path = bench.folder
    bench.traces()
    for number, dataset in enumerate(DATASETS):
        (folder / dataset).symlink_to(proxies / dataset)
        rows = [f"sums,{step}M,{accuracy(step, number)}\n" for step in STEPS]
        (folder / f"{dataset}.csv").write_text("benchmark,tokens,accuracy\n" + "".join(rows))
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def accuracy(step: int, number: int) -> float:
    return round(0.1 + 0.0003 * step + 0.2 * number, 3)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_runs_make_one_table_and_fit_on_it_gives_the_same_functions(
    project: Path, shared: Path
) -> None:
    options = ("--store", shared, "--device", "cpu")
    result = invoke("calibrate", "spec.yaml", *options)
    assert result.exit_code == 0, result.output
    assert "web: sums: 3 pairs from 100M to 400M tokens, equal tokens" in " ".join(
        result.stdout.split()
    )
    pairs = pd.read_csv("spec.pairs.csv")
    assert list(pairs["group"]) == [name for name in DATASETS for _ in STEPS]
    assert list(pairs["accuracy"]) == [accuracy(s, n) for n in range(3) for s in STEPS]
    made = read_transfer_file(project / "spec.json")["sums"]
    assert (made.datasets, made.new_data is not None) == (3, True)
    assert made.provenance.checkpoints == tuple(pairs["proxy"])
    assert len(set(made.provenance.checkpoints)) == 9
    assert made.provenance.calibration == (
        "ours: ours/step*-hf and ours.csv; web: web/step*-hf and web.csv;"
        " books: books/step*-hf and books.csv"
    )
    setting = made.provenance.setting
    assert (setting.target_size, setting.target_tokens) == (7 * 10**9, 10**9)
    assert (setting.proxy_tokens, setting.proxy_size is not None) == (400 * 10**6, True)

    table = ("spec.pairs.csv", "--setting", "spec.setting.json", "--lower-is-better")
    assert invoke("fit", *table, "--out", "fitted.json").exit_code == 0
    fitted = read_transfer_file(project / "fitted.json")["sums"]
    assert (made.curve, made.loo_curves, made.new_data) == (
        *(fitted.curve, fitted.loo_curves, fitted.new_data),
    )
    assert made.provenance.setting == fitted.provenance.setting

    (project / "spec.yaml").write_text(SPEC + "offsets: true\n")
    assert invoke("calibrate", "spec.yaml", *options).exit_code == 0
    own = read_transfer_file(project / "spec.json")["sums"]
    assert own.curve != made.curve
    assert "each dataset with a height of its own, shrunk" in own.provenance.method
    assert invoke("fit", *table, "--offsets", "--out", "fitted.json").exit_code == 0
    assert own.curve == read_transfer_file(project / "fitted.json")["sums"].curve


def test_scores_are_those_of_each_run_alone(project: Path, shared: Path) -> None:
    together = ds.calibrate("spec.yaml", store=shared, device="cpu")
    assert together.verdict.startswith("Calibrated on 3 datasets. On datasets left out the mean")
    assert together.document["datasets"] == list(DATASETS)
    assert together.document["proxy"] == "ours/step*-hf and 2 more"
    text = SPEC.replace("[ours, web, books]", "[web]")
    (project / "one.yaml").write_text(text)
    one = ds.calibrate("one.yaml", store=shared, device="cpu")
    plain = SPEC.replace("{dataset}", "web").replace("runs: [ours, web, books]", "dataset: web")
    (project / "plain.yaml").write_text(plain)
    other = ds.calibrate("plain.yaml", store=shared, device="cpu")
    assert one.functions["sums"].curve == other.functions["sums"].curve
    of_web = together.pairs[together.pairs["group"] == "web"].reset_index(drop=True)
    for found in (one, other):
        pd.testing.assert_frame_equal(found.pairs, of_web)
        assert found.notes[0] == "sums: 3 pairs from 100M to 400M tokens, equal tokens"


def test_a_dry_run_counts_all_runs(project: Path) -> None:
    result = invoke("calibrate", "spec.yaml", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.count("proxy: step") == 9
    assert "web: proxy: step200-hf (" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "3 runs of 3 datasets: 9 checkpoints of proxies to score and 0 of targets to evaluate;"
        " pairs: sums 9"
    )
    assert not (project / ".dataselect").exists()


def test_a_run_that_fails_is_left_out_with_a_note(
    project: Path, proxies: Path, shared: Path
) -> None:
    (project / "books").unlink()
    for step in STEPS:
        folder = project / "books" / f"step{step}-hf"
        folder.mkdir(parents=True)
        for path in (proxies / "books" / folder.name).iterdir():
            broken = path.name.endswith(".safetensors")
            (folder / path.name).write_bytes(b"broken" if broken else path.read_bytes())
    options = ("--store", shared, "--device", "cpu", "--json")
    result = invoke("calibrate", "spec.yaml", *options)
    assert result.exit_code == 3, result.output
    document = json.loads(result.stdout)
    assert document["datasets"] == ["ours", "web"]
    assert list(document["failed"]) == [f"books: proxy step{step}-hf" for step in STEPS]
    assert "books: a benchmark has no pairs left: this run is left out" in document["notes"]
    assert set(pd.read_csv("spec.pairs.csv")["group"]) == {"ours", "web"}


def test_proxies_on_the_hub_are_compared_before_any_is_scored(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only their files tell, so folders stand for them here.
    monkeypatch.setattr(
        "dataselect.calibration.calibrate.segmentation",
        lambda run, *_: "other" if run.spec.dataset == "web" else "one",
    )
    result = invoke("calibrate", "spec.yaml", "--device", "cpu")
    assert result.exit_code == 2
    assert "spec.yaml:1:1: proxies of 'web' have another tokenizer than those of 'ours'" in (
        result.stderr
    )
    assert not (project / ".dataselect" / "artifacts" / "scores").exists()


def test_the_papers_protocol_has_no_offsets_from_the_command_line(project: Path) -> None:
    (project / "spec.yaml").write_text(SPEC + "offsets: true\n")
    result = invoke("calibrate", "spec.yaml", "--protocol", "paper")
    assert result.exit_code == 2
    assert "error: --protocol: the paper's protocol has no offsets; leave them out" in result.stderr
