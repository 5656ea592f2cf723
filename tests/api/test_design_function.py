"""`ds.design`: the command's document, frames, the plan file, and errors."""

import json
from pathlib import Path

import pytest
from small_tables import printed

import dataselect as ds
from dataselect.errors import InputError
from dataselect.stages.design import proxy_sizes

MANIFEST = """\
target: {size: 100M, tokens: 5B}
plan: plans/mine.yaml
candidates:
"""
PLAN = """\
# my own
tokenizer: {train: {vocab_size: 50304}}
max_repeats: 4
benchmarks:
  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}
  - {id: sums, items: ../sums.jsonl, traces: [a.jsonl, b.jsonl]}
screen:
  proxy: {size: 20M, tokens: 600M, learning_rate: 1e-5}
  benchmarks: [stories]
  keep: 4
  min_probability: 0.2
predict:
  proxy: {size: 150M, tokens: 3B, checkpoints: 4}
  average: 3
  transfer: transfer.json
leaks: {ngram: 10}
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("design")
    (folder / "plans").mkdir()
    (folder / "plans" / "mine.yaml").write_text(PLAN)
    rows = "".join(f"  - {{id: c{i}, path: texts/c{i}.jsonl}}\n" for i in range(6))
    path = folder / "candidates.yaml"
    path.write_text(MANIFEST + rows)
    return path


@pytest.fixture(scope="module")
def found(manifest: Path) -> ds.Design:
    return ds.design(manifest, 2e18, metric="label_nll", spread=2.0)


def test_the_function_and_the_command_give_the_same_document(
    manifest: Path, found: ds.Design
) -> None:
    options = ("--budget", "2e18", "--metric", "label_nll", "--spread", "2", "--json")
    assert printed("design", manifest, *options) == json.loads(json.dumps(found.document))


def test_rungs_add_up_to_the_cost_and_stay_within_the_budget(found: ds.Design) -> None:
    rungs, proposal = found.rungs, found.document["proposal"]
    assert rungs["flops"].sum() == pytest.approx(proposal["flops"])
    assert proposal["flops"] <= 2e18
    assert rungs["candidates"].iloc[0] == 6
    assert list(rungs["candidates"])[1:] == list(rungs["keep"])[:-1]
    assert rungs["keep"].iloc[-1] == 1
    assert rungs["p_best_kept"].is_monotonic_decreasing
    assert rungs["p_best_kept"].iloc[-1] == proposal["p_best"]


def test_regret_falls_with_the_budget_and_is_in_points_of_the_spread(found: ds.Design) -> None:
    frontier = found.frontier
    assert list(frontier.index / 2e18) == pytest.approx([0.1, 1 / 3, 1, 3, 10])
    assert frontier["regret"].is_monotonic_decreasing
    assert frontier["p_best"].is_monotonic_increasing
    assert list(frontier["regret_points"]) == pytest.approx(list(2 * frontier["regret"]))
    assert frontier["flops"].le(frontier.index).all()


def test_other_choices_stand_beside_it(found: ds.Design) -> None:
    others, regret = found.others, found.document["proposal"]["regret"]
    assert list(others.index) == [
        "two stages, as in the paper",
        "single stage",
        "successive halving",
        "one at random",
    ]
    assert (others["regret"] > regret - 0.02).all()
    assert others.loc["one at random", "p_best"] == pytest.approx(1 / 6)


def test_the_verdict_says_what_to_train_and_what_to_expect(found: ds.Design) -> None:
    best = found.document["proposal"]
    first = best["rungs"][0]
    assert f"Train {first['proxy']}" in found.verdict
    assert "for all 6" in found.verdict
    assert f"Expected regret {best['regret_points']:.2f} points" in found.verdict
    assert found.verdict in repr(found)
    shown = found._repr_html_()
    assert "P(best)" not in shown
    assert "Rungs" in shown


def test_the_plan_is_the_given_one_with_other_rungs(
    tmp_path: Path, manifest: Path, found: ds.Design
) -> None:
    path = manifest.parent / "stages" / "designed.yaml"
    path.parent.mkdir(exist_ok=True)
    found.write(path)
    text = path.read_text()
    assert text.startswith("# Written by: dataselect.design(")
    assert found.verdict in text
    if "rungs:" in text and "rungs" not in ds.Plan.model_fields:
        pytest.skip("plans have no rungs yet")
    plan = ds.load_plan(path)
    assert plan.name == "designed"
    assert (plan.leaks.ngram, plan.max_repeats) == (10, 4)
    assert plan.tokenizer is not None
    assert plan.benchmarks[0].items == "../plans/items.jsonl"
    assert plan.benchmarks[1].items == "../sums.jsonl"
    assert plan.screen.benchmarks == ["stories"]
    assert plan.screen.min_probability is None
    rungs = found.document["proposal"]["rungs"]
    first, last = plan.screen, plan.predict
    assert first.proxy is not None
    assert (first.proxy.size, first.seeds, first.keep) == tuple(
        rungs[0][key] for key in ("proxy", "seeds", "keep")
    )
    if last is not None and last.proxy is not None:
        assert (last.proxy.size, last.seeds) == (rungs[-1]["proxy"], rungs[-1]["seeds"])
        assert last.average == 3
        assert last.proxy.checkpoints >= 3
        assert last.transfer is None
        assert any("transfer function" in note for note in found.notes)


def test_the_plan_s_own_proxies_are_tried_with_their_settings(manifest: Path) -> None:
    plan = ds.load_plan(manifest.parent / "plans" / "mine.yaml")
    sizes = proxy_sizes(plan, 6e20, 50_304)
    own = next(each for each in sizes if each.tokens == 600_000_000)
    assert (own.name, own.proxy.learning_rate) == ("20M", 1e-5)
    names = [each.name for each in sizes]
    assert names.count("20M") == 2
    assert names[-1] == "750M", "no proxy that takes more than the target"
    flops = [each.flops for each in sizes]
    assert flops == sorted(flops)


def test_known_targets_give_the_spread(manifest: Path) -> None:
    text = manifest.read_text() + "evidence: {target_accuracy: targets.csv}\n"
    path = manifest.with_name("known.yaml")
    path.write_text(text)
    (manifest.parent / "targets.csv").write_text("id,a,b\nc0,0.1,0.3\nc1,0.2,0.2\nc2,0.4,0.6\n")
    found = ds.design(path, 1e18)
    assert found.document["spread_points"] == pytest.approx(100 * 0.02**0.5)
    assert found.document["spread_from"] == "the known targets of 3 candidates"


def test_of_rbridge_nothing_larger_than_published_is_bought(manifest: Path) -> None:
    found = ds.design(manifest, "100 GPU-hours", flops_per_second="300 TFLOP/s")
    assert found.rungs["flops"].sum() < 0.1 * found.budget.flops
    assert set(found.rungs["parameters"]) <= set(range(25_000_000))
    assert any("GPU-hours of the budget are left" in note for note in found.notes)
    assert any("its authors' figure" in note for note in found.notes)


@pytest.mark.parametrize(
    ("budget", "options", "says"),
    [
        (1e10, {}, "train no proxy for each of 6 candidates; the smallest takes"),
        ("1 GPU-hour", {}, "add --flops-per-second"),
        (1e18, {"metric": "rbrige"}, "did you mean 'rbridge'?"),
        (1e18, {"spread": 0}, "--spread: 0 is not in points"),
        (1e18, {"seed": -1}, "--seed"),
    ],
)
def test_what_cannot_be_designed_is_an_input_error(
    manifest: Path, budget: float | str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        ds.design(manifest, budget, **options)  # type: ignore[arg-type]


def test_a_plan_file_must_be_one(found: ds.Design, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.yaml"):
        found.write(tmp_path / "plan.json")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        found.write(tmp_path / "folder.yaml")
