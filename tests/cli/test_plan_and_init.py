"""`plan` counts what a run would cost and spends nothing; `init` only writes a project."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.proxies.ladder import Shape
from dataselect.report.numbers import significant
from dataselect.units import format_flops


def test_plan_prints_the_paper_s_sum_before_anything_is_spent(project: Any) -> None:
    store = project.folder / "store"
    result = CliRunner().invoke(app, ["plan", str(project.manifest), "--store", str(store)])
    assert result.exit_code == 0, result.output
    # 8k tokens are 62 steps of 4 x 32; the vocabulary of 300 is planned, not trained yet.
    tokens = 62 * 4 * 32
    first = 6 * Shape(16, 1, 2, 2, 64).parameters(300) * tokens
    second = 6 * Shape(32, 1, 2, 2, 128).parameters(300) * tokens
    target = 6 * 1_000_000 * 20_000_000
    total, naive = 3 * first + 2 * second + target, 3 * target
    printed = " ".join(result.output.split())
    assert f"N·C1 + k·C2 + Ct = {format_flops(total)}" in printed
    assert f"N·Ct = {format_flops(naive)}: {naive / total:.1f} times" in printed
    assert f"1/{significant(target / first)}" in printed, "not more digits than mean something"
    assert "this store has seen no training yet" in printed
    assert not store.exists()


def test_plan_estimates_the_time_from_earlier_trainings(project: Any) -> None:
    store = project.folder / ".dataselect"
    assert project.run("run", "candidates.yaml").returncode == 0
    result = CliRunner().invoke(app, ["plan", str(project.manifest), "--store", str(store)])
    assert "that 5 earlier trainings in this store reached" in " ".join(result.output.split())


def test_init_refuses_to_overwrite(tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["init", str(tmp_path / "mine")])
    assert first.exit_code == 0, first.output
    assert (tmp_path / "mine" / "candidates" / "quickstart.yaml").exists()
    assert (tmp_path / "mine" / "reports" / "README.md").exists()
    again = CliRunner().invoke(app, ["init", str(tmp_path / "mine")])
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_new_project_s_first_manifest_is_valid_as_it_is_written(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["init", str(tmp_path / "mine")])
    assert made.exit_code == 0, made.output
    assert [line.split()[0] for line in made.stdout.splitlines()[:4]] == [
        f"{tmp_path}/mine/{part}/" for part in ("candidates", "stages", "data", "reports")
    ]
    assert "dataselect run candidates/example-local.yaml" in made.stdout
    manifest = tmp_path / "mine/candidates/example-local.yaml"
    checked = CliRunner().invoke(app, ["validate", str(manifest)])
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.splitlines()[-1] == (
        "short texts give enough tokens: our-crawl, textbooks"
    ), "no source is repeated beyond max_repeats"
    for text in (manifest.read_text(), (tmp_path / "mine/stages/first.yaml").read_text()):
        assert "EDIT" in text
    again = CliRunner().invoke(app, ["init", str(tmp_path / "other")])
    assert again.exit_code == 0
    for path in (tmp_path / "mine/data").rglob("*.*"):
        same = tmp_path / "other" / path.relative_to(tmp_path / "mine")
        assert same.read_bytes() == path.read_bytes(), "everybody starts from the same texts"


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("dataselect 0.")
