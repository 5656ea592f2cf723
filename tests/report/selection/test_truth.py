"""Predictions and choice beside the truth, in each of a report's forms."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from dataselect.decisions.regret import KnownTruth
from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_csv
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report
from dataselect.report.selection.truth import truth_sentences
from dataselect.stages.known_targets import judge

MakeSelection = Callable[..., Selection]

ALL = {"good": 0.7, "fair": 0.6, "blend": 0.5, "poor": 0.9, "broken": 0.1}
"""The best of them is pruned; predicted are 65.0 ± 2 for good and 61.7 ± 2 for fair."""


def judged(selection: Selection, table: Mapping[str, Mapping[str, float]]) -> KnownTruth | None:
    return judge(selection.experiment, selection, table, selection.screening.by_metric())


def sentences(selection: Selection) -> list[str]:
    return truth_sentences(document(selection))


def test_the_best_that_was_pruned_is_named_with_the_cost_of_the_choice(
    make_selection: MakeSelection,
) -> None:
    assert sentences(make_selection(targets=ALL))[0] == (
        "poor is truly the best (90.0%) and was pruned; good, which is chosen, reaches 70.0%: the "
        "choice costs 20.0 points, all of them in Stage 1's cut."
    )


def test_a_best_that_failed_or_came_second_is_named_as_such(make_selection: MakeSelection) -> None:
    failed = sentences(make_selection(targets={**ALL, "broken": 0.95}))[0]
    assert failed.startswith("broken is truly the best (95.0%) and failed; good, which is")
    second = sentences(make_selection(targets={**ALL, "fair": 0.95}))[0]
    assert second.startswith("fair is truly the best (95.0%) and comes second;")
    assert second.endswith("the choice costs 25.0 points, none of them in Stage 1's cut.")
    both = sentences(make_selection(targets={**ALL, "fair": 0.8}))[0]
    assert both.endswith("the choice costs 20.0 points, 10.0 of them in Stage 1's cut.")


def test_a_right_choice_costs_nothing(make_selection: MakeSelection) -> None:
    right = sentences(make_selection(targets={**ALL, "good": 0.95}))[0]
    assert right == "good, which is chosen, is truly the best (95.0%): the choice costs nothing."
    tied = sentences(make_selection(targets={**ALL, "good": 0.9}))[0]
    assert "is truly the best (90.0%), as good as poor" in tied


def test_intervals_and_errors_are_counted_beside_those_of_a_constant(
    make_selection: MakeSelection,
) -> None:
    selection = make_selection(targets=ALL)
    assert selection.prediction is not None
    points = selection.prediction.functions["sums"].points
    constant = sum(accuracy for _, accuracy in points) / len(points)
    held = truth_sentences(document(selection))[1]
    errors = (abs(0.7 - constant) + abs(0.6 - constant)) / 2
    assert held == (
        "1 of 2 90% intervals held, that of good missed; predictions are off by 3.3 points on "
        "average, and a constant "
        f"({100 * constant:.1f}%, the mean of the calibration runs) by {100 * errors:.1f}."
    )


def test_a_calibration_run_is_marked_and_in_no_count(make_selection: MakeSelection) -> None:
    selection = fitted_on(make_selection(targets=ALL), "good", "elsewhere")
    made = document(selection)
    assert [made["truth"]["predictions"][name]["fitted"] for name in ("good", "fair")] == [
        True,
        False,
    ]
    said = truth_sentences(made)
    assert said[1] == "good is one of the calibration runs, left out of what follows."
    assert said[2].startswith("1 of 1 90% interval held; predictions are off by 1.7 points")
    row = next(line for line in readme(made, "again").splitlines() if "| `good` | 65.0" in line)
    assert row.split("|")[4:7] == [" 70.0 ", " fitted ", "  "]
    both = truth_sentences(document(fitted_on(make_selection(targets=ALL), "good", "fair")))
    assert both[1] == (
        "good and fair are some of the calibration runs, so no prediction is tested."
    )


def test_if_no_interval_held_that_is_said_in_words(make_selection: MakeSelection) -> None:
    said = truth_sentences(document(make_selection(targets={**ALL, "fair": 0.1})))[1]
    assert said.startswith("0 of 2 90% intervals held, both missed; predictions are off by")


def fitted_on(selection: Selection, *names: str) -> Selection:
    """The same selection by functions that were fitted on datasets of these names."""
    assert selection.prediction is not None
    functions = {
        name: replace(each, provenance=replace(each.provenance, datasets=names))
        for name, each in selection.prediction.functions.items()
    }
    prediction = replace(selection.prediction, functions=functions)
    selection = replace(selection, prediction=prediction)
    return replace(selection, truth=judged(selection, {n: {"sums": v} for n, v in ALL.items()}))


def test_without_predictions_only_the_choice_is_judged(make_selection: MakeSelection) -> None:
    for options in ({"transfer": False}, {"stage2": False}):
        said = " ".join(sentences(make_selection(targets=ALL, **options)))
        assert "interval" not in said
        assert "good, which is chosen, reaches 70.0%" in said


def test_the_choices_of_the_metrics_and_of_chance_are_priced(make_selection: MakeSelection) -> None:
    assert sentences(make_selection(targets=ALL))[-1] == (
        "First in Stage 1 alone: good (costs 20.0 points) by rBridge, plain NLL of the trace (R^φ) "
        "and NLL of the benchmark's label. A candidate drawn at random costs 34.0 points on "
        "average."
    )


def test_a_metric_that_would_have_chosen_the_best_costs_nothing(
    make_selection: MakeSelection,
) -> None:
    said = sentences(make_selection(targets={**ALL, "good": 0.95}))
    assert "good (costs nothing) by rBridge" in said[-1]


def test_partial_knowledge_is_said_before_anything_else(make_selection: MakeSelection) -> None:
    said = sentences(make_selection(targets={"fair": 0.6, "poor": 0.2}))
    assert said[0].startswith("The target's accuracy is known for 2 of 5 candidates; what follows")
    assert said[1] == (
        "fair is the best of the known (60.0%) and comes second; the accuracy of the chosen, good, "
        "is not known."
    )
    assert "good (target not known) by rBridge" in said[-1]


def test_a_file_of_other_benchmarks_leaves_predictions_unchecked(
    make_selection: MakeSelection,
) -> None:
    selection = make_selection()
    table = {name: {"elsewhere": value} for name, value in ALL.items()}
    known = judged(selection, table)
    said = truth_sentences(document(replace(selection, truth=known)))
    assert said[1] == "Predictions cannot be checked: the known accuracies have no column for sums."


def test_more_benchmarks_than_predicted_are_said(make_selection: MakeSelection) -> None:
    selection = make_selection()
    table = {name: {"sums": value, "more": 0.1} for name, value in ALL.items()}
    known = judged(selection, table)
    made = document(replace(selection, truth=known))
    assert made["truth"]["predictions"]["good"]["true"] == 0.7
    assert made["truth"]["accuracy"]["good"] == pytest.approx(0.4)
    assert "compared on the predicted benchmarks" in truth_sentences(made)[1]


def test_every_candidate_has_its_truth_in_the_terminal_the_readme_and_the_table(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection(targets=ALL))
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    print_report(made, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    part = shown[shown.index("Accuracy of the targets, %") :]
    lines = [line.split() for line in part.splitlines()]
    rows = {line[1]: line for line in lines if line and line[0] in ["1", "2", "3", "4", "–"]}
    assert rows["good"] == ["1", "good", "65.0", "[63.0,", "67.0]", "70.0", "no", "5.0", "30.0"]
    assert rows["poor"] == ["4", "poor", "pruned", "90.0"]
    assert rows["broken"] == ["–", "broken", "failed", "10.0"]
    page = readme(made, "again")
    assert "| 1 | `good` | 65.0 [63.0, 67.0] | 70.0 | no | 5.0 | 30.0 |" in page
    assert "| rBridge | `good` | 70.0 | 20.0 |" in page
    cells = {row["id"]: row for row in csv.DictReader(io.StringIO(ranking_csv(made)))}
    assert float(cells["poor"]["true_accuracy"]) == 0.9
    assert (cells["good"]["interval_held"], cells["fair"]["interval_held"]) == ("0", "1")
    assert float(cells["good"]["prediction_error"]) == pytest.approx(0.05)
    assert cells["poor"]["prediction_error"] == ""


def test_nothing_is_shown_where_no_target_is_known(make_selection: MakeSelection) -> None:
    made = document(make_selection())
    assert made["truth"] is None
    assert "What the targets reached" not in readme(made, "again")
    assert "true_accuracy" not in ranking_csv(made)
