import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataselect.compute.machine import compiled_machine, this_machine
from dataselect.cost import PlannedCost, StageCost
from dataselect.pipeline import Selection
from dataselect.report.markdown import escape
from dataselect.report.selection.document import document
from dataselect.report.selection.readme import readme

MakeSelection = Callable[..., Selection]
COST = PlannedCost(5, (StageCost(5, 1e3), StageCost(2, 1e4)), 1e6)


def by_id(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {candidate["id"]: candidate for candidate in made["candidates"]}


def test_survivors_come_first_then_the_pruned_then_those_without_a_rank(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(fate={"blend": ("stage1", "diverged")}))
    assert [(c["id"], c["rank"], c["status"]) for c in made["candidates"]] == [
        ("good", 1, "ranked"),
        ("fair", 2, "ranked"),
        ("poor", 3, "pruned"),
        ("blend", None, "diverged"),
        ("broken", None, "failed"),
    ]


def test_the_second_stage_decides_the_order_of_the_survivors(make_selection: MakeSelection) -> None:
    selection = make_selection()
    assert selection.prediction is not None
    turned = replace(selection.prediction, order=("fair", "good"))
    made = document(replace(selection, prediction=turned))
    assert [c["id"] for c in made["candidates"][:3]] == ["fair", "good", "blend"]
    assert made["decision"]["winner"] == "fair"


def test_the_first_stage_decides_where_there_is_no_second(make_selection: MakeSelection) -> None:
    made = document(make_selection(stage2=False))
    assert [c["id"] for c in made["candidates"][:4]] == ["good", "fair", "blend", "poor"]
    assert [c["status"] for c in made["candidates"][:4]] == ["ranked"] * 2 + ["pruned"] * 2
    assert all(c["stage2"] is None for c in made["candidates"])
    assert made["stages"]["stage2"] is None
    assert made["wins"]["stage2"] is None


def test_a_survivor_lost_in_the_second_stage_has_no_rank_but_its_first_score(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(fate={"good": ("stage2", "diverged")}))
    lost = by_id(made)["good"]
    assert (lost["rank"], lost["status"], lost["stage2"]) == (None, "diverged", None)
    assert lost["reason"].startswith("Stage 2: ")
    assert lost["stage1"]["p_top_k"] > 0.9
    assert by_id(made)["fair"]["rank"] == 1
    assert by_id(made)["blend"]["rank"] == 2


def test_only_failed_candidates_make_a_run_incomplete(make_selection: MakeSelection) -> None:
    assert not document(make_selection())["complete"]
    diverged = make_selection(fate={"broken": ("stage1", "diverged")})
    assert document(diverged)["complete"]


def test_a_pruned_candidate_says_why(make_selection: MakeSelection) -> None:
    reason = by_id(document(make_selection()))["poor"]["reason"]
    assert "place 4 of 4" in reason
    assert "keeps 2" in reason
    assert by_id(document(make_selection()))["good"]["reason"] is None


def test_scores_are_means_over_items_by_benchmark_and_metric(make_selection: MakeSelection) -> None:
    selection = make_selection()
    part = by_id(document(selection))["good"]["stage1"]
    assert set(part) == {"score", "low", "high", "p_top_k", "benchmarks"}
    table = selection.screening.scores.tables["sums"]["rbridge"]
    assert part["benchmarks"]["sums"]["rbridge"] == pytest.approx(table["good"].mean())
    assert set(part["benchmarks"]["sums"]) == {"rbridge", "trace_nll", "label_nll"}
    assert part["low"] <= part["score"] <= part["high"]


def test_predictions_are_null_where_no_transfer_function_applied(
    make_selection: MakeSelection,
) -> None:
    part = by_id(document(make_selection(transfer=False)))["good"]["stage2"]
    for place in (part, part["benchmarks"]["sums"]):
        assert [place[key] for key in ("predicted_accuracy", "low", "high")] == [None] * 3
    assert isinstance(part["score"], float)
    assert isinstance(part["benchmarks"]["sums"]["rbridge"], float)


def test_predictions_carry_their_interval_and_extrapolation(make_selection: MakeSelection) -> None:
    candidates = by_id(document(make_selection()))
    part = candidates["fair"]["stage2"]["benchmarks"]["sums"]
    assert part["low"] < part["predicted_accuracy"] < part["high"]
    assert part["extrapolated"] is True
    assert candidates["good"]["stage2"]["benchmarks"]["sums"]["extrapolated"] is False


def test_cost_is_the_sum_over_stages_and_target_against_a_target_run_for_each(
    make_selection: MakeSelection,
) -> None:
    cost = document(replace(make_selection(), cost=COST))["cost"]
    assert cost["flops"] == {
        "stage1": 5e3,
        "stage2": 2e4,
        "target": 1e6,
        "total": 1.025e6,
        "naive": 5e6,
        "elsewhere": 0.0,
        "mixture": 0.0,
    }
    assert cost["saving_factor"] == pytest.approx(5 / 1.025)
    assert cost["seconds"]["this_run"] == 90.5
    assert cost["seconds"]["stage1_wall"] == 75.0
    assert cost["spent"]["all"]["failed_jobs"] == 2
    assert cost["spent"]["all"]["failed_flops"] == 2e11


def test_evidence_has_every_metric_with_intervals_or_is_null(make_selection: MakeSelection) -> None:
    evidence = document(make_selection())["evidence"]
    assert evidence["decision_accuracy"]["rbridge"] == 1.0
    assert set(evidence["kendall_tau"]) == {"rbridge", "trace_nll", "label_nll"}
    assert len(evidence["decision_accuracy_interval"]["rbridge"]) == 2
    assert evidence["pairs"] == 6
    assert document(make_selection(evidence=False))["evidence"] is None


def test_provenance_names_versions_seeds_recipes_and_hashes(make_selection: MakeSelection) -> None:
    selection = make_selection()
    made = document(selection)["provenance"]
    assert made["versions"]["torch"]
    assert made["seeds"] == {"plan": 0, "stage1": 0, "stage2": 0}
    assert made["recipes"]["stage2"]["tokens"] == selection.prediction.scores.recipe.tokens  # type: ignore[union-attr]
    benchmark = made["benchmarks"]["sums"]
    assert benchmark["hash"] == selection.experiment.evaluations["sums"].benchmark.content_hash
    (traces,) = benchmark["traces"]
    assert traces["model"] == "a/frontier_model"
    assert traces["hash"] == selection.experiment.evaluations["sums"].traces_hash
    assert made["streams"] == {"good": "a" * 32}
    assert made["transfer"]["sums"]["calibration"] == "the_calibration run"


def test_provenance_has_the_kinds_of_machines_and_the_readme_shows_them(
    make_selection: MakeSelection,
) -> None:
    selection = make_selection()
    assert document(selection)["provenance"]["machines"]["stage1"] == {"trained": [], "scored": []}
    wide = replace(this_machine("cpu"), instructions="AVX512")
    narrow = replace(wide, instructions="AVX2", settings="MKL_CBWR=AVX2")
    scores = replace(
        selection.screening.scores,
        trained_on={"good": (wide,), "fair": (wide,), "poor": (wide, narrow)},
        scored_on={"good": (wide,), "fair": (wide,), "poor": (wide,)},
    )
    compiled = replace(compiled_machine("numba 0.62.1", "AVX512"), processor="one")
    alone = replace(scores, scored_on={"good": (compiled,)})
    told = readme(
        document(replace(selection, screening=replace(selection.screening, scores=alone))), "run"
    )
    assert ", without torch, AVX512, compiled by numba 0.62.1 for one, alone" in told
    screening = replace(selection.screening, scores=scores)
    shown = document(replace(selection, screening=screening))
    assert shown["provenance"]["machines"]["stage1"] == {
        "trained": [
            {"machines": [wide.record()], "of": ["good", "fair"]},
            {"machines": [wide.record(), narrow.record()], "of": ["poor"]},
        ],
        "scored": [{"machines": [wide.record()], "of": ["good", "fair", "poor"]}],
    }
    text = readme(shown, "dataselect run")
    assert "- Stage 1 trained (2 of them), Stage 1 scored: cpu " in text
    (line,) = (line for line in text.splitlines() if "trained (1 of them)" in line)
    assert "AVX512" in line
    assert "and then cpu " in line
    assert "AVX2" in line
    assert escape("MKL_CBWR=AVX2") in line


def test_exclusions_are_listed_once_with_the_stages_that_left_them_out(
    make_selection: MakeSelection,
) -> None:
    assert document(make_selection())["exclusions"] == {
        "sums": [{"item": "i9", "reason": "its trace is too long", "stages": ["stage1", "stage2"]}]
    }


def test_the_document_is_strict_json_also_when_a_figure_is_no_number(
    make_selection: MakeSelection,
) -> None:
    selection = make_selection()
    tables = selection.screening.scores.tables["sums"]
    odd = {**tables, "accuracy": tables["rbridge"] * float("nan")}
    scores = replace(selection.screening.scores, tables={"sums": odd})
    screening = replace(selection.screening, scores=scores)
    made = document(replace(selection, screening=screening))
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["candidates"][0]["stage1"]["benchmarks"]["sums"]["accuracy"] is None


def test_a_title_is_kept_as_it_is_and_defaults_to_the_id(make_selection: MakeSelection) -> None:
    candidates = by_id(document(make_selection()))
    assert candidates["good"]["title"] == "Good *data* | [/bad] <b>"
    assert candidates["fair"]["title"] == "fair"


def test_the_document_needs_neither_rich_nor_torch() -> None:
    code = (
        "import sys, dataselect.report.selection.document\n"
        "print([m for m in ('rich', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
