from collections.abc import Callable
from dataclasses import replace

import pytest

from dataselect.pipeline import Selection
from dataselect.report.selection.document import document

MakeSelection = Callable[..., Selection]


def test_it_gives_margin_and_probability_in_one_sentence(make_selection: MakeSelection) -> None:
    made = document(make_selection())
    assert made["verdict"].startswith("good comes first: predicted target accuracy 65.0% against")
    assert "(3.3 points, extrapolated)" in made["verdict"]
    assert made["verdict"].count(". ") == 0
    decision = made["decision"]
    assert (decision["winner"], decision["runner_up"]) == ("good", "fair")
    assert decision["margin"] == pytest.approx(0.0333)
    assert decision["probability"] > 0.99
    assert decision["not_told_apart"] == []


def test_it_never_says_certain(make_selection: MakeSelection) -> None:
    assert "probability > 0.99" in document(make_selection())["verdict"]


def test_it_says_when_candidates_cannot_be_told_apart(make_selection: MakeSelection) -> None:
    made = document(make_selection(close=True))
    first, second = made["decision"]["winner"], made["decision"]["runner_up"]
    assert f"{first} comes first but cannot be told apart from {second}:" in made["verdict"]
    assert made["decision"]["not_told_apart"] == [second]
    assert made["decision"]["probability"] < made["decision"]["confidence"]


def test_without_predictions_it_compares_the_scores_of_the_second_stage(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(transfer=False))
    assert "Stage 2 rBridge" in made["verdict"]
    assert made["decision"]["stage"] == "stage2"
    assert made["decision"]["unit"] == "nats per token"
    assert made["decision"]["margin"] > 0


def test_without_a_second_stage_it_compares_with_all_of_the_first(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(stage2=False, close=True))
    assert made["decision"]["stage"] == "stage1"
    assert len(made["decision"]["not_told_apart"]) > 1


def test_many_that_cannot_be_told_apart_are_counted_not_listed(
    make_selection: MakeSelection,
) -> None:
    names = ("good", "fair", "blend", "poor")
    made = document(make_selection(stage2=False, close=True, qualities=dict.fromkeys(names, 1.0)))
    assert len(made["verdict"]) < 300


def test_a_lone_survivor_of_the_second_stage_was_compared_with_nothing(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(fate={"good": ("stage2", "failed")}))
    assert made["verdict"].startswith("fair is the only survivor scored in Stage 2")
    assert made["decision"]["probability"] is None


def test_a_lone_candidate_was_compared_with_nothing(make_selection: MakeSelection) -> None:
    lost = dict.fromkeys(("fair", "blend", "poor"), ("stage1", "diverged"))
    made = document(make_selection(fate=lost))
    assert made["verdict"].startswith("good is the only candidate scored")


def test_over_several_benchmarks_it_compares_aggregated_scores(
    make_selection: MakeSelection,
) -> None:
    selection = make_selection(stage2=False)
    scores = selection.screening.scores
    two = replace(scores, tables={"sums": scores.tables["sums"], "more": scores.tables["sums"]})
    made = document(replace(selection, screening=replace(selection.screening, scores=two)))
    assert made["decision"]["unit"] == "standard deviations"
    assert "Stage 1 score −1.14 against −0.50 for fair" in made["verdict"]
