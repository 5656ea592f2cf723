"""`dataselect calibrate`: checkpoints scored once, paired at equal tokens, fitted, and written."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import GitRefInfo, GitRefs
from small_models import save_model
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.corpus.tokenizer import tokenizer_hash
from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring.rbridge import METRIC_VERSION
from dataselect.transfer.file import read_transfer_file

STEPS = tuple(range(100, 1100, 100))
PER_STEP = 1_000_000
SPEC = """\
proxy: {model: "proxies/step*-hf", tokens_per_step: 1M}
target:
  size: 7B
  tokens: 1B
  csv: target.csv
benchmarks:
  - {id: sums, items: sums.yaml, traces: sums.traces.jsonl.gz}
"""
LM_EVAL = """\
  lm_eval:
    files: "target/**/results_*.json"
    tasks: {sums: {task: sums_cot, metric: "exact_match,flexible-extract"}}
"""


@pytest.fixture(scope="session")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxies")
    for step in STEPS:
        save_model(folder / f"step{step}-hf", seed=step)
    return folder


@pytest.fixture
def project(bench: Any, proxies: Path) -> Path:
    """A folder with a spec, seven checkpoints, traces and the accuracies of a target."""
    folder: Path = bench.folder
    bench.traces()
    (folder / "proxies").symlink_to(proxies)
    rows = [f"sums,{step * PER_STEP},{accuracy(step)}\n" for step in STEPS]
    (folder / "target.csv").write_text("benchmark,tokens,accuracy\n" + "".join(rows))
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def accuracy(step: int) -> float:
    return round(0.1 + 0.6 * step / 1000, 3)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store shared by tests that do not check what is scored."""
    return tmp_path_factory.mktemp("shared") / "store"


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments), "--device", "cpu"])


