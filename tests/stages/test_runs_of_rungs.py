"""Whole runs of several rungs: what each trains, what the report says, when a run ends early."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from stage_world import Counted, runtime, write_world

from dataselect.compute import Event, Job, Outcome
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.errors import InputError
from dataselect.pipeline import Selection, check, run
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_csv, write_report
from dataselect.report.selection.planned import print_plan
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report
from dataselect.stages.planned_trainings import planned_trainings
from dataselect.stages.prepare import make_recipes
from dataselect.stages.proxy_origins import StageName

MANIFEST = """
target: {size: 1M, tokens: 20M}
evidence: {target_accuracy: targets.csv}
candidates:
  - {id: worked, path: dataselect/desk, name: worked}
  - {id: prose, path: dataselect/desk, name: narrative}
  - {id: blend, mixture: {worked: 3, prose: 1}}
  - {id: half, mixture: {worked: 1, prose: 1}}
"""
TARGETS = "id,short,long\nworked,0.5,0.5\nprose,0.6,0.7\nblend,0.5,0.6\nhalf,0.3,0.3\n"
HEAD = """
tokenizer: {train: {vocab_size: 300, characters: 20k}}
benchmarks:
  - {id: short, items: short.jsonl, traces: short.traces.jsonl}
  - {id: long, items: long.jsonl, traces: long.traces.jsonl}
