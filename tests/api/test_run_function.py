"""`ds.run` and `ds.search_mixture` do what the commands do, and show themselves as tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from old_store import unpack
from typer.testing import CliRunner

import dataselect as ds
from dataselect.cli import app
from dataselect.stages.watch import SilentWatch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def result(world: Path) -> ds.RunResult:
    return ds.run(world / "manifest.yaml", world / "plan.yaml", store=world / "store")


def without_time(document: Any) -> Any:
    document = json.loads(json.dumps(document))
    del document["cost"]["seconds"]["this_run"]
    # The file has a checksum, of the time too.
    document.pop("sha256", None)
    return document


def command(world: Path, *words: str) -> None:
    done = CliRunner().invoke(app, [*words, "--store", str(world / "store")])
    assert done.exit_code == 0, done.output


def test_the_command_reports_what_the_function_gives(world: Path, result: ds.RunResult) -> None:
    out = world / "by-command"
    given = ["run", str(world / "manifest.yaml"), "--plan", str(world / "plan.yaml")]
    command(world, *given, "--out", str(out))
    assert without_time(json.loads((out / "report.json").read_text())) == without_time(
        result.document
    )
    page = result.write(world / "by-function")
    assert page.read_text().splitlines()[:12] == (out / "README.md").read_text().splitlines()[:12]
    assert (page.parent / "ranking.csv").read_text() == (out / "ranking.csv").read_text()


def test_its_tables_are_frames_in_the_units_that_they_say(result: ds.RunResult) -> None:
    ranking = result.ranking
    assert ranking.index.name == "id"
    assert set(ranking.index) == {"worked", "prose", "blend", "copy"}
    assert list(ranking["status"]) == ["ranked", "ranked", "pruned", "pruned"]
    assert ranking["rank"].tolist() == [1, 2, 3, 4]
    assert (ranking["stage1_low"] <= ranking["stage1_score"]).all()
    assert (result.wins.loc[["worked", "copy"], ["worked", "copy"]] == 0.5).all(axis=None)
    assert result.agreement is None, "no target is known"
    assert result.cost["total"] < result.cost["naive"]
    assert result.complete
    assert result.mixture_problem is None


def test_it_shows_itself_in_a_notebook(result: ds.RunResult) -> None:
    page = result._repr_html_()
    assert result.verdict in page
    assert "<table" in page
    assert result.next_step.split("'")[0] in page
    assert result.verdict in repr(result)
    assert "\n" not in repr(result)


def test_the_next_step_is_a_field_of_its_own(result: ds.RunResult) -> None:
    assert result.next_step.startswith("Next: ")
    assert result.next_step == result.document["next_step"]
    assert "Next" not in result.verdict
    assert result.document["decision"]["next"]["action"]


def test_known_targets_judge_the_whole_run(world: Path, result: ds.RunResult) -> None:
    first, *others = result.ranking.index
    known = {first: 0.2, **{name: 0.5 + place / 10 for place, name in enumerate(others)}}
    rows = "".join(f"{name},{accuracy}\n" for name, accuracy in known.items())
    (world / "known.csv").write_text(f"id,arc\n{rows}elsewhere,0.9\n")
    manifest = (world / "manifest.yaml").read_text()
    (world / "judged.yaml").write_text(f"{manifest}\nevidence: {{target_accuracy: known.csv}}\n")
    judged = ds.run(world / "judged.yaml", world / "plan.yaml", store=world / "store")
    assert judged.verdict == result.verdict
    truth = judged.document["truth"]
    assert truth["best"] == [others[-1]], "a target of no candidate is not the best"
    assert truth["regret"] == pytest.approx(known[others[-1]] - 0.2)
    assert judged.ranking["true_accuracy"].to_dict() == pytest.approx(known)
    assert "true accuracy" in judged._repr_html_()
    assert "true_accuracy" not in result.ranking


def test_without_out_nothing_is_written(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = ds.load_manifest(world / "manifest.yaml")
    plan = ds.load_plan("plan.yaml", world)
    ds.run(manifest, plan, store=world / "store", watch=SilentWatch())
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_an_input_error(world: Path) -> None:
    with pytest.raises(ds.InputError, match="there is no plan 'nowhere'"):
        ds.run(world / "manifest.yaml", "nowhere", store=world / "store")


def test_a_search_is_the_command_s_search(world: Path) -> None:
    found = ds.search_mixture(
        world / "manifest.yaml", world / "mix.yaml", store=world / "store", command="told"
    )
    out = world / "mixture"
    given = ["mix", str(world / "manifest.yaml"), "--plan", str(world / "mix.yaml")]
    command(world, *given, "--out", str(out))
    document = json.loads((out / "proposal.json").read_text())
    # What writes files also notes what they cannot hold.
    changing = ("command", "notes")
    assert {k: v for k, v in document.items() if k not in changing} == {
        k: v for k, v in json.loads(json.dumps(found.document)).items() if k not in changing
    }
    assert found.shares == json.loads((out / "weights.json").read_text())
    assert found.table["weight"].to_dict() == pytest.approx(found.shares)
    assert sorted(found.trials["role"].unique()) == ["designed", "prior"]
    assert isinstance(found.trials, pd.DataFrame)
    assert found.verdict in found._repr_html_()