def refused(*arguments: object) -> str:
    result = calibrate(*arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    return lines[0]


def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list of the checkpoints loaded from now on."""
    from dataselect.scoring import loading

    loaded: list[str] = []
    load = loading.load_model

    def noted(folder: Path, *arguments: Any) -> Any:
        loaded.append(folder.name)
        return load(folder, *arguments)

    monkeypatch.setattr(loading, "load_model", noted)
    return loaded


def test_a_calibration_from_a_pattern_of_folders_and_a_csv(
    project: Path, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loads(monkeypatch)
    result = calibrate("spec.yaml", "--out", "made/transfer.json")
    assert result.exit_code == 0, result.output
    assert loaded == [f"step{step}-hf" for step in STEPS]
    assert "sums: 10 pairs from 100M to 1B tokens, equal tokens" in result.stdout
    assert "transfer functions: made/transfer.json" in result.stdout

    function = read_transfer_file(project / "made/transfer.json")["sums"]
    assert len(function.points) == len(STEPS)
    setting = function.provenance.setting
    assert (setting.target_size, setting.target_tokens) == (7 * 10**9, 10**9)
    assert (setting.proxy_tokens, setting.metric_version) == (1000 * PER_STEP, METRIC_VERSION)
    assert setting.tokenizer == tokenizer_hash(project / "proxies" / "step100-hf")
    assert setting.proxy_size == 300 * 16 + 16 * (4 * 16 + 3 * 32 + 2) + 16 + 300 * 16
    assert function.provenance.calibration == "proxies/step*-hf and target.csv"
    assert [name.partition("@")[0] for name in function.provenance.checkpoints] == loaded

    pairs = pd.read_csv(project / "made/transfer.pairs.csv")
    assert list(pairs["tokens"]) == [step * PER_STEP for step in STEPS]
    assert list(pairs["accuracy"]) == [accuracy(step) for step in STEPS]
    assert list(pairs["target"]) == [f"target.csv:{n}" for n in range(2, 12)]
    assert (
        bench.invoke(
            "score",
            "proxies/step300-hf",
            "--benchmarks",
            "sums.yaml",
            "--traces",
            "sums.traces.jsonl.gz",
            "--device",
            "cpu",
        ).exit_code
        == 0
    )
    metadata = bench.results("step300-hf")["configs"]["sums"]["metadata"]
    assert setting.benchmark == metadata["items_hash"]
    assert setting.traces == metadata["traces"][0]["hash"]
    found = bench.results("step300-hf")["results"]["sums"]
    assert pairs["metric"][2] == pytest.approx(found["rbridge,none"])
    assert pairs["trace_nll"][2] == pytest.approx(found["trace_nll,none"])


def test_fit_on_the_pairs_gives_the_same_functions(project: Path, shared: Path) -> None:
    assert calibrate("spec.yaml", "--store", shared, "--out", "made.json").exit_code == 0
    fitted = CliRunner().invoke(
        app,
        [
            "fit",
            "made.pairs.csv",
            "--setting",
            "made.setting.json",
            "--lower-is-better",
            "--out",
            "fitted.json",
        ],
    )
    assert fitted.exit_code == 0, fitted.output
    made, again = (
        read_transfer_file(project / name)["sums"] for name in ("made.json", "fitted.json")
    )
    assert made.curve == again.curve
    assert made.loo_curves == again.loo_curves
    assert made.provenance.setting == again.provenance.setting
    assert made.provenance.calibration == again.provenance.calibration


def results_file(folder: Path, revision: str, results: dict[str, Any], **arguments: str) -> Path:
    """A results file of lm-evaluation-harness for a revision of the target."""
    given = {"pretrained": "lab/target-7b", "revision": revision, **arguments}
    path = folder / f"target/{revision}/results_2026-01-02T03-04-05.{len(revision)}.json"
    path.parent.mkdir(parents=True)
    content = {
        "results": results,
        "config": {"model": "hf", "model_args": ",".join(f"{k}={v}" for k, v in given.items())},
        "n-samples": {task: {"original": 6, "effective": 6} for task in results},
    }
    path.write_text(json.dumps(content))
    return path


def test_a_target_from_results_of_lm_eval_paired_on_a_grid(project: Path, shared: Path) -> None:
    (project / "spec.yaml").write_text(
        SPEC.replace("  csv: target.csv\n", LM_EVAL)
        + "pair: {every: 100M, last: 1.2B, tolerance: 0.02}\n"
    )
    for step in STEPS:
        metrics = {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": accuracy(step)}
        # The target was saved one step later each time: 1% of 100M tokens, less of later counts.
        name = f"stage1-step{step + 1}-tokens{step + 1}M"
        results_file(project, name, {"sums_cot": metrics, "other": {"acc,none": 0.9}})
    result = calibrate("spec.yaml", "--json", "--store", shared)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["target"] == "lab/target-7b"
    assert document["benchmarks"]["sums"]["points"] == len(STEPS)
    paired, taken = document["notes"][:2]
    assert "at most 1M tokens (1.0%) apart; not paired: 1.1B, 1.2B (no checkpoint" in paired
    assert "'exact_match,flexible-extract' of sums_cot at 10 token counts" in taken
    pairs = pd.read_csv(project / "spec.pairs.csv")
    assert list(pairs["accuracy"]) == [accuracy(step) for step in STEPS]
    assert list(pairs["target_tokens"] - pairs["proxy_tokens"]) == [PER_STEP] * len(STEPS)


def test_results_that_were_measured_differently_are_one_line(project: Path) -> None:
    (project / "spec.yaml").write_text(SPEC.replace("  csv: target.csv\n", LM_EVAL))
    paths = [
        results_file(
            project,
            f"step{step}-tokens{step}M",
            {"sums_cot": {"exact_match,flexible-extract": accuracy(step)}},
        )
        for step in STEPS
    ]
    result = calibrate("spec.yaml", "--dry-run")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "sums: not compared, since 10 of 10 files do not say it: n-shot, task version" in words
    content = json.loads(paths[3].read_text())
    content["n-samples"]["sums_cot"]["effective"] = 3
    content["config"]["limit"] = 3
    paths[3].write_text(json.dumps(content))
    line = refused("spec.yaml", "--dry-run")
    assert f"{paths[3].name}: its sums has 3 items (limit 3), and that of " in line
    assert "; leave one kind of files out, or measure again with one limit" in line


def test_another_protocol_and_the_same_command_again_score_nothing(
    project: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = calibrate("spec.yaml", "--store", shared)
    made = (project / "spec.json").read_bytes(), (project / "spec.pairs.csv").read_bytes()
    loaded = loads(monkeypatch)
    again = calibrate("spec.yaml", "--store", shared)
    assert again.stdout == first.stdout
    assert made == ((project / "spec.json").read_bytes(), (project / "spec.pairs.csv").read_bytes())
    options = ("--protocol", "paper", "--out", "paper.json", "--json")
    paper = calibrate("spec.yaml", "--store", shared, *options)
    found = json.loads(paper.stdout)
    assert found["protocol"] == "paper"
    assert sum(found["benchmarks"]["sums"]["family_wins"].values()) == 5
    assert loaded == []


def test_a_command_that_was_killed_goes_on_and_scores_nothing_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dataselect", "calibrate", "spec.yaml", "--device", "cpu"]
    process = subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    scores = project / ".dataselect" / "artifacts" / "scores"
    until = time.monotonic() + 120
    while len(list(scores.glob("*"))) < 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(scores.glob("*")))
    assert 3 <= done < len(STEPS)
    loaded = loads(monkeypatch)
    assert calibrate("spec.yaml").exit_code == 0
    assert loaded == [f"step{step}-hf" for step in STEPS[done:]]
    assert len(pd.read_csv(project / "spec.pairs.csv")) == len(STEPS)


def test_a_target_evaluated_here_writes_answers_that_are_graded(
    project: Path, shared: Path, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "spec.yaml").write_text(
        SPEC.replace("csv: target.csv", "checkpoints: {model: target, tokens_per_step: 1M}")
    )
    (project / "target").mkdir()
    for step in STEPS:
        os.symlink(project / "proxies" / f"step{step}-hf", project / "target" / f"step{step}")
    loaded = loads(monkeypatch)
    result = calibrate("spec.yaml", "--store", shared)
    assert result.exit_code == 0, result.output
    assert loaded[-len(STEPS) :] == [f"step{step}" for step in STEPS]
    function = read_transfer_file(project / "spec.json")["sums"]
    assert len(function.provenance.checkpoints) == 2 * len(STEPS)
    assert function.provenance.setting.target_tokens == 10**9
    options = ("--benchmarks", "sums.yaml", "--traces", "sums.traces.jsonl.gz", "--accuracy")
    assert bench.invoke("score", "target/step400", *options, "--device", "cpu").exit_code == 0
    measured = bench.results("step400-hf")["results"]["sums"]["exact_match,none"]
    assert pd.read_csv(project / "spec.pairs.csv")["accuracy"][3] == measured


SFT = """\
proxy: {model: "proxies/step*-hf", tokens_per_step: 1M}
target:
  size: 7B
  name: large
  checkpoints: {model: "proxies/step*-hf", tokens_per_step: 1M}
  sft: true
benchmarks:
  - {id: sums, items: sums.yaml, traces: sums.traces.jsonl.gz}
pair: {last: 600M}
"""


def test_a_target_may_be_fine_tuned_on_the_benchmark_before_it_is_asked(
    project: Path, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"t{n}", "question": f"Is it {n}?", "answer": "15"} for n in range(24)]
    bench.write_rows("shots.jsonl", rows)
    (project / "sums.yaml").write_text(bench.yaml + "training_set: true\n")
    (project / "spec.yaml").write_text(SFT)
    recipe = TuneRecipe(learning_rate=1e-2, batch_size=8, epochs=10)
    monkeypatch.setattr("dataselect.scoring.isft.tune_recipe", lambda device: recipe)
    monkeypatch.setattr("dataselect.calibration.provenance.tune_recipe", lambda device: recipe)

    dry = calibrate("spec.yaml", "--dry-run")
    assert "large: accuracy after fine-tuning" in dry.stdout
    result = calibrate("spec.yaml")
    assert result.exit_code == 0, result.output
    pairs = pd.read_csv(project / "spec.pairs.csv")
    # Some models have learnt to answer 15, which is right once.
    assert max(pairs["accuracy"]) == pytest.approx(1 / 6)
    assert all(pairs["target"] == pairs["proxy"] + " fine-tuned")
    provenance = read_transfer_file(project / "spec.json")["sums"].provenance
    tuned = "fine-tuned on the benchmark's training set (epochs 10, learning rate 0.01, batch 8)"
    assert provenance.calibration == f"proxies/step*-hf and large {tuned}"
    assert provenance.checkpoints == (*pairs["proxy"], *pairs["target"])
    assert provenance.calibration in (project / "spec.setting.json").read_text()

    loaded = loads(monkeypatch)
    assert calibrate("spec.yaml").stdout == result.stdout
    assert loaded == []
    # The accuracy is that of `score --isft`, which finds the fine-tuned models in the store.
    options = ("--benchmarks", "sums.yaml", "--traces", "sums.traces.jsonl.gz", "--isft")
    models = [f"proxies/step{step}-hf" for step in STEPS[:6]]
    assert bench.invoke("score", *models, *options, "--device", "cpu").exit_code == 0
    assert "model" not in loaded
    measured = [bench.results(f"step{step}-hf")["results"]["sums"] for step in STEPS[:6]]
    assert list(pairs["accuracy"]) == [each["isft_accuracy,none"] for each in measured]
    (project / "spec.yaml").write_text(SFT.replace("  sft: true\n", ""))
    assert calibrate("spec.yaml").exit_code == 0
    plain = pd.read_csv(project / "spec.pairs.csv")
    assert list(plain["metric"]) == list(pairs["metric"])
    assert max(plain["accuracy"]) == 0


def test_of_a_repository_only_what_is_paired_is_fetched_and_once(
    project: Path, proxies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = {f"stage1-step{step}-tokens{step}M": step for step in STEPS}
    commits = {name: hashlib.sha1(name.encode()).hexdigest() for name in revisions}
    fetched: list[str] = []

    def refs(self: Any, repo_id: str) -> GitRefs:
        branches = [GitRefInfo(n, f"refs/heads/{n}", c) for n, c in commits.items()]
        return GitRefs(branches=branches, converts=[], tags=[])

    def download(name: str, revision: str, allow_patterns: list[str]) -> str:
        assert name == "lab/small"
        fetched.append(revision)
        (wanted,) = (step for label, step in revisions.items() if commits[label] == revision)
        return str(proxies / f"step{wanted}-hf")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", refs)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    proxy = "proxy: {model: lab/small, revisions: 'stage1-*', precision: bfloat16}"
    (project / "spec.yaml").write_text(
        f"{proxy}\n{SPEC.partition(chr(10))[2]}pair: {{first: 100M, last: 1000M, every: 100M}}\n"
    )
    commits["stage1-step950-tokens950M"] = "9" * 40  # never asked for
    result = calibrate("spec.yaml")
    assert result.exit_code == 0, result.output
    wanted = list(commits.values())[: len(STEPS)]
    assert list(dict.fromkeys(fetched)) == wanted
    named = [f"{name}@{commit}" for name, commit in zip(revisions, wanted, strict=True)]
    assert list(pd.read_csv(project / "spec.pairs.csv")["proxy"]) == named
    provenance = read_transfer_file(project / "spec.json")["sums"].provenance
    assert provenance.checkpoints == tuple(named)
    assert provenance.calibration == "lab/small and target.csv"

    fetched.clear()
    assert calibrate("spec.yaml").stdout == result.stdout
    assert fetched == []


def test_a_dry_run_says_what_would_be_done_and_does_nothing(project: Path) -> None:
    result = calibrate("spec.yaml", "--dry-run")
    assert result.exit_code == 0
    assert "10 pairs from 100M to 1B tokens" in result.stdout
    assert result.stdout.count("proxy: step") == len(STEPS)
    assert not (project / ".dataselect").exists()
    assert not list(project.glob("spec.*[!l]"))


def test_what_is_wrong_is_one_line_before_anything_is_scored(project: Path) -> None:
    cases: list[tuple[Callable[[str], str], str]] = [
        (lambda s: s.replace("csv: target.csv", ""), "no accuracies are named"),
        (lambda s: s.replace("1M", "4M"), "sums: 2 pairs from 400M to 800M tokens"),
        (lambda s: s.replace(", tokens_per_step: 1M", ""), "does not tell the training tokens"),
        (lambda s: s.replace("step*-hf", "stop*"), "no folder matches 'proxies/stop*'; in"),
        (lambda s: s.replace("target.csv", "none.csv"), "none.csv: cannot be read"),
        (
            lambda s: s.replace("id: sums", "id: sum"),
            "no accuracy of benchmark 'sum'; did you mean",
        ),
        (lambda s: s + "pair: {every: 7, last: 4B}\n", "there would be 571,428,571 token counts"),
        (lambda s: s + "pair: {every: 100M}\n", "spec.yaml:8:8: pair.every: 'last' is missing"),
    ]
    for change, message in cases:
        (project / "spec.yaml").write_text(change(SPEC))
        assert message in refused("spec.yaml"), message
    (project / "spec.yaml").write_text(SFT)
    assert refused("spec.yaml", "--dry-run").startswith(
        "error: spec.yaml:6:3: target.sft: sums: it has no training set to fine-tune on; leave it"
    )
    (project / "spec.yaml").write_text(SFT.replace("sums.yaml", "sums.jsonl"))
    assert "target.sft: sums: sums.jsonl has items alone" in refused("spec.yaml")
    (project / "spec.yaml").write_text(SPEC)
    assert "this is a folder" in refused("spec.yaml", "--out", "proxies")
    assert "no tracker 'wndb'; did you mean 'wandb'" in refused("spec.yaml", "--track", "wndb")
    assert "there is no such file" in refused("other.yaml")
    assert not (project / ".dataselect" / "artifacts").exists()
