"""A whole search with real proxies, and the input errors before any training."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from ruamel.yaml import YAML
from small_swarms import few_folds
from stage_world import Counted, experiment, write_world
from typer.testing import CliRunner, Result

from dataselect.benchmarks.items import Exclusion
from dataselect.cli import app
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.config.proxy import Proxy
from dataselect.config.stage import Predict
from dataselect.errors import DataselectError, IncompleteError, InputError, LockedError
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.prepare import check, prepare
from dataselect.mixture_search.search import Found, search, settle
from dataselect.mixture_search.trial_runner import TrialRunner
from dataselect.report.markdown import escape
from dataselect.report.mixture.search import search_document, spent_document, write_search
from dataselect.scoring.likelihood import scorer
from dataselect.scoring.non_finite import NOT_FINITE
from dataselect.stages.predict import setting as target_setting
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.runtime import Runtime
from dataselect.store import Store, lock
from dataselect.transfer.file import read_transfer_file, to_json
from dataselect.transfer.function import Provenance
from dataselect.transfer.function import fit as fit_function

MIX = """
confidence: 0.8
mix:
  sources: [worked, prose]
  trials: 9
  replicates: 2
  confirm: 2
  objective: {short: 3, long: 1}
  constraints: constraints.yaml
  target_epochs: false
"""
CONSTRAINTS = """
max_repetition: 2
prior: {worked: 0.25, prose: 0.75}
sources:
  worked: {tokens: 8M}
  prose: {tokens: 100M}