"""
PROXY = (
    "{architecture: {hidden_size: 16, layers: 1, heads: 2}, sequence_length: 32, batch_size: 4, "
    "learning_rate: 1e-2, tokens: TOKENS}"
)
SMALL, LARGE = PROXY.replace("TOKENS", "1500"), PROXY.replace("TOKENS", "3000")
THREE = f"""
rungs:
  - {{keep: 3, proxy: {SMALL}}}
  - {{keep: 2, seeds: 2, proxy: {SMALL}}}
  - {{proxy: {LARGE}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world, with a store that all runs share."""
    import torch

    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("rungs")
    write_world(made)
    (made / "manifest.yaml").write_text(MANIFEST)
    (made / "targets.csv").write_text(TARGETS)
    return made


@dataclass(frozen=True)
class Made:
    """A run, the jobs that it started and its report."""

    selection: Selection
    jobs: list[str]
    document: dict[str, Any]


def run_plan(folder: Path, plan: str, store: str = "store", compute: Counted | None = None) -> Made:
    (folder / "plan.yaml").write_text(HEAD + plan)
    compute = compute or Counted()
    manifest, chosen = load_manifest(folder / "manifest.yaml"), load_plan("plan.yaml", folder)
    selection = run(manifest, chosen, runtime(folder, compute, folder / store))
    return Made(selection, compute.names, json.loads(json.dumps(document(selection))))


@pytest.fixture(scope="module")
def three(folder: Path) -> Made:
    return run_plan(folder, THREE)


def test_each_rung_trains_the_survivors_of_the_one_before_and_no_proxy_twice(three: Made) -> None:
    survivors = [each.survivors for each in three.selection.screenings]
    assert [len(each) for each in survivors] == [3, 2]
    assert set(survivors[1]) <= set(survivors[0])
    assert [job for job in three.jobs if job.startswith("stage1/")] == [
        "stage1/worked",
        "stage1/prose",
        "stage1/blend",
        "stage1/half",
    ]
    # The second rung has the proxy of the first and one seed more, which alone is trained.
    assert {job for job in three.jobs if job.startswith("stage2/")} == {
        f"stage2/{name} seed 1" for name in survivors[0]
    }
    assert {job for job in three.jobs if job.startswith("stage3/")} == {
        f"stage3/{name}" for name in survivors[1]
    }


def test_the_report_has_a_part_for_each_rung(three: Made) -> None:
    made = three.document
    assert [name for name in made["stages"] if made["stages"][name]] == [
        "stage2",
        "stage3",
        "stage1",
    ]
    assert [made["stages"][f"stage{n}"]["kept"] for n in (1, 2, 3)] == [3, 2, None]
    first, *_ = made["candidates"]
    assert {"score", "p_top_k"} <= set(first["stage1"])
    assert {"score", "p_top_k"} <= set(first["stage2"])
    assert "predicted_accuracy" in first["stage3"]
    assert made["decision"]["stage"] == "stage3"
    assert made["verdict"].startswith(f"{first['id']} comes first")
    assert "Stage 3 score" in made["verdict"]


def test_every_form_of_the_report_shows_all_rungs(three: Made) -> None:
    shown = io.StringIO()
    print_report(three.document, Console(width=80, file=shown))
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "Stage 1   P(best 3)   Stage 2   P(best 2)" in text
    assert "pruned in Stage 2" in text
    assert "pruned in Stage 1" in text
    page = readme(three.document, "again")
    assert "| Stage 1 score | P(best 3) | Stage 2 score | P(best 2) | Stage 3 score |" in page
    assert "N·C1 + k1·C2 + k2·C3 + Ct = 4 × " in page
    assert "The survivors hold the best of all candidates with probability" in page
    assert "stage2_score,stage2_low,stage2_high,stage2_p_top_k,stage3_score," in ranking_csv(
        three.document
    )
    planned = io.StringIO()
    experiment = three.selection.experiment
    place = experiment.store.root
    print_plan(experiment.manifest, experiment.plan, place, Console(width=80, file=planned))
    lines = planned.getvalue().splitlines()
    assert [line.split()[2:4] for line in lines if line.startswith("Stage")] == [
        ["screen", "4"],
        ["screen", "3"],
        ["predict", "2"],
    ]


def test_the_chance_to_be_the_best_is_told_for_each_rung(three: Made) -> None:
    for number in (1, 2):
        stage = three.document["stages"][f"stage{number}"]
        assert sum(stage["p_best"].values()) == pytest.approx(1)
        survivors = three.selection.screenings[number - 1].survivors
        assert stage["p_kept"] == pytest.approx(sum(stage["p_best"][name] for name in survivors))


def test_who_was_pruned_later_ranks_before_who_was_pruned_earlier(three: Made) -> None:
    ranks = [(each["rank"], each["status"]) for each in three.document["candidates"]]
    assert ranks == [(1, "ranked"), (2, "ranked"), (3, "pruned"), (4, "pruned")]
    reasons = [each["reason"] for each in three.document["candidates"]]
    assert reasons[2].startswith("place 3 of 3 in Stage 2, which keeps 2; ")
    assert reasons[3].startswith("place 4 of 4 in Stage 1, which keeps 3; ")


def test_the_cost_counts_a_proxy_in_the_first_rung_that_has_it(three: Made) -> None:
    cost, scores = three.selection.cost, three.selection.scores
    first, second, third = cost.stages
    assert (first.candidates, second.candidates, third.candidates) == (4, 3, 2)
    assert second.each == pytest.approx(scores[StageName.at(2)].flops / 3 / 2)
    assert cost.total == pytest.approx(first.flops + second.flops + third.flops + cost.target)
    spent = three.document["cost"]["spent"]
    keys = [set(each.keys) for each in scores.values()]
    assert keys[0] & keys[1]
    assert spent["all"]["flops"] == pytest.approx(cost.search)
    assert spent["all"]["jobs"] == len(set.union(*keys) & ledger_keys(three))


def ledger_keys(made: Made) -> set[str]:
    return {str(record["key"]) for record in made.selection.experiment.store.ledger()}


def test_what_each_cut_lost_is_told_where_the_truth_is_known(three: Made) -> None:
    truth = three.document["truth"]
    assert set(truth["lost_by_cut"]) == {"stage1", "stage2"}
    assert sum(truth["lost_by_cut"].values()) == pytest.approx(truth["lost_in_cut"])
    best = max(truth["accuracy"].values())
    kept = [truth["accuracy"][name] for name in three.selection.survivors]
    assert truth["lost_in_cut"] == pytest.approx(best - max(kept))


def test_a_plan_tells_what_it_would_train_at_most(three: Made) -> None:
    experiment = three.selection.experiment
    plan, manifest = experiment.plan, experiment.manifest
    planned = planned_trainings(manifest, plan, make_recipes(plan, 300, "cpu"))
    assert [each.runs for each in planned.values()] == [4, 3, 2]
    assert [each.candidates for each in planned.values()] == [4, 3, 2]


def test_the_chance_that_the_cuts_kept_the_best_is_a_product(three: Made) -> None:
    cuts = three.selection.cuts(0)
    assert [cut.stage for cut in cuts] == ["stage1", "stage2"]
    for cut in cuts:
        assert sum(cut.p_best.values()) == pytest.approx(1)
        assert 0 < cut.p_kept < 1
    doubt = three.document["decision"]["next"]["cut"]
    assert doubt["p_kept"] == pytest.approx(cuts[0].p_kept * cuts[1].p_kept)
    assert doubt["stage"] == min(cuts, key=lambda each: each.p_kept).stage


def test_the_gap_of_a_later_rung_is_in_the_spread_of_all_candidates(three: Made) -> None:
    first, second = three.selection.screenings
    units = second.ranking.units
    assert units is not None
    assert units.earlier
    scores = sum(
        table.mean() / units.sizes[name] for name, table in first.scores.table("rbridge").items()
    )
    spread = float(scores.std(ddof=0)) / 2  # type: ignore[union-attr]
    assert second.uncertainty is not None
    assert second.uncertainty.spread == pytest.approx(spread)
    assert spread > second.ranking.table["score"].std(ddof=0)


def test_a_run_repeated_from_its_resolved_file_trains_nothing(folder: Path, three: Made) -> None:
    out = folder / "report"
    write_report(three.selection, out)
    compute = Counted()
    manifest = load_manifest(out / "resolved.yaml")
    plan = manifest.document_at(type(three.selection.experiment.plan), "plan")
    again = run(manifest, plan, runtime(folder, compute, folder / "store"))
    assert compute.names == []
    assert json.loads(json.dumps(document(again)))["candidates"] == three.document["candidates"]


def test_screen_and_predict_are_the_two_rung_form_to_the_byte(folder: Path) -> None:
    screen, predict = f"{{keep: 2, proxy: {SMALL}}}", f"{{proxy: {LARGE}}}"
    one = run_plan(folder, f"screen: {screen}\npredict: {predict}\n")
    two = run_plan(folder, f"rungs: [{screen}, {predict}]\n")
    assert two.jobs == []
    for each in (one.document, two.document):
        each["cost"].pop("seconds")
        each["next_step"] = each["next_step"].replace("rungs[0]", "screen")
        each["next_step"] = each["next_step"].replace("rungs[1]", "predict")
    assert json.dumps(one.document) == json.dumps(two.document)


def test_a_killed_run_resumes_in_the_rung_where_it_was(folder: Path, three: Made) -> None:
    class Killed(Counted):
        """Dies after the first training of the second rung."""

        def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
            if any(job.name.startswith("stage2/") for job in jobs):
                super().run(jobs[:1], on_event)
                raise KeyboardInterrupt
            return super().run(jobs, on_event)

    killed = Killed()
    with pytest.raises(KeyboardInterrupt):
        run_plan(folder, THREE, "killed", killed)
    again = run_plan(folder, THREE, "killed")
    assert sorted(killed.names + again.jobs) == sorted(three.jobs)
    assert again.document["candidates"] == three.document["candidates"]
    assert again.document["verdict"] == three.document["verdict"]


def clear(p_best: str) -> str:
    """Three rungs whose probabilities are about the proxies' scores alone."""
    plan = THREE.replace("keep: 3", "keep: 3, discrepancy: none")
    plan = plan.replace("keep: 2", "keep: 2, discrepancy: none")
    return f"{plan}stop_when: {{p_best: {p_best}}}\n"


def test_a_run_ends_when_the_first_is_the_best_with_enough_probability(folder: Path) -> None:
    made = run_plan(folder, clear("0.5"))
    stop = made.document["stopped"]
    ranking = made.selection.screening.ranking.table
    assert (stop["after"], stop["first"]) == ("stage1", ranking.index[0])
    assert 0.5 <= stop["p_best"] <= 1
    assert stop["left_out"] == ["stage2", "stage3"]
    assert made.document["stages"]["stage2"] is made.document["stages"]["stage3"] is None
    recipes = made.selection.experiment.recipes
    saved = 3 * 6 * recipes[StageName.at(1)].parameters * recipes[StageName.at(1)].tokens
    saved += 2 * 6 * recipes[StageName.at(3)].parameters * recipes[StageName.at(3)].tokens
    assert stop["flops_saved"] == pytest.approx(saved)
    assert made.jobs == []
    verdict = made.document["verdict"]
    assert f"The run stopped after Stage 1: {stop['first']} is the best of all 4 with" in verdict
    assert "over items, and the plan's 'stop_when' asks for 0.50" in verdict
    assert "Stage 2 and Stage 3 were not trained, which saves up to" in verdict
    assert made.document["decision"]["stage"] == "stage1"
    assert [each["status"] for each in made.document["candidates"]] == ["ranked"] * 3 + ["pruned"]


def test_the_chance_lost_in_earlier_cuts_counts_against_a_stop(folder: Path) -> None:
    gap = THREE + "stop_when: {p_best: P}\n"
    (cut,) = run_plan(folder, gap.replace("P", "0.999")).selection.cuts(0)[:1]
    made = run_plan(folder, gap.replace("P", "0.3").replace("keep: 3", "keep: 2"))
    stop = made.selection.stopped
    assert stop is not None
    if stop.after == "stage2":
        of_stage = made.selection.screenings[1].ranking.wins.loc[stop.first].drop(stop.first).min()
        assert stop.p_best < of_stage
    else:
        assert stop.p_best == pytest.approx(max(cut.p_best.values()))


def test_a_run_that_is_never_clear_enough_goes_to_its_end(folder: Path, three: Made) -> None:
    made = run_plan(folder, THREE + "stop_when: {p_best: 0.999}\n")
    assert made.document["stopped"] is None
    assert made.document["candidates"] == three.document["candidates"]


def test_a_last_rung_with_keep_prunes_and_ends_the_run(folder: Path) -> None:
    plan = f"rungs: [{{keep: 3, proxy: {SMALL}}}, {{keep: 1, seeds: 2, proxy: {SMALL}}}]\n"
    made = run_plan(folder, plan)
    assert made.selection.prediction is None
    assert [each["status"] for each in made.document["candidates"]] == ["ranked"] + ["pruned"] * 3
    assert made.document["decision"]["stage"] == "stage2"
    assert "Stage 2 score" in made.document["verdict"]
    assert len(made.selection.cuts(0)) == 1


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            THREE.replace("keep: 3", "keep: 5"),
            "8:6: 5 candidates cannot be kept of 4; write 4 or fewer",
        ),
        (
            THREE.replace("keep: 3", "keep: 1, min_probability: 0.5, keep_at_most: 1"),
            "9:6: 2 candidates cannot be kept of 1; write 1 or fewer",
        ),
    ],
)
def test_a_rung_cannot_keep_more_than_it_can_have(folder: Path, plan: str, message: str) -> None:
    (folder / "wrong.yaml").write_text(HEAD + plan)
    with pytest.raises(InputError) as error:
        check(load_manifest(folder / "manifest.yaml"), load_plan("wrong.yaml", folder))
    assert str(error.value) == f"{folder / 'wrong.yaml'}:{message}"


def test_a_rung_may_have_benchmarks_of_its_own(folder: Path) -> None:
    plan = THREE.replace("{keep: 2,", "{keep: 2, benchmarks: [long],")
    made = run_plan(folder, plan)
    stages = made.document["stages"]
    assert [list(stages[f"stage{n}"]["items"]) for n in (1, 2, 3)] == [
        ["short", "long"],
        ["long"],
        ["short", "long"],
    ]
    assert stages["stage2"]["unit"]["kind"] == "nats"
