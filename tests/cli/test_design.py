"""`dataselect design`: what is printed, the plan file, and refusals in one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.config.plan import load_plan

PLAN = """\
tokenizer: {train: {vocab_size: 50304}}
benchmarks:
  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}
screen: {proxy: {size: 4M, tokens: 375M}, keep: 2}
"""


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN)
    path = tmp_path / "candidates.yaml"
    rows = "".join(f"  - {{id: c{i}, path: c{i}.jsonl}}\n" for i in range(12))
    path.write_text(f"target: {{size: 100M, tokens: 5B}}\nplan: plan.yaml\ncandidates:\n{rows}")
    return path


def design(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["design", *map(str, arguments)])


def test_it_prints_rungs_frontier_and_other_choices_in_80_columns(manifest: Path) -> None:
    options = ("--flops-per-second", "300 TFLOP/s", "--price", "2.5 USD", "--spread", 2.3)
    result = design(manifest, "--budget", "5 USD", *options, "--metric", "label_nll")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    printed = " ".join(result.output.split())
    assert "for all 12" in printed
    assert "USD (1/" in printed
    assert "points at random" in printed
    for heading in ("best still in", "Other budgets", "Other choices at this budget"):
        assert heading in printed
    for shape in ("two stages", "single stage", "successive halving", "one at random"):
        assert shape in printed
    assert "note: it rests on likelihoods of OLMES's ten tasks" in printed
    assert "tokens of a candidate" in printed


def test_an_unpaid_budget_of_the_frontier_is_named(manifest: Path) -> None:
    printed = " ".join(design(manifest, "--budget", "1e17").output.split())
    assert "not paid for" in printed
    assert "of the targets' spread" in printed


def test_the_plan_file_can_be_run(manifest: Path) -> None:
    file = manifest.with_name("designed.yaml")
    result = design(manifest, "--budget", "3e16", "--out", file)
    assert result.exit_code == 0, result.output
    assert f"plan: {file}" in result.output.replace("\n", "")
    assert file.read_text().startswith("# Written by: dataselect")
    plan = load_plan(file)
    assert plan.screen.proxy is not None
    assert plan.screen.proxy.size == "4M"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--budget", "a lot"), "--budget: 'a lot' is not an amount"),
        (("--budget", "40 GPU-hours"), "--flops-per-second"),
        (("--budget", "1e12"), "train no proxy for each of 12 candidates"),
        (("--budget", "1e18", "--metric", "bleu"), "there is no 'bleu'"),
        (("--budget", "1e18", "--plan", "nowhere"), "there is no plan 'nowhere'"),
        (("--budget", "1e18", "--out", "plan.txt"), "ends in .yaml"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    manifest: Path, options: tuple[str, ...], says: str
) -> None:
    result = design(manifest, *options)
    assert result.exit_code == 2
    assert says in result.output
    assert result.output.count("\n") == 1
    assert result.output.startswith("error: ")


def test_a_budget_is_required(manifest: Path) -> None:
    assert design(manifest).exit_code == 2


def test_the_quickstarts_own_plan_is_what_is_proposed_for_its_transfer_function(
    tmp_path: Path,
) -> None:
    own = load_plan("quickstart")
    file = tmp_path / "designed.yaml"
    manifest = Path(__file__).parents[2] / "candidates" / "quickstart.yaml"
    result = design(manifest, "--budget", "1.2e13", "--keep-last", "--out", file)
    assert result.exit_code == 0, result.output
    made = load_plan(file)
    assert made.predict is not None
    assert own.predict is not None
    assert [stage.proxy for stage in made.stages] == [stage.proxy for stage in own.stages]
    assert (made.screen.keep, made.screen.seeds) == (own.screen.keep, own.screen.seeds)
    assert (made.predict.seeds, Path(made.predict.transfer or "").name) == (1, "transfer.json")


def test_a_plan_without_a_last_stage_has_none_to_keep(manifest: Path) -> None:
    result = design(manifest, "--budget", "3e16", "--keep-last")
    assert result.exit_code == 2
    assert "--keep-last: the plan has no last stage" in result.output