"""


@pytest.fixture(scope="module", autouse=True)
def _few_folds() -> Iterator[None]:
    with few_folds():
        yield


def write(folder: Path, mix: str = MIX) -> None:
    write_world(folder, tokens=1500)
    (folder / "plan.yaml").write_text((folder / "plan.yaml").read_text() + mix)
    (folder / "constraints.yaml").write_text(CONSTRAINTS)


def prepared(folder: Path, compute: Any = None) -> TrialRunner:
    manifest, plan = load_manifest(folder / "manifest.yaml"), load_plan("plan.yaml", folder)
    store = Store(folder / "store")
    return prepare(gather_inputs(manifest, plan, Runtime(store, compute or Counted())))


def searched(folder: Path, compute: Counted) -> Found:
    manifest, plan = load_manifest(folder / "manifest.yaml"), load_plan("plan.yaml", folder)
    runtime = Runtime(Store(folder / "store"), compute)
    return search(gather_inputs(manifest, plan, runtime))


def mix(folder: Path, *options: str) -> Result:
    given = [str(folder / "manifest.yaml"), "--plan", str(folder / "plan.yaml")]
    stored = ["--store", str(folder / "store"), "--out", str(folder / "out")]
    return CliRunner().invoke(app, ["mix", *given, *stored, *options])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found, list[str]]:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    write(folder)
    compute = Counted()
    return folder, searched(folder, compute), compute.names


def test_every_trial_is_trained_once_and_the_proposal_is_confirmed_with_fresh_seeds(
    world: tuple[Path, Found, list[str]],
) -> None:
    folder, found, jobs = world
    assert jobs == [f"mix/trial {i}" for i in range(13)]
    assert found.trials == 9
    assert found.measured is not None
    assert found.measured.seeds == 2
    trained = [r for r in Store(folder / "store").ledger() if r["kind"] == "proxy"]
    assert len(trained) == len({record["key"] for record in trained}) == 13
    assert found.spent.jobs == len(Store(folder / "store").ledger())
    assert found.spent.flops == pytest.approx(found.flops)
    assert found.proposal.shares.sum() == pytest.approx(1)
    assert found.proposal.shares[0] <= 0.8 + 1e-9, "8M tokens twice, of the target's 20M"


def test_a_mixture_s_proxy_is_the_one_that_stage_1_trains(
    world: tuple[Path, Found, list[str]],
) -> None:
    folder, _, _ = world
    (stage1,) = experiment(folder, Counted()).sources(StageName.SCREEN, "blend")
    runner = prepared(folder)
    assert runner.source(Trial((0.75, 0.25), 0)).spec == stage1.spec
    assert runner.source(Trial((0.75, 0.25), 1)).spec != stage1.spec


def test_the_result_says_nothing_of_what_interrupted_the_search(
    world: tuple[Path, Found, list[str]],
) -> None:
    folder, found, _ = world
    given = load_manifest(folder / "manifest.yaml"), load_plan("plan.yaml", folder), "dataselect"
    spent = replace(found.spent, jobs=99, failed_jobs=3, wall_seconds=1e4)
    killed = replace(found, failed=3, trial_seconds=1e4, spent=spent)
    assert search_document(killed, *given) == search_document(found, *given)
    told = spent_document(killed)
    assert (told["failed"], told["spent_in_this_store"]["jobs"]) == (3, 99)


def test_the_command_finds_all_trials_and_writes_what_trainers_and_mix_read(
    world: tuple[Path, Found, list[str]],
) -> None:
    folder, found, _ = world
    before = len(Store(folder / "store").ledger())
    result = mix(folder)
    assert result.exit_code == 0, result.output
    assert len(Store(folder / "store").ledger()) == before
    text = " ".join(result.output.split())
    assert "measured gain over the prior: " in text
    assert "9 trials" in text
    out = folder / "out"
    document = json.loads((out / "proposal.json").read_text())
    shares = dict(zip(("worked", "prose"), found.proposal.shares.tolist(), strict=True))
    assert {k: v["weight"] for k, v in document["sources"].items()} == shares
    assert document["sources"]["worked"]["epochs"] == pytest.approx(shares["worked"] * 20 / 8)
    assert set(document["beside"]) == {"prior", "uniform", "best single source", "best run"}
    confirmed = document["confirmed"]
    assert set(confirmed["benchmarks"]) == {"short", "long"}
    assert confirmed["objective"]["low"] < confirmed["objective"]["value"]
    assert document["search"]["share_of_target"] == pytest.approx(found.flops / (6e6 * 20e6))
    assert json.loads((out / "weights.json").read_text()) == {k: v for k, v in shares.items() if v}
    assert "measured " in (out / "README.md").read_text()
    assert (out / "course.svg").is_file()
    assert [step["trial"] for step in document["search"]["steps"]] == list(range(13))
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert len(rows) == 9
    assert set(rows[0]) == {"run", "short", "long"}
    files = ["--ratios", str(out / "ratios.csv"), "--metrics", str(out / "metrics.csv")]
    again = CliRunner().invoke(app, ["mix", "fit", *files, "--lower-is-better"])
    assert again.exit_code == 0, again.output


def test_a_trial_with_a_value_that_is_not_finite_is_left_out_named_and_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, MIX.replace("confirm: 2", "confirm: 0"))
    plain, calls = scorer.score, iter(range(1000))

    def torn(model: Any, items: Any, *rest: Any, **options: Any) -> scorer.Scores:
        found = plain(model, items, *rest, **options)
        if next(calls) != 4:  # the third trial's first benchmark
            return found
        lost = Exclusion(items[0].item_id, NOT_FINITE)
        return replace(found, table=found.table.iloc[1:], exclusions=(lost,))

    monkeypatch.setattr(scorer, "score", torn)
    found = searched(tmp_path, Counted())
    # One of six items is within what a model may lack, but a trial's mean is over all or none.
    reason = "its values are not finite numbers on 1 of 6 items of short"
    assert [why.partition(";")[0] for why in found.unscored.values()] == [reason]
    ((number, _),) = found.unscored.items()
    assert (found.diverged, found.trials) == (1, 8)
    assert number not in [entry.trial for entry in found.history]
    assert any(f"trial {number} is left out: {reason}" in note for note in found.notes)

    result = mix(tmp_path)
    assert result.exit_code == 3, result.output
    assert f"trial {number} is left out: {reason}" in " ".join(result.output.split())
    document = json.loads((tmp_path / "out" / "proposal.json").read_text())
    assert list(document["search"]["unscored"]) == [str(number)]
    assert reason in (tmp_path / "out" / "README.md").read_text()


def test_trials_that_workers_of_two_kinds_of_machines_trained_are_told(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "world"
    shutil.copytree(world[0], folder)
    assert not any("kinds of machines" in note for note in world[1].notes)
    (journal,) = (folder / "store" / "mixtures").glob("*.journal")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    # As a journal without checksums, which older versions wrote.
    for line in lines:
        line.pop("sha256", None)
    told = [line for line in lines if "trained_on" in line.get("user_attr", {})]
    assert len(told) == 13
    # As a worker elsewhere reports it, and one of an older version.
    told[3]["user_attr"]["trained_on"][0]["instructions"] = "another set"
    lines.remove(told[5])
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    result = mix(folder)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "the proxies were trained by different kinds of machines" in text
    assert "trial 0, trial 1, trial 2 and 8 more" in text
    document = json.loads((folder / "out" / "proposal.json").read_text())
    (note,) = [note for note in document["notes"] if "kinds of machines" in note]
    assert "instructions another set: trial 3" in note
    assert "trial 5" in note
    assert escape(note) in (folder / "out" / "README.md").read_text()


def test_files_that_count_documents_use_the_lengths_of_the_search_s_streams(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    runner, found = prepared(world[0]), world[1]
    streams = [runner.corpus.streams[name] for name in runner.sources]
    lengths = np.array([each.tokens / each.index["documents"] for each in streams])
    assert found.limits.tokens_per_document == pytest.approx(lengths)
    assert np.isnan(runner.limits.tokens_per_document).all()
    given = replace(runner.limits, tokens_per_document=np.array([7.0, np.nan]))
    filled = replace(runner, limits=given).limits_with_lengths().tokens_per_document
    assert filled == pytest.approx([7.0, lengths[1]])
    document = write_search(found, runner.experiment.manifest, runner.experiment.plan, tmp_path, "")
    assert not any("tokens_per_document" in note for note in document["notes"])
    made = YAML(typ="safe").load((tmp_path / "streaming.yaml").read_text())["streams"]
    documents = np.array(
        [made[name]["proportion"] if name in made else 0 for name in found.settings.sources]
    )
    tokens = documents * lengths / (documents * lengths).sum()
    assert tokens == pytest.approx(found.proposal.shares, abs=1e-6)


def test_a_run_searches_after_its_stages_where_the_plan_says_so(
    world: tuple[Path, Found, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found, _ = world
    monkeypatch.setattr("dataselect.stages.engine.default_compute", lambda *_, **__: Counted())
    plan = (folder / "plan.yaml").read_text()
    (folder / "run.yaml").write_text(plan)
    given = [str(folder / "manifest.yaml"), "--plan", str(folder / "run.yaml")]
    stored = ["--store", str(folder / "store"), "--out", str(folder / "reports" / "run")]
    result = CliRunner().invoke(app, ["run", *given, *stored])
    assert result.exit_code == 0, result.output
    out = folder / "reports" / "run"
    shares = json.loads((out / "mixture" / "weights.json").read_text())
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares.values()) == pytest.approx(found.proposal.shares.max())
    report = json.loads((out / "report.json").read_text())
    mixture, cost = report["mixture"], report["cost"]
    assert mixture["status"] == "done"
    assert mixture["verdict"].startswith(f"{100 * max(shares.values()):.1f}% worked")
    assert cost["flops"]["mixture"] == mixture["proposal"]["search"]["flops"] > 0
    # One trial has the shares of a candidate, and so the same proxy.
    trained = [r["key"] for r in Store(folder / "store").ledger() if r["kind"] == "proxy"]
    assert cost["spent"]["stage1"]["jobs"] + cost["spent"]["mixture"]["jobs"] == len(
        Store(folder / "store").ledger()
    )
    assert len(trained) == len(set(trained))
    page = (out / "README.md").read_text()
    for name in ("plots/mixture", "mixture/slices"):
        assert f"({name}.svg)" in page
        assert (out / f"{name}.svg").is_file()
    assert "The search for a mixture took " in page
    assert "| mixture | " in page
    resolved = load_manifest(out / "resolved.yaml").document_at(Plan, "plan")
    assert resolved.mix is not None
    assert (out / str(resolved.mix.constraints)).samefile(folder / "constraints.yaml")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (IncompleteError("2 trials failed (<why>)"), 3),
        (InputError("floors", "none", "loosen it"), 2),
    ],
)
def test_a_search_that_fails_leaves_the_report_of_the_selection(
    world: tuple[Path, Found, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    problem: DataselectError,
    code: int,
) -> None:
    def fail(*_: object) -> None:
        assert "is not finished. The command" in (out / "README.md").read_text(), "written before"
        raise problem

    folder, out = world[0], world[0] / "reports" / "failing"
    monkeypatch.setattr("dataselect.stages.engine.default_compute", lambda *_, **__: Counted())
    monkeypatch.setattr("dataselect.mixture_search.search.search", fail)
    plan = (folder / "plan.yaml").read_text()
    (folder / "run.yaml").write_text(plan)
    given = [str(folder / "manifest.yaml"), "--plan", str(folder / "run.yaml")]
    stored = ["--store", str(folder / "store"), "--out", str(out)]
    result = CliRunner().invoke(app, ["run", *given, *stored])
    assert result.exit_code == code
    assert f"error: no mixture was found: {problem}" in result.output
    assert "to go on: dataselect" in result.output
    page = (out / "README.md").read_text()
    assert "comes first" in page
    assert f"The search for weights is not finished: {escape(str(problem))}. The command" in page
    made = json.loads((out / "report.json").read_text())
    assert (made["mixture"]["status"], made["mixture"]["problem"]) == ("failed", str(problem))
    assert made["cost"]["flops"]["mixture"] == 0
    assert not (out / "mixture").exists()


def test_without_more_words_all_texts_are_mixed_around_equal_weights(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    write(tmp_path, "mix: {trials: 8}")
    shutil.copytree(world[0] / "store", tmp_path / "store")
    runner = prepared(tmp_path)
    limits, settings, notes = settle(runner)
    assert settings.sources == ("worked", "prose")
    assert settings.prior.tolist() == [0.5, 0.5]
    assert settings.objective.tolist() == [0.5, 0.5]
    assert (limits.feasible.upper == 1).all()
    assert notes == []


def test_a_source_of_little_text_is_bounded_in_trials_but_not_in_the_proposal(
    world: tuple[Path, Found, list[str]],
) -> None:
    runner = prepared(world[0])
    scarce = replace(runner, most=(0.3, 1.0), mix=runner.mix.model_copy(update={"confirm": 0}))
    limits, settings, notes = settle(scarce)
    assert settings.limits.feasible.upper.tolist() == [0.3, 1.0]
    assert limits.feasible.upper.tolist() == [0.8, 1.0]
    assert notes == ["worked: its text allows weights of up to 0.3 in trials"]
    with pytest.raises(InputError, match="too little text"):
        settle(replace(runner, most=(0.3, 0.6)))


def changed(find: str, put: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in ("plan.yaml", "manifest.yaml", "constraints.yaml"):
            path = folder / name
            path.write_text(path.read_text().replace(find, put))

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed("[worked, prose]", "[worked, pros]"), "plan.yaml:17:21: there is no source"),
        (changed("[worked, prose]", "[worked]"), "mix.sources"),
        (changed("{short: 3", "{shirt: 3"), "did you mean 'short'"),
        (changed("trials: 9", "trials: 5"), "a number of at least 8"),
        (changed("replicates: 2", "replicates: 8"), "8 of 8 designed trials leave none"),
        (changed("  proxy:\n", "  train: {command: 'x {output}'}\n  nothing:\n"), "nothing"),
        (changed("worked: {tokens: 8M}", "worked: {tokens: 8M, min: 0.9}"), "weight 0.9"),
        (changed("{tokens: 100M}", "{tokens: 1M}"), "constraints.yaml:1:1: the sources allow"),
        (changed("  prose: {tok", "  pros: {tok"), "is no source of the model"),
        (changed("worked: 0.25", "worked: 0.5"), "the weights sum to 1.25"),
    ],
)
def test_bad_input_is_told_with_place_and_mend_before_anything_is_trained(
    world: tuple[Path, Found, list[str]],
    tmp_path: Path,
    change: Callable[[Path], None],
    told: str,
) -> None:
    write(tmp_path)
    change(tmp_path)
    shutil.copytree(world[0] / "store", tmp_path / "store")
    before = len(Store(tmp_path / "store").ledger())
    result = mix(tmp_path)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert len(Store(tmp_path / "store").ledger()) == before


def test_a_search_needs_enough_trials_for_its_sources(tmp_path: Path) -> None:
    write(tmp_path)
    manifest, plan = load_manifest(tmp_path / "manifest.yaml"), load_plan("plan.yaml", tmp_path)
    more = [manifest.text_sources()["worked"].model_copy(update={"id": f"s{i}"}) for i in range(9)]
    many = manifest.model_copy(update={"sources": more})
    assert plan.mix is not None
    mixed = plan.model_copy(update={"mix": plan.mix.model_copy(update={"sources": None})})
    with pytest.raises(InputError, match="8 designed trials are too few for 11 sources"):
        check(many, mixed)


def test_a_storage_that_cannot_be_opened_is_told_without_its_password(
    world: tuple[Path, Found, list[str]],
) -> None:
    result = mix(world[0], "--storage", "oracle-like://me:secret@nowhere/x")
    assert result.exit_code == 2
    assert "--storage: the storage cannot be opened" in result.output
    assert "secret" not in result.output


def test_a_search_is_refused_beside_a_run_of_an_older_version_which_has_the_store_for_itself(
    world: tuple[Path, Found, list[str]],
) -> None:
    store = world[0] / "store"
    with lock(store, "the store"):
        assert mix(world[0]).exit_code == 4
    shared = lock(store, "the store", shared=True), lock(store, "the store", shared=True)
    with shared[0], shared[1], pytest.raises(LockedError), lock(store, "the store"):
        pass


def write_functions(folder: Path, **changes: Any) -> None:
    """Transfer functions for both benchmarks, fitted for this world unless `changes` say else."""
    runner = prepared(folder)
    functions = []
    for name, slope in (("short", -0.05), ("long", -0.02)):
        own = replace(
            target_setting(
                runner.experiment,
                name,
                runner.recipe.parameters,
                runner.recipe.tokens,
                runner.corpus.tokenizer.hash,
            ),
            **changes,
        )
        x = np.linspace(4, 7, 8)
        y = 0.5 + slope * (x - 5) + 0.002 * np.cos(9 * x)
        functions.append(
            fit_function(x, y, benchmark=name, provenance=Provenance(own, "made up", "none"))
        )
    (folder / "transfer.json").write_text(to_json(functions))


def accurate_world(like: Path, folder: Path, **changes: Any) -> None:
    """The world of a search for accuracy, its proxies as far as another world trained them."""
    write(folder)
    shutil.copytree(like / "store", folder / "store")
    write_functions(folder, **changes)
    write(folder, MIX + "  transfer: transfer.json\n")


def test_a_search_for_accuracy_says_what_the_target_gains_in_points(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    accurate_world(world[0], tmp_path)
    result = mix(tmp_path, "--pareto", "3")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "proposal.json").read_text())
    accuracy = document["accuracy"]
    assert accuracy["weights"] == {"short": 0.75, "long": 0.25}
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    parts = accuracy["benchmarks"]
    mean = sum(share * parts[name]["value"] for name, share in accuracy["weights"].items())
    assert accuracy["value"] == pytest.approx(mean)
    prior = accuracy["beside"]["prior"]
    assert prior["gain"] == pytest.approx(accuracy["value"] - prior["value"])
    assert prior["gain_low"] < prior["gain"] < prior["gain_high"]
    assert set(accuracy["beside"]) == set(document["beside"])
    assert document["search"]["maximises"] == "accuracy"
    assert document["objective"]["low"] < document["objective"]["value"]
    confirmed = document["confirmed"]["accuracy"]
    assert confirmed["low"] < confirmed["value"] < confirmed["high"]
    assert document["trade_offs"]
    for each in document["trade_offs"]:
        assert each["metrics"]["short"]["low"] < each["metrics"]["short"]["value"]
        assert 0 < each["accuracy"] < 1
    text = " ".join(result.output.split())
    assert "predicted accuracy of the target" in text
    assert "points of accuracy by the transfer functions" in text
    assert "trade-off 1: objective" in text


@pytest.mark.parametrize(
    ("changes", "drop", "told"),
    [
        ({"traces": "others"}, None, "plan.yaml:24:3: the transfer function of short was fitted"),
        ({}, "long", "plan.yaml:24:3: transfer.json has no transfer function for long"),
    ],
)
def test_functions_that_do_not_apply_are_refused_where_the_search_names_them(
    world: tuple[Path, Found, list[str]],
    tmp_path: Path,
    changes: dict[str, Any],
    drop: str | None,
    told: str,
) -> None:
    accurate_world(world[0], tmp_path, **changes)
    if drop is not None:
        kept = [f for n, f in read_transfer_file(tmp_path / "transfer.json").items() if n != drop]
        (tmp_path / "transfer.json").write_text(to_json(kept))
    before = len(Store(tmp_path / "store").ledger())
    result = mix(tmp_path)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert len(Store(tmp_path / "store").ledger()) == before


def test_the_functions_of_stage_2_are_the_objective_where_the_proxies_are_the_same(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    write(tmp_path)
    shutil.copytree(world[0] / "store", tmp_path / "store")
    write_functions(tmp_path)
    runner = prepared(tmp_path)
    plan = runner.experiment.plan

    def settled(proxy: Proxy | None, transfer: Literal[False] | None = None) -> Any:
        stage = Predict(proxy=proxy, transfer="transfer.json")
        changed = plan.model_copy(update={"predict": stage})
        mix = runner.mix.model_copy(update={"transfer": transfer})
        experiment = replace(runner.experiment, plan=changed)
        _, settings, notes = settle(replace(runner, experiment=experiment, mix=mix))
        return settings.target, notes

    proxy = plan.screen.proxy
    assert proxy is not None
    found, notes = settled(proxy)
    assert found is not None
    assert found.weights.tolist() == [0.75, 0.25]
    assert notes == []
    assert settled(proxy, False) == (None, [])
    assert settled(proxy.model_copy(update={"seed": 7})) == (None, [])
    write_functions(tmp_path, target_size=7, proxy_tokens=9)
    nothing, told = settled(proxy)
    assert nothing is None
    assert "a target of 7 parameters, not 1M; the mixture is searched by rBridge" in told[0]


def test_functions_that_rise_with_the_loss_are_no_objective(
    world: tuple[Path, Found, list[str]], tmp_path: Path
) -> None:
    accurate_world(world[0], tmp_path)
    functions = read_transfer_file(tmp_path / "transfer.json").values()
    turned = [
        replace(f, curve=replace(f.curve, coefficients=tuple(-c for c in f.curve.coefficients)))
        for f in functions
    ]
    (tmp_path / "transfer.json").write_text(to_json(turned))
    with pytest.raises(InputError, match="short rises with the score"):
        settle(prepared(tmp_path))
