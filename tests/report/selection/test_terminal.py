import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.terminal import print_report

MakeSelection = Callable[..., Selection]


def shown(selection: Selection, width: int = 80) -> str:
    made = document(selection)
    made["candidates"][1]["id"] = "fair-" + "x" * 59
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_report(made, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "options",
    [{}, {"transfer": False}, {"stage2": False, "evidence": False}, {"close": True}]
    + [
        {"targets": {"good": 1.0, "blend": 0.5, "poor": 0.2}, "transfer": each}
        for each in (True, False)
    ],
)
def test_it_fits_80_columns_without_cutting_anything(
    make_selection: MakeSelection, options: dict[str, Any]
) -> None:
    text = shown(make_selection(**options))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.count("x") >= 59


def test_it_begins_with_the_verdict_and_ends_with_the_cost(make_selection: MakeSelection) -> None:
    text = shown(make_selection()).strip()
    assert text.startswith("good comes first: predicted target accuracy 65.0%")
    assert "5× less" in text.splitlines()[-3] + text.splitlines()[-4]
    assert "8 jobs, 2 of them failed, 4 repeated" in text


def test_it_shows_each_candidate_with_status_score_and_prediction(
    make_selection: MakeSelection,
) -> None:
    rows = {line.split()[1]: line for line in shown(make_selection()).splitlines() if "]" in line}
    assert "65.0 [63.0, 67.0]" in rows["good"]
    assert "> 0.99" in rows["good"]
    assert rows["poor"].rstrip().endswith("pruned")


def test_it_marks_extrapolated_predictions(make_selection: MakeSelection) -> None:
    text = shown(make_selection())
    assert "61.7* [59.7, 63.7]" in text
    assert "* extrapolated" in text
    assert "*" not in shown(make_selection(transfer=False))


def test_reasons_with_markup_are_shown_as_they_are(make_selection: MakeSelection) -> None:
    assert "broken failed: Stage 1: worker died [/red] | twice" in shown(make_selection())


def test_evidence_is_shown_only_if_there_is_any(make_selection: MakeSelection) -> None:
    assert "rBridge" in shown(make_selection())
    assert "1.00 [0.27, 1.00]" in shown(make_selection())
    assert "Agreement" not in shown(make_selection(evidence=False))
